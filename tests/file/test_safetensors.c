/* SPDX-License-Identifier: MIT */
/* Reading safetensors files: what a good file gives, every rule of the format, and files that were cut or changed. Longer than
 * other files because its tables of files, right and wrong, are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file_support.h"
#include "tests/support/files.h"
#include "tests/support/malformed.h"
#include "tests/support/test.h"

/* A file of this header and that many bytes of data: 0, 1, 2, ... */
static size_t compose(unsigned char *bytes, const char *header, size_t data) {
    size_t length = strlen(header);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)((uint64_t)length >> 8 * i);
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < data; i++) bytes[8 + length + i] = (unsigned char)i;
    return 8 + length + data;
}

/* Whether there is room for a message changes nothing. What was in the pointers is replaced. */
static bool reads(const char *path, char *message) {
    batchnorm_safetensors *f = (batchnorm_safetensors *)message, *other = f;
    const batchnorm_status status = batchnorm_safetensors_open(path, &f, message);
    assert_int_equal(batchnorm_safetensors_open(path, &other, NULL), status);
    batchnorm_safetensors_close(other);
    if (status != BATCHNORM_OK) {
        assert_int_equal(status, BATCHNORM_BAD_FILE);
        assert_null(f);
        return false;
    }
    unsigned sum = 0;
    for (size_t i = 0; i < batchnorm_safetensors_count(f); i++) {
        const batchnorm_safetensors_entry *entry = batchnorm_safetensors_at(f, i);
        for (size_t b = 0; entry->tensor.data && b < entry->bytes; b++) sum += ((unsigned char *)entry->tensor.data)[b];
        assert_true(strlen(entry->name) + strlen(entry->dtype) > 0 && sum < 1u << 20);
    }
    batchnorm_safetensors_close(f);
    return true;
}

TEST(other_formats_are_told) {
    static const struct {
        const char *begins;
        size_t bytes;
        const char *what;
    } formats[] = {{"PK\3\4\0\0\x08\x08\0\0", 10, "is a zip archive, as torch.save() and numpy.savez() write; a safetensors"},
                   {"\x93NUMPY\1\0\x76\0{", 11, "is an .npy file; a safetensors file is needed"},
                   {"\x89HDF\r\n\x1a\n\0\0", 10, "is an HDF5 file; a safetensors file is needed"},
                   {"\x80\2\x8a\nl\xfc\x9c\x46\xf9\x20", 10, "is a pickle, as old versions of torch.save() write"}};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        char message[BATCHNORM_MESSAGE_BYTES];
        batchnorm_safetensors *f;
        file_put(file_path("f"), formats[i].begins, formats[i].bytes);
        assert_int_equal(batchnorm_safetensors_open(file_path("f"), &f, message), BATCHNORM_BAD_FILE);
        assert_non_null(strstr(message, formats[i].what));
    }
}

TEST(elements_are_little_endian) {
    static const unsigned char file[] = "\xa7\0\0\0\0\0\0\0"
                                        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[2,10]},"
                                        "\"b\":{\"shape\":[1,1],\"dtype\":\"BF16\",\"data_offsets\":[0,2]},"
                                        "\"n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[10,18]}}"
                                        "  \x80\x3f"
                                        "\0\0\x80\x3f\0\0\0\xc0"
                                        "\x02\x01\0\0\0\0\0\0";
    assert_int_equal(sizeof file - 1, 8 + 0xa7 + 18);
    file_put(file_path("f"), file, sizeof file - 1);
    batchnorm_safetensors *f = open_good(file_path("f"));
    assert_int_equal(batchnorm_safetensors_count(f), 3);
    const batchnorm_safetensors_entry *a = batchnorm_safetensors_at(f, 0), *b = batchnorm_safetensors_at(f, 1);
    const batchnorm_safetensors_entry *n = batchnorm_safetensors_find(f, "n");
    assert_string_equal(a->name, "a");
    assert_int_equal(a->tensor.rank, 1);
    assert_int_equal(a->tensor.shape[0], 2);
    assert_int_equal(a->tensor.stride[0], 1);
    assert_true(((float *)a->tensor.data)[0] == 1 && ((float *)a->tensor.data)[1] == -2);
    assert_string_equal(b->dtype, "BF16");
    assert_int_equal(b->tensor.dtype, BATCHNORM_BF16);
    assert_int_equal(b->bytes, 2);
    assert_int_equal(*(uint16_t *)b->tensor.data, 0x3f80);
    assert_int_equal(n->tensor.rank, 0);
    assert_int_equal(*(int64_t *)n->tensor.data, 258);
    assert_null(batchnorm_safetensors_at(f, 3));
    assert_null(batchnorm_safetensors_find(f, "c"));
}

