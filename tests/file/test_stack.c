/* SPDX-License-Identifier: MIT */
/* How much stack the calls of safetensors.h take, hostile files included. */
#include <string.h>

#include "batchnorm/layer.h"
#include "batchnorm/safetensors.h"
#include "tests/support/files.h"
#include "tests/support/stack.h"
#include "tests/support/test.h"

enum { PROMISED = 32 << 10 };

static void save_and_load(void *unused) {
    (void)unused;
    char message[BATCHNORM_MESSAGE_BYTES];
    const batchnorm_layer_options options = batchnorm_layer_defaults(2, 100000);
    batchnorm_layer *layer;
    assert_int_equal(batchnorm_layer_create(&options, &layer), BATCHNORM_OK);
    assert_int_equal(batchnorm_layer_save(layer, file_path("f"), message), BATCHNORM_OK);
    assert_int_equal(batchnorm_layer_load(layer, file_path("f"), message), BATCHNORM_OK);
    batchnorm_layer_destroy(layer);
}

/* A reader of JSON that goes down a level for each bracket takes stack for all of them. */
static void read_brackets(void *unused) {
    (void)unused;
    char file[8 + 3000] = {0}, message[BATCHNORM_MESSAGE_BYTES];
    batchnorm_safetensors *f;
    file[0] = (char)(3000 & 0xff);
    file[1] = (char)(3000 >> 8);
    memcpy(file + 8, "{\"a\":", 5);
    memset(file + 13, '[', 3000 - 5);
    file_put(file_path("brackets"), file, sizeof file);
    assert_int_equal(batchnorm_safetensors_open(file_path("brackets"), &f, message), BATCHNORM_BAD_FILE);
}

TEST(calls_take_as_much_as_the_header_says) {
    const size_t first = stack_taken(save_and_load, NULL), second = stack_taken(read_brackets, NULL);
    print_message("%zu and %zu bytes\n", first, second);
    assert_in_range(first, 1000, PROMISED);
    assert_in_range(second, 1000, PROMISED);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(calls_take_as_much_as_the_header_says)};
    return cmocka_run_group_tests_name("file.stack", tests, files_setup, files_teardown);
}
