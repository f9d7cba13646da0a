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
/* What the library has asked for, and what jansson has now and had at most: it gets its memory from counting_malloc(). */
static size_t own_bytes, json_bytes, json_peak;

void *__wrap_malloc(size_t bytes) {
    own_bytes += bytes;
    return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes) {
    own_bytes += count * bytes;
    return fails() ? NULL : __real_calloc(count, bytes);
}

static void *counting_malloc(size_t bytes) {
    size_t *memory = __real_malloc(bytes + 16);
    assert_non_null(memory);
    memory[0] = bytes;
    json_bytes += bytes;
    if (json_peak < json_bytes) json_peak = json_bytes;
    return (char *)memory + 16;
}

static void counting_free(void *memory) {
    if (memory == NULL) return;
    size_t *begin = (size_t *)(void *)((char *)memory - 16);
    json_bytes -= *begin;
    free(begin);
}

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

/* A header of 1 MB: `entry` again and again, where % becomes a number, between `before` and `after`. */
static void put_header(const char *before, const char *entry, const char *after) {
    enum { BYTES = 1000000 };
    char *text = keep(malloc(BYTES + 200), free), *at = text + 8;
    at += sprintf(at, "%s", before);
    for (unsigned i = 0; at < text + BYTES; i++)
        for (const char *c = i == 0 ? entry + (*entry == ',') : entry; *c; c++)
            at += *c == '%' ? sprintf(at, "%x", i) : sprintf(at, "%c", *c);
    at += sprintf(at, "%s", after);
    const uint64_t bytes = (uint64_t)(at - text - 8);
    for (int i = 0; i < 8; i++) text[i] = (char)(bytes >> 8 * i);
    file_put(file_path("f"), text, (size_t)(at - text));
}

/* Whatever a header is made of, to read it takes at most ten times its bytes. */
TEST(memory_is_bounded_by_the_header) {
    static const struct {
        const char *before, *entry, *after;
        batchnorm_status status;
    } headers[] = {{"{", ",\"%\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}", "}", BATCHNORM_OK},
                   {"{", ",\"%\":{}", "}", BATCHNORM_BAD_FILE},
                   {"{", ",\"%\":0", "}", BATCHNORM_BAD_FILE},
                   {"{\"a\":[", ",{}", "]}", BATCHNORM_BAD_FILE},
                   {"{\"a\":{\"shape\":[", ",0", "]}}", BATCHNORM_BAD_FILE},
                   {"{\"a\":", "[", "", BATCHNORM_BAD_FILE},
                   {"{\"__metadata__\":{", ",\"%\":\"\"", "}}", BATCHNORM_OK},
                   {"{\"__metadata__\":{\"a\":[", ",[]", "]}}", BATCHNORM_BAD_FILE},
                   {"{\"__metadata__\":{\"a\":\"", "x", "\"}}", BATCHNORM_OK}};
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        batchnorm_safetensors *f;
        put_header(headers[i].before, headers[i].entry, headers[i].after);
        json_set_alloc_funcs(counting_malloc, counting_free);
        own_bytes = json_bytes = json_peak = 0;
        assert_int_equal(batchnorm_safetensors_open(file_path("f"), &f, NULL), headers[i].status);
        batchnorm_safetensors_close(f);
        json_set_alloc_funcs(malloc, free);
        assert_int_equal(json_bytes, 0);
        if (own_bytes + json_peak > 10000000) fail_msg("header %zu takes %zu + %zu bytes", i, own_bytes, json_peak);
    }
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
        cmocka_unit_test_teardown(memory_is_bounded_by_the_header, let_go),
        cmocka_unit_test_teardown(every_allocation_of_a_load_may_fail, let_go),
    };
    return cmocka_run_group_tests_name("file.safetensors.memory", tests, files_setup, files_teardown);
}
