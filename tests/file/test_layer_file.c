/* SPDX-License-Identifier: MIT */
/* A layer's state as a file: keys, metadata, and loads that must leave the layer as it was. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file_support.h"
#include "tests/support/files.h"
#include "tests/support/test.h"

static float *floats(batchnorm_tensor tensor) { return tensor.data; }

/* A layer with numbers of its own everywhere. */
static batchnorm_layer *sample(batchnorm_layer_options options) {
    batchnorm_layer *layer = new_layer(options);
    for (int c = 0; c < 3; c++) {
        floats(batchnorm_layer_weight(layer)->value)[c] = (float)c + 0.125f;
        floats(batchnorm_layer_bias(layer)->value)[c] = (float)c + 0.25f;
        floats(batchnorm_layer_running_mean(layer))[c] = (float)c + 0.5f;
        floats(batchnorm_layer_running_var(layer))[c] = (float)c + 0.75f;
    }
    *batchnorm_layer_num_batches_tracked(layer) = ((int64_t)1 << 40) + 1;
    return layer;
}

static void load(batchnorm_layer *layer) {
    char message[BATCHNORM_MESSAGE_BYTES] = "";
    if (batchnorm_layer_load(layer, file_path("f"), message) != BATCHNORM_OK) fail_msg("%s", message);
}

TEST(keys_are_those_of_pytorch) {
    static const char *const keys[] = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"};
    batchnorm_layer *layer = sample(batchnorm_layer_defaults(2, 3));
    assert_int_equal(batchnorm_layer_save(layer, file_path("f"), NULL), BATCHNORM_OK);
    const batchnorm_safetensors *f = open_good(file_path("f"));
    assert_int_equal(batchnorm_safetensors_count(f), 5);
    for (size_t i = 0; i < 5; i++) assert_string_equal(batchnorm_safetensors_at(f, i)->name, keys[i]);
    assert_int_equal(batchnorm_safetensors_at(f, 4)->tensor.rank, 0);
    assert_string_equal(batchnorm_safetensors_metadata(f, "format"), "pt");
    assert_string_equal(batchnorm_safetensors_metadata(f, "batchnorm.eps"), "1.0000000000000001e-05");
    assert_string_equal(batchnorm_safetensors_metadata(f, "batchnorm.momentum"), "0.10000000000000001");
}

TEST(a_state_comes_back) {
    batchnorm_layer_options options = batchnorm_layer_defaults(2, 3);
    options.convention.eps = 1.0 / 3;
    options.convention.momentum = -2e-300;
    batchnorm_layer *from = sample(options), *to = new_layer(batchnorm_layer_defaults(2, 3));
    assert_int_equal(batchnorm_layer_save(from, file_path("f"), NULL), BATCHNORM_OK);
    load(to);
    assert_memory_equal(floats(batchnorm_layer_running_var(to)), floats(batchnorm_layer_running_var(from)), 12);
    assert_memory_equal(floats(batchnorm_layer_bias(to)->value), floats(batchnorm_layer_bias(from)->value), 12);
    assert_true(*batchnorm_layer_num_batches_tracked(to) == ((int64_t)1 << 40) + 1);
    options = batchnorm_layer_get_options(to);
    assert_true(options.convention.eps == 1.0 / 3 && options.convention.momentum == -2e-300 && !options.cumulative);
}

TEST(momentum_none_comes_back) {
    batchnorm_layer_options options = batchnorm_layer_defaults(2, 3);
    options.cumulative = true;
    batchnorm_layer *from = sample(options), *to = new_layer(batchnorm_layer_defaults(2, 3));
    assert_int_equal(batchnorm_layer_save(from, file_path("f"), NULL), BATCHNORM_OK);
    load(to);
    assert_true(batchnorm_layer_get_options(to).cumulative);
}

/* In the file momentum is that of the new value, so layers of different conventions understand each other. */
TEST(momentum_is_that_of_the_new_value) {
    batchnorm_layer_options options = batchnorm_layer_defaults(2, 3);
    options.convention = batchnorm_convention(BATCHNORM_ONNX);
    options.convention.momentum = 0.75;
    batchnorm_layer *onnx = sample(options), *torch = new_layer(batchnorm_layer_defaults(2, 3));
    assert_int_equal(batchnorm_layer_save(onnx, file_path("f"), NULL), BATCHNORM_OK);
    load(torch);
    assert_true(batchnorm_layer_get_options(torch).convention.momentum == 0.25);
    load(onnx);
    assert_true(batchnorm_layer_get_options(onnx).convention.momentum == 0.75);
}

