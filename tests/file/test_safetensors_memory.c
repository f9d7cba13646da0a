/* SPDX-License-Identifier: MIT */
/* safetensors files while memory is short: the k-th allocation fails, for every k until none is left to fail. Everything is
 * freed, which a sanitizer checks. jansson's own allocations fail too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "file_support.h"
#include "tests/support/files.h"
#include "tests/support/test.h"

static void expect_old_file(batchnorm_status status) {
    assert_int_equal(status, BATCHNORM_NO_MEMORY);
    char got[10];
    assert_int_equal(file_get(file_path("f"), got, sizeof got), 3);
    assert_memory_equal(got, "old", 3);
    assert_int_equal(files_count(), 1);
}

/* Allocations fail from the countdown's end on: -1 is never. */
static long countdown = -1;

static bool fails(void) { return countdown >= 0 && countdown-- == 0; }

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_malloc(size_t bytes) { return fails() ? NULL : __real_malloc(bytes); }
void *__wrap_calloc(size_t count, size_t bytes) { return fails() ? NULL : __real_calloc(count, bytes); }

static batchnorm_status put_sample(const char *path) {
    float w[3] = {1, 2, 3};
    int64_t three[] = {3};
    const batchnorm_named_tensor entries[] = {named("w", w, BATCHNORM_F32, 1, three), named("v", w, BATCHNORM_F32, 1, three)};
    const batchnorm_safetensors_pair metadata = {"format", "pt"};
    return batchnorm_safetensors_write(path, entries, 2, &metadata, 1, NULL);
}

/* The file is as a write with enough memory makes it, or the old one. */
TEST(every_allocation_of_a_write_may_fail) {
    char want[1000], got[1000];
    assert_int_equal(put_sample(file_path("g")), BATCHNORM_OK);
    size_t count = file_get(file_path("g"), want, sizeof want);
    remove(file_path("g"));
    json_set_alloc_funcs(__wrap_malloc, free);
    file_put(file_path("f"), "old", 3);
    batchnorm_status status = BATCHNORM_NO_MEMORY;
    long k = 0;
    for (; status != BATCHNORM_OK && k < 1000; k++) {
        countdown = k;
        status = put_sample(file_path("f"));
        countdown = -1;
        if (status != BATCHNORM_OK) expect_old_file(status);
    }
    json_set_alloc_funcs(malloc, free);
    assert_in_range(k, 40, 999);
    assert_int_equal(file_get(file_path("f"), got, sizeof got), count);
    assert_memory_equal(got, want, count);
}

TEST(every_allocation_of_an_open_may_fail) {
    assert_int_equal(put_sample(file_path("f")), BATCHNORM_OK);
    json_set_alloc_funcs(__wrap_malloc, free);
    batchnorm_status status = BATCHNORM_NO_MEMORY;
    long k = 0;
    for (; status != BATCHNORM_OK && k < 1000; k++) {
        batchnorm_safetensors *f;
        countdown = k;
        status = batchnorm_safetensors_open(file_path("f"), &f, NULL);
        countdown = -1;
        if (status == BATCHNORM_OK) {
            assert_int_equal(batchnorm_safetensors_count(f), 2);
            assert_true(((float *)batchnorm_safetensors_find(f, "v")->tensor.data)[2] == 3);
            assert_string_equal(batchnorm_safetensors_metadata(f, "format"), "pt");
        } else {
            assert_null(f);
            /* jansson takes a token that it has no memory for as one that is not there */
            assert_true(status == BATCHNORM_NO_MEMORY || status == BATCHNORM_BAD_FILE);
        }
        batchnorm_safetensors_close(f);
    }
    json_set_alloc_funcs(malloc, free);
    assert_in_range(k, 40, 999);
}

static batchnorm_layer *layer_of(double eps) {
    batchnorm_layer_options options = batchnorm_layer_defaults(2, 3);
    options.convention.eps = eps;
    return new_layer(options);
}

TEST(every_allocation_of_a_load_may_fail) {
    batchnorm_layer *from = layer_of(1.0 / 3), *to = layer_of(0.5);
    ((float *)batchnorm_layer_weight(from)->value.data)[1] = 7;
    assert_int_equal(batchnorm_layer_save(from, file_path("f"), NULL), BATCHNORM_OK);
    json_set_alloc_funcs(__wrap_malloc, free);
    batchnorm_status status = BATCHNORM_NO_MEMORY;
    long k = 0;
    for (; status != BATCHNORM_OK && k < 1000; k++) {
        assert_true(((float *)batchnorm_layer_weight(to)->value.data)[1] == 1);
        assert_true(batchnorm_layer_get_options(to).convention.eps == 0.5);
        countdown = k;
        status = batchnorm_layer_load(to, file_path("f"), NULL);
        countdown = -1;
    }
    json_set_alloc_funcs(malloc, free);
    assert_in_range(k, 40, 999);
    assert_true(((float *)batchnorm_layer_weight(to)->value.data)[1] == 7);
    assert_true(batchnorm_layer_get_options(to).convention.eps == 1.0 / 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_of_a_write_may_fail),
        cmocka_unit_test(every_allocation_of_an_open_may_fail),
        cmocka_unit_test_teardown(every_allocation_of_a_load_may_fail, let_go),
    };
    return cmocka_run_group_tests_name("file.safetensors.memory", tests, files_setup, files_teardown);
}