/* Files that are right, though unusual: the header, and how many bytes of data go with it. */
static const struct {
    const char *header;
    size_t data, tensors;
} good[] = {
    {"{}", 0, 0},
    {"{}      ", 0, 0},
    {"{\"__metadata__\":{}}", 0, 0},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3, 1},
    {"{\"a\":{\"dtype\":\"F4\",\"shape\":[6],\"data_offsets\":[0,3]}}", 3, 1},
    {"{\"a\":{\"dtype\":\"C64\",\"shape\":[],\"data_offsets\":[0,8]}}", 8, 1},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, 1},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"z\":{\"dtype\":\"F64\",\"shape\":[2,0],"
     "\"data_offsets\":[4,4]}}",
     4, 2},
    {"{\"a\":{\"dtype\":\"F16\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,4]}}", 4, 1},
    {"{\"\\u00e9\\u4e00\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[0,2]}}", 2, 1},
    {"{\"a\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[0,2],\"more\":null}}", 2, 1},
};

TEST(unusual_files_are_read) {
    unsigned char bytes[1000];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        file_put(file_path("f"), bytes, compose(bytes, good[i].header, good[i].data));
        batchnorm_safetensors *f = open_good(file_path("f"));
        assert_int_equal(batchnorm_safetensors_count(f), good[i].tensors);
    }
}

TEST(types_without_a_view_have_no_data) {
    unsigned char bytes[1000];
    file_put(file_path("f"), bytes, compose(bytes, good[3].header, good[3].data));
    batchnorm_safetensors *f = open_good(file_path("f"));
    const batchnorm_safetensors_entry *entry = batchnorm_safetensors_at(f, 0);
    assert_string_equal(entry->dtype, "U8");
    assert_null(entry->tensor.data);
    assert_int_equal(entry->bytes, 3);
    file_put(file_path("f"), bytes, compose(bytes, good[8].header, good[8].data));
    f = open_good(file_path("f"));
    entry = batchnorm_safetensors_at(f, 0);
    assert_int_equal(entry->tensor.rank, -1);
    assert_null(entry->tensor.data);
}

TEST(metadata_is_listed_in_its_order) {
    unsigned char bytes[1000];
    file_put(file_path("f"), bytes, compose(bytes, "{\"__metadata__\":{\"z\":\"1\",\"format\":\"pt\",\"a\":\"\"}}", 0));
    batchnorm_safetensors *f = open_good(file_path("f"));
    assert_string_equal(batchnorm_safetensors_metadata(f, "format"), "pt");
    assert_null(batchnorm_safetensors_metadata(f, "none"));
    assert_string_equal(batchnorm_safetensors_metadata_at(f, 0)->key, "z");
    assert_string_equal(batchnorm_safetensors_metadata_at(f, 2)->value, "");
    assert_null(batchnorm_safetensors_metadata_at(f, 3));
}

/* One tensor 'a' of the given description. */
#define A(text) "{\"a\":{" text "}}"

/* Files that break a rule, with words of the message that says which. */
static const struct malformed broken[] = {
    {" {}", 0, "begin with '{'"},
    {"[]", 0, "begin with '{'"},
    {"", 0, "empty"},
    {"{", 0, "empty"},
    {"{\"a\"", 0, "not valid JSON"},
    {"{} x", 0, "not valid JSON"},
    {A("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]"),
     8, "not valid JSON: duplicate name 'a'"},
    {A("\"dtype\":\"F32\",\"shape\":[1],\"dtype\":\"F32\",\"data_offsets\":[0,4]"), 4, "not valid JSON: duplicate"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "not valid JSON: duplicate"},
    {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"1\"}}", 0, "not valid JSON: duplicate name 'a'"},
    {"{\"a\" 1}", 0, "not valid JSON: ':' is missing (byte 6 of it)"},
    {"{\"a\":[[[[[[[[[]]]]]]]]]}", 0, "not valid JSON: brackets are nested too deep (byte 14 of it)"},
    {"{\"a\":1 \"b\":1}", 0, "not an object"},
    {"{\"a\":}", 0, "not valid JSON: a value is missing (byte 6 of it)"},
    {"{\"a\":{]}", 0, "not valid JSON"},
    {"{,}", 0, "not valid JSON: a name is missing (byte 2 of it)"},
    {"{\"__metadata__\":{},}", 0, "not valid JSON: a name is missing"},
    {"{\"__metadata__\":{} \"a\":{}}", 0, "not valid JSON: something follows its end (byte 20 of it)"},
    {"{\"\xff\":{}}", 0, "not valid JSON"},
    {"{\"a\\u0000\":{}}", 0, "not valid JSON"},
    {"{\"__metadata__\":[]}", 0, "object of strings"},
    {"{\"__metadata__\":{\"format\":1}}", 0, "'format' is not a string"},
    {"{\"a\":1}", 0, "not an object"},
    {A("\"shape\":[],\"data_offsets\":[0,0]"), 0, "no dtype"},
    {A("\"dtype\":4,\"shape\":[],\"data_offsets\":[0,0]"), 0, "no dtype"},
    {A("\"dtype\":\"F128\",\"shape\":[],\"data_offsets\":[0,16]"), 16, "dtype is unknown"},
    {A("\"dtype\":\"f32\",\"shape\":[],\"data_offsets\":[0,4]"), 4, "dtype is unknown"},
    {A("\"dtype\":\"F32\",\"data_offsets\":[0,4]"), 4, "no shape"},
    {A("\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]"), 4, "no shape"},
    {A("\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]"), 4, "integer from 0"},
    {A("\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]"), 4, "integer from 0"},
    {A("\"dtype\":\"F32\",\"shape\":[\"1\"],\"data_offsets\":[0,4]"), 4, "integer from 0"},
    {A("\"dtype\":\"F32\",\"shape\":[9223372036854775808],\"data_offsets\":[0,4]"), 4, "not valid JSON"},
    {A("\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]"), 0, "64 bits can count"},
    {A("\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]"), 0, "does not fit 64 bits"},
    {A("\"dtype\":\"F32\",\"shape\":[1]"), 4, "data_offsets must be"},
    {A("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]"), 4, "data_offsets must be"},
    {A("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]"), 4, "data_offsets must be"},
    {A("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]"), 4, "data_offsets must be"},
    {A("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]"), 4, "data_offsets must be"},
    {A("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]"), 4, "do not fit its data_offsets"},
    {A("\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]"), 1, "whole byte"},
    {A("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]"), 3, "ends before its bytes"},
    {A("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]"), 5, "1 bytes at its end"},
    {A("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]"), 5, "gap before"},
    {A("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]"),
     6, "tensor 'b': its bytes overlap"},
    {A("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]"),
     4, "overlap"},
    {A("\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[1,1]"), 1, "gap before"},
    {"{}", 1, "1 bytes at its end"},
};

