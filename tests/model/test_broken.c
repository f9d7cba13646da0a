/* SPDX-License-Identifier: MIT */
/* Models cut at every byte and with every byte changed: each is refused with a message, or opened so that everything that it
 * has can be looked at and folded; a sanitizer sees what is not there. make_models.py made the models. */
#include <stdlib.h>
#include <string.h>

#include "model_support.h"
#include "tests/support/files.h"
#include "tests/support/test.h"

/* No file of a few hundred bytes is a reason to take much memory, whatever sizes it declares. */
enum { MOST = 1 << 20 };
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);

static void expect_few(size_t bytes) {
    if (bytes > MOST) fail_msg("it asks for %zu bytes", bytes);
}

void *__wrap_malloc(size_t bytes) {
    expect_few(bytes);
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes) {
    expect_few(bytes ? (count > SIZE_MAX / bytes ? SIZE_MAX : count * bytes) : 0);
    return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *memory, size_t bytes) {
    expect_few(bytes);
    return __real_realloc(memory, bytes);
}

static const char *const names[] = {"conv",       "concat",     "constant_nodes", "inside_if",       "inside_function",
                                    "int32_data", "float_data", "shared_weights", "norm_conv_padded"};

static size_t get(const char *name, struct bytes *b) {
    char path[100];
    snprintf(path, sizeof path, "model/models/%s.onnx", name);
    b->count = file_get(path, b->at, sizeof b->at);
    assert_true(b->count > 100 && b->count <= sizeof b->at);
    return b->count;
}

TEST(every_cut_is_stood) {
    static struct bytes b;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        get(names[i], &b);
        assert_true(look_at(b.at, b.count, true));
        size_t read = 0;
        for (size_t count = 0; count < b.count; count++) read += look_at(b.at, count, false);
        if (read > 3) fail_msg("%s is read at %zu lengths", names[i], read); /* between fields of the model */
    }
}

TEST(every_changed_byte_is_stood) {
    static struct bytes b;
    size_t read = 0, refused = 0, tried = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        get(names[i], &b);
        for (size_t at = 0; at < b.count; at++) {
            const unsigned char old = b.at[at], others[] = {0, 0xff, 0x7f, old ^ 1, old ^ 2, old ^ 8, old ^ 0x80, old + 1};
            for (size_t k = 0; k < sizeof others; k++) {
                b.at[at] = others[k];
                if (look_at(b.at, b.count, tried++ % 256 == 0))
                    read++;
                else
                    refused++;
            }
            b.at[at] = old;
        }
    }
    assert_true(read > 1000 && refused > 1000);
}

/* Several bytes at a time, so that what was found once is not all that is found. */
TEST(random_changes_are_stood) {
    static struct bytes b, changed;
    srand(2026);
    for (int round = 0; round < 4000; round++) {
        const size_t i = (size_t)rand() % (sizeof names / sizeof *names);
        if (round % 16 == 0 || b.count == 0) get(names[i], &b);
        changed = b;
        for (int k = rand() % 8; k >= 0; k--) changed.at[(size_t)rand() % changed.count] = (unsigned char)rand();
        look_at(changed.at, changed.count, round % 32 == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_is_stood),
        cmocka_unit_test(every_changed_byte_is_stood),
        cmocka_unit_test(random_changes_are_stood),
    };
    return cmocka_run_group_tests_name("model.broken", tests, files_setup, files_teardown);
}