TEST(a_lazy_layer_learns_its_channels) {
    batchnorm_layer_options options = batchnorm_layer_defaults(2, 3);
    batchnorm_layer *from = sample(options);
    options.lazy = true;
    batchnorm_layer *to = new_layer(options);
    assert_int_equal(batchnorm_layer_save(from, file_path("f"), NULL), BATCHNORM_OK);
    load(to);
    assert_int_equal(batchnorm_layer_running_mean(to).shape[0], 3);
}

/* The decimal comma of a locale stays out of the file. */
TEST(locales_do_not_matter) {
    static const char *const with_comma[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR", "pl_PL.UTF-8"};
    const char *set = NULL;
    for (size_t i = 0; !set && i < sizeof with_comma / sizeof with_comma[0]; i++) set = setlocale(LC_ALL, with_comma[i]);
    if (!set) skip();
    momentum_is_that_of_the_new_value(NULL);
    keys_are_those_of_pytorch(NULL);
    setlocale(LC_ALL, "C");
}

/* Files that a layer of 3 channels must refuse. Every tensor has the bytes 0. */
static const struct {
    const char *header;
    size_t data;
    batchnorm_status status;
    const char *says;
} refused[] = {
    {"{\"__metadata__\":{\"batchnorm.eps\":\"small\"}}", 0, BATCHNORM_BAD_FILE, "'small', which is no number"},
    {"{\"__metadata__\":{\"batchnorm.eps\":\"1e-5 \"}}", 0, BATCHNORM_BAD_FILE, "no number"},
    {"{\"__metadata__\":{\"batchnorm.eps\":\"\"}}", 0, BATCHNORM_BAD_FILE, "no number"},
    {"{\"__metadata__\":{\"batchnorm.momentum\":\"None\"}}", 0, BATCHNORM_BAD_FILE, "neither a number nor none"},
    {"{\"__metadata__\":{\"batchnorm.momentum\":\"0x1\"}}", 0, BATCHNORM_BAD_FILE, "neither a number nor none"},
    {"{\"__metadata__\":{\"batchnorm.momentum\":\"0,1\"}}", 0, BATCHNORM_BAD_FILE, "neither a number nor none"},
    {"{}", 0, BATCHNORM_MISSING_KEY, ""},
    {"{\"weight\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3, BATCHNORM_BAD_DTYPE, "'weight' (U8)"},
    {"{", 0, BATCHNORM_BAD_FILE, ""},
};

TEST(a_load_that_fails_changes_nothing) {
    batchnorm_layer *layer = sample(batchnorm_layer_defaults(2, 3)), *other = new_layer(batchnorm_layer_defaults(2, 4));
    char message[BATCHNORM_MESSAGE_BYTES];
    for (size_t i = 0; i <= sizeof refused / sizeof refused[0]; i++) {
        message[0] = '\0';
        if (i < sizeof refused / sizeof refused[0]) {
            char file[300] = {0};
            size_t length = strlen(refused[i].header);
            file[0] = (char)length;
            memcpy(file + 8, refused[i].header, length);
            file_put(file_path("f"), file, 8 + length + refused[i].data);
            assert_int_equal(batchnorm_layer_load(layer, file_path("f"), message), refused[i].status);
            if (!strstr(message, refused[i].says)) fail_msg("%s: %s", refused[i].header, message);
        } else {
            assert_int_equal(batchnorm_layer_save(other, file_path("f"), NULL), BATCHNORM_OK);
            assert_int_equal(batchnorm_layer_load(layer, file_path("f"), message), BATCHNORM_BAD_SHAPE);
        }
        assert_true(message[0] != '\0');
        assert_true(floats(batchnorm_layer_weight(layer)->value)[1] == 1.125f);
        assert_true(batchnorm_layer_get_options(layer).convention.eps == 1e-5);
        assert_true(*batchnorm_layer_num_batches_tracked(layer) == ((int64_t)1 << 40) + 1);
    }
}

/* A file of this header, whose tensors have these bytes. */
static void put_file(const char *header, const void *data, size_t bytes) {
    char file[2000] = {0};
    const size_t length = strlen(header);
    file[0] = (char)(length & 0xff);
    file[1] = (char)(length >> 8);
    memcpy(file + 8, header, length);
    memcpy(file + 8 + length, data, bytes);
    file_put(file_path("f"), file, 8 + length + bytes);
}

#define TENSOR(name, dtype, shape, begin, end)                                                                                 \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" begin "," end "]}"
/* The four arrays of a layer of one channel, in BF16, from a place on: 1, 2, 3 and 4. */
#define ARRAYS(prefix, a, b, c, d, e)                                                                                          \
    TENSOR(prefix "weight", "BF16", "1", #a, #b)                                                                               \
    "," TENSOR(prefix "bias", "BF16", "1", #b, #c) "," TENSOR(prefix "running_mean", "BF16", "1", #c,                          \
                                                              #d) "," TENSOR(prefix "running_var", "BF16", "1", #d, #e)

static const uint16_t arrays[] = {0x3f80, 0x4000, 0x4040, 0x4080};

/* As PyTorch's load_state_dict() takes a plain dict: the counter may be missing, or be of any integer type. */
TEST(the_counter_may_be_missing_or_of_another_type) {
    static const struct {
        const char *tensor;
        unsigned char bytes[8];
        size_t count;
        int64_t tracked;
    } table[] = {{"", {0}, 0, 77},
                 {"," TENSOR("num_batches_tracked", "I32", "", "8", "12"), {0xfe, 0xff, 0xff, 0xff}, 4, -2},
                 {"," TENSOR("num_batches_tracked", "I32", "1", "8", "12"), {1, 2, 0, 0}, 4, 513},
                 {"," TENSOR("num_batches_tracked", "U32", "", "8", "12"), {0xfe, 0xff, 0xff, 0xff}, 4, 4294967294},
                 {"," TENSOR("num_batches_tracked", "I16", "", "8", "10"), {0, 0x80}, 2, -32768},
                 {"," TENSOR("num_batches_tracked", "U8", "", "8", "9"), {200}, 1, 200},
                 {"," TENSOR("num_batches_tracked", "I64", "", "8", "16"), {5}, 8, 5}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        batchnorm_layer *layer = new_layer(batchnorm_layer_defaults(2, 1));
        *batchnorm_layer_num_batches_tracked(layer) = 77;
        char header[1000];
        unsigned char data[16];
        snprintf(header, sizeof header, "{%s%s}", ARRAYS("", 0, 2, 4, 6, 8), table[i].tensor);
        memcpy(data, arrays, 8);
        memcpy(data + 8, table[i].bytes, 8);
        put_file(header, data, 8 + table[i].count);
        load(layer);
        assert_true(floats(batchnorm_layer_running_var(layer))[0] == 4);
        assert_true(*batchnorm_layer_num_batches_tracked(layer) == table[i].tracked);
    }
    batchnorm_layer *layer = new_layer(batchnorm_layer_defaults(2, 1));
    const unsigned char large[16] = {[15] = 0x80};
    char message[BATCHNORM_MESSAGE_BYTES] = "";
    put_file("{" ARRAYS("", 0, 2, 4, 6, 8) "," TENSOR("num_batches_tracked", "U64", "", "8", "16") "}", large, 16);
    assert_int_equal(batchnorm_layer_load(layer, file_path("f"), message), BATCHNORM_BAD_DTYPE);
    assert_non_null(strstr(message, "'num_batches_tracked' (U64)"));
    put_file("{" ARRAYS("", 0, 2, 4, 6, 8) "," TENSOR("num_batches_tracked", "I32", "2", "8", "16") "}", large, 16);
    assert_int_equal(batchnorm_layer_load(layer, file_path("f"), message), BATCHNORM_BAD_DTYPE);
}

TEST(one_layer_of_a_network) {
    static const struct {
        const char *prefix;
        batchnorm_status status;
        const char *says;
    } table[] = {{"bn1.", BATCHNORM_OK, ""},
                 {"", BATCHNORM_MISSING_KEY,
                  "without a prefix it has no such layer; there are layers under the prefixes \"bn1.\", \"a.b.\""},
                 {"bn1", BATCHNORM_MISSING_KEY, "under the prefix bn1 it has no such layer; there are"},
                 {"a.b.", BATCHNORM_BAD_SHAPE, "size mismatch for weight"},
                 {"a.", BATCHNORM_MISSING_KEY, "under the prefix a. it has no such layer"}};
    uint16_t data[10] = {0};
    memcpy(data, arrays, 8);
    put_file("{" ARRAYS("bn1.", 0, 2, 4, 6, 8) "," TENSOR("fc", "I8", "4", "8", "12") "," TENSOR(
                 "a.b.running_mean", "F16", "2", "12", "16") "," TENSOR("a.b.weight", "F16", "2", "16", "20") "}",
             data, 20);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        batchnorm_layer_options options = batchnorm_layer_defaults(2, 1);
        batchnorm_layer *layer = new_layer(options);
        if (strcmp(table[i].prefix, "a.b.") == 0) {
            assert_int_equal(batchnorm_layer_remove(layer, "bias"), BATCHNORM_OK);
            assert_int_equal(batchnorm_layer_remove(layer, "running_var"), BATCHNORM_OK);
        }
        char message[BATCHNORM_MESSAGE_BYTES] = "";
        assert_int_equal(batchnorm_layer_load_prefix(layer, file_path("f"), table[i].prefix, message), table[i].status);
        if (strncmp(message, table[i].says, strlen(table[i].says)) != 0) fail_msg("%s", message);
        if (table[i].status == BATCHNORM_OK) assert_true(floats(batchnorm_layer_running_mean(layer))[0] == 3);
    }
    /* a layer is there, and its keys are what does not fit */
    batchnorm_layer_options plain = batchnorm_layer_defaults(2, 1);
    plain.affine = plain.bias = false;
    char says[BATCHNORM_MESSAGE_BYTES] = "";
    assert_int_equal(batchnorm_layer_load_prefix(new_layer(plain), file_path("f"), "bn1.", says), BATCHNORM_UNEXPECTED_KEY);
    if (!strstr(says, "Unexpected key(s) in state_dict: \"weight\", \"bias\"")) fail_msg("%s", says);
    assert_int_equal(batchnorm_layer_load_prefix(new_layer(batchnorm_layer_defaults(2, 1)), "f", NULL, NULL),
                     BATCHNORM_NULL_POINTER);
}

/* Metadata is applied only after the tensors were accepted. */
TEST(metadata_alone_does_not_count) {
    batchnorm_layer_options options = batchnorm_layer_defaults(2, 4);
    options.convention.eps = 0.5;
    options.cumulative = true;
    batchnorm_layer *four = new_layer(options), *three = sample(batchnorm_layer_defaults(2, 3));
    assert_int_equal(batchnorm_layer_save(four, file_path("f"), NULL), BATCHNORM_OK);
    assert_int_equal(batchnorm_layer_load(three, file_path("f"), NULL), BATCHNORM_BAD_SHAPE);
    options = batchnorm_layer_get_options(three);
    assert_true(options.convention.eps == 1e-5 && !options.cumulative);
    assert_int_equal(batchnorm_layer_load(three, file_path("absent"), NULL), BATCHNORM_IO);
    assert_int_equal(batchnorm_layer_load(NULL, "f", NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_layer_save(NULL, "f", NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_layer_save(three, NULL, NULL), BATCHNORM_NULL_POINTER);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(keys_are_those_of_pytorch, let_go),
        cmocka_unit_test_teardown(a_state_comes_back, let_go),
        cmocka_unit_test_teardown(momentum_none_comes_back, let_go),
        cmocka_unit_test_teardown(momentum_is_that_of_the_new_value, let_go),
        cmocka_unit_test_teardown(a_lazy_layer_learns_its_channels, let_go),
        cmocka_unit_test_teardown(locales_do_not_matter, let_go),
        cmocka_unit_test_teardown(a_load_that_fails_changes_nothing, let_go),
        cmocka_unit_test_teardown(the_counter_may_be_missing_or_of_another_type, let_go),
        cmocka_unit_test_teardown(one_layer_of_a_network, let_go),
        cmocka_unit_test_teardown(metadata_alone_does_not_count, let_go),
    };
    return cmocka_run_group_tests_name("file.layer", tests, files_setup, files_teardown);
}