TEST(every_rule_is_checked) { every_one_is_refused(reads, compose, broken, sizeof broken / sizeof broken[0]); }

TEST(header_sizes_are_checked) {
    static const struct malformed files[] = {
        {"", 0, "has 0 bytes"},
        {"\2\0\0\0\0\0\0", 7, "has 7 bytes"},
        {"\3\0\0\0\0\0\0\0{}", 10, "only 2 bytes follow"},
        {"\1\xe1\xf5\5\0\0\0\0{}", 10, "100000001; at most 100000000"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "18446744073709551615; at most"},
    };
    every_one_is_refused(reads, NULL, files, sizeof files / sizeof files[0]);
}

TEST(what_cannot_be_opened_is_said) {
    char message[BATCHNORM_MESSAGE_BYTES] = "";
    batchnorm_safetensors *f;
    assert_int_equal(batchnorm_safetensors_open(file_path("absent"), &f, message), BATCHNORM_IO);
    assert_non_null(strstr(message, "No such file"));
    assert_int_equal(batchnorm_safetensors_open(file_path(""), &f, message), BATCHNORM_IO);
    assert_non_null(strstr(message, "neither a file nor a pipe"));
    assert_int_equal(batchnorm_safetensors_open(NULL, &f, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_safetensors_open("f", NULL, NULL), BATCHNORM_NULL_POINTER);
    batchnorm_safetensors_close(NULL);
    assert_int_equal(batchnorm_safetensors_count(NULL), 0);
}

/* Names come from hostile files; a message goes to a terminal. */
TEST(messages_have_no_control_characters) {
    unsigned char bytes[1000];
    file_put(file_path("f"), bytes, compose(bytes, "{\"\\u001b[2J\":1}", 0));
    char message[BATCHNORM_MESSAGE_BYTES] = "";
    batchnorm_safetensors *f;
    assert_int_equal(batchnorm_safetensors_open(file_path("f"), &f, message), BATCHNORM_BAD_FILE);
    assert_null(strchr(message, '\x1b'));
    assert_non_null(strstr(message, "'?[2J'"));
}

static const char sample[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                             "\"weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[8,32]},"
                             "\"n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}} ";

TEST(a_cut_file_is_an_error_at_every_length) {
    unsigned char bytes[1000];
    every_cut_is_refused(reads, bytes, compose(bytes, sample, 32));
}

TEST(a_changed_header_is_an_error_or_a_file) {
    unsigned char bytes[1000];
    const size_t whole = compose(bytes, sample, 32);
    every_change_is_stood(reads, bytes, whole, whole - 32, "09-+.eE\"{}[]:,\\ \x1b\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_formats_are_told),
        cmocka_unit_test_teardown(elements_are_little_endian, let_go),
        cmocka_unit_test_teardown(unusual_files_are_read, let_go),
        cmocka_unit_test_teardown(types_without_a_view_have_no_data, let_go),
        cmocka_unit_test_teardown(metadata_is_listed_in_its_order, let_go),
        cmocka_unit_test_teardown(every_rule_is_checked, let_go),
        cmocka_unit_test_teardown(header_sizes_are_checked, let_go),
        cmocka_unit_test_teardown(what_cannot_be_opened_is_said, let_go),
        cmocka_unit_test_teardown(messages_have_no_control_characters, let_go),
        cmocka_unit_test_teardown(a_cut_file_is_an_error_at_every_length, let_go),
        cmocka_unit_test_teardown(a_changed_header_is_an_error_or_a_file, let_go),
    };
    return cmocka_run_group_tests_name("file.safetensors", tests, files_setup, files_teardown);
}
