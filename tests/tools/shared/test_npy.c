/* SPDX-License-Identifier: MIT */
/* The command's NumPy files: bytes as NumPy writes them, both orders, both byte orders, every refusal, and files that were cut
 * or changed. */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/files.h"
#include "tests/support/malformed.h"
#include "tests/support/test.h"
#include "tools/shared/npy.h"

/* A file of this version, header and that many bytes of data: 0, 1, 2, ... */
static size_t compose_version(unsigned char *bytes, int version, const char *header, size_t data) {
    size_t length = strlen(header), at = 8;
    memcpy(bytes, "\x93NUMPY", 6);
    bytes[6] = (unsigned char)version;
    bytes[7] = 0;
    for (int i = 0; i < (version == 1 ? 2 : 4); i++) bytes[at++] = (unsigned char)(length >> 8 * i);
    memcpy(bytes + at, header, length);
    for (size_t i = 0; i < data; i++) bytes[at + length + i] = (unsigned char)i;
    return at + length + data;
}

static size_t compose(unsigned char *bytes, const char *header, size_t data) { return compose_version(bytes, 1, header, data); }

/* Every file here that may be read has 24 bytes of elements. */
static bool reads(const char *path, char *message) {
    struct array a;
    if (!npy_read(&a, path, NULL, message)) {
        assert_null(a.memory);
        return false;
    }
    assert_int_equal((size_t)batchnorm_tensor_elements(&a.view) * batchnorm_dtype_bytes(a.view.dtype), 24);
    array_free(&a);
    return true;
}

static struct array read_good(const void *bytes, size_t count) {
    char message[MESSAGE_BYTES] = "";
    struct array array;
    file_put(file_path("f"), bytes, count);
    if (!npy_read(&array, file_path("f"), NULL, message)) fail_msg("%s", message);
    return array;
}

/* numpy.save of [[1, 2, 3], [4, 5, 6]], as numpy 2 writes it. */
static const char little[] = "\x93NUMPY\1\0\x76\0{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }                   "
                             "                            "
                             "           \n"
                             "\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40\0\0\xa0\x40\0\0\xc0\x40";
static const char big_fortran[] = "\x93NUMPY\1\0\x76\0{'descr': '>f4', 'fortran_order': True, 'shape': (2, 3), }               "
                                  "                                 "
                                  "           \n"
                                  "\x3f\x80\0\0\x40\x80\0\0\x40\0\0\0\x40\xa0\0\0\x40\x40\0\0\x40\xc0\0\0";

TEST(orders_and_byte_orders_mean_the_same) {
    assert_int_equal(sizeof little - 1, 128 + 24);
    assert_int_equal(sizeof big_fortran - 1, 128 + 24);
    for (int fortran = 0; fortran < 2; fortran++) {
        struct array a = read_good(fortran ? big_fortran : little, 152);
        assert_int_equal(a.view.dtype, BATCHNORM_F32);
        assert_int_equal(a.view.rank, 2);
        assert_true(a.view.shape[0] == 2 && a.view.shape[1] == 3);
        /* a view, not a copy in another order */
        assert_int_equal(a.view.stride[0], fortran ? 1 : 3);
        assert_int_equal(a.view.stride[1], fortran ? 2 : 1);
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 3; j++)
                assert_true(((float *)a.view.data)[i * a.view.stride[0] + j * a.view.stride[1]] == 3 * i + j + 1);
        array_free(&a);
    }
}

TEST(what_is_written_is_what_numpy_writes) {
    float data[6] = {1, 2, 3, 4, 5, 6};
    int64_t shape[] = {2, 3};
    batchnorm_tensor tensor = batchnorm_tensor_contiguous(data, BATCHNORM_F32, 2, shape);
    int fd = open(file_path("w"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    char message[MESSAGE_BYTES], got[200];
    assert_true(npy_write(fd, &tensor, message));
    close(fd);
    assert_int_equal(file_get(file_path("w"), got, sizeof got), 152);
    assert_memory_equal(got, little, 152);
}

TEST(every_shape_comes_back) {
    static const struct {
        int rank;
        int64_t shape[BATCHNORM_MAX_RANK];
    } shapes[] = {{0, {0}}, {1, {7}}, {1, {0}}, {2, {3, 0}}, {8, {1, 2, 1, 2, 1, 2, 1, 2}}, {2, {0, 1e15}}, {3, {1, 1, 1}}};
    static const batchnorm_dtype types[] = {BATCHNORM_F32, BATCHNORM_F64, BATCHNORM_F16};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
            double data[100] = {1.5, 2.5};
            batchnorm_tensor tensor = batchnorm_tensor_contiguous(data, types[t], shapes[i].rank, shapes[i].shape);
            size_t bytes = (size_t)batchnorm_tensor_elements(&tensor) * batchnorm_dtype_bytes(types[t]);
            char message[MESSAGE_BYTES];
            int fd = open(file_path("w"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
            assert_true(npy_write(fd, &tensor, message));
            close(fd);
            struct array a;
            if (!npy_read(&a, file_path("w"), NULL, message)) fail_msg("%s", message);
            assert_int_equal(a.view.dtype, types[t]);
            assert_int_equal(a.view.rank, shapes[i].rank);
            for (int d = 0; d < a.view.rank; d++) assert_int_equal(a.view.shape[d], shapes[i].shape[d]);
            assert_memory_equal(a.view.data, data, bytes);
            array_free(&a);
        }
    }
}

TEST(bf16_has_no_name_here) {
    uint16_t data[1] = {0};
    batchnorm_tensor tensor = batchnorm_tensor_contiguous(data, BATCHNORM_BF16, 0, NULL);
    char message[MESSAGE_BYTES];
    assert_false(npy_write(-1, &tensor, message));
    assert_non_null(strstr(message, "cannot hold"));
}

/* Headers that are right, though NumPy of today writes others. */
static const struct {
    int version;
    const char *header;
    size_t data;
} good[] = {
    {1, "{'descr': '<f2', 'fortran_order': False, 'shape': (), }", 2},
    {2, "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }\n", 8},
    {3, "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }\n", 8},
    {1, "{'shape': (2L, 3L), 'fortran_order': True, 'descr': '=f4'}", 24},
    {1, "{'descr': 'f4', 'fortran_order': False, 'shape': (2, 3)}", 24},
    {1, "{'descr': '|f4', 'fortran_order': False, 'shape': (2, 3)}", 24},
    {1, "{'descr': 'float32', 'fortran_order': False, 'shape': (2, 3)}", 24},
    {1, "{'descr': '<float64', 'fortran_order': False, 'shape': (2, 3)}", 48},
    {1, "{\"descr\":\"<f4\",\"fortran_order\":False,\"shape\":(2,3)}", 24},
    {1, "  {\t'descr' :'<f4' ,\n'fortran_order': False, 'shape': ( 2 , 3 , ) } \r\n", 24},
    {1, "{'descr': '<f4', 'fortran_order': True, 'shape': (9223372036854775807, 9223372036854775807, 0)}", 0},
};

TEST(unusual_headers_are_read) {
    unsigned char bytes[1000];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct array a = read_good(bytes, compose_version(bytes, good[i].version, good[i].header, good[i].data));
        array_free(&a);
    }
}

/* Headers that are wrong, with words of the message that says how. */
static const struct malformed broken[] = {
    {"", 0, "'' where '{' should be"},
    {"['descr']", 0, "'['descr']' where '{'"},
    {"{'descr': '<f4', 'fortran_order': False}", 0, "lacks the key 'shape'"},
    {"{}", 0, "lacks the key 'descr'"},
    {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}", 4, "the key 'descr' twice"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (), 'more': 1}", 4, "the key 'more'"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': ()", 4, "where ',' or '}' should be"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': ()} x", 4, "'x' where its end"},
    {"{'descr': '<f4' 'fortran_order': False, 'shape': ()}", 4, "where ',' or '}'"},
    {"{'descr' '<f4', 'fortran_order': False, 'shape': ()}", 4, "where ':' should"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': ()}", 4, "has integers as elements; --dtype"},
    {"{'descr': '<c8', 'fortran_order': False, 'shape': ()}", 8, "type '<c8'; f2, f4 or f8 is needed"},
    {"{'descr': '|b1', 'fortran_order': False, 'shape': ()}", 4, "has integers as elements"},
    {"{'descr': '<c8', 'fortran_order': False, 'shape': ()}", 8, "type '<c8'"},
    {"{'descr': '<f16', 'fortran_order': False, 'shape': ()}", 16, "type '<f16'"},
    {"{'descr': '|<f4', 'fortran_order': False, 'shape': ()}", 4, "type '|<f4'"},
    {"{'descr': 'int32', 'fortran_order': False, 'shape': ()}", 4, "has integers as elements"},
    {"{'descr': '', 'fortran_order': False, 'shape': ()}", 4, "type ''"},
    {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}", 4, "records"},
    {"{'descr': '<f4, 'fortran_order': False, 'shape': ()}", 4, "type '<f4, '"},
    {"{'descr': '<f4", 4, "where the type should be"},
    {"{'descr': '<f4', 'fortran_order': 0, 'shape': ()}", 4, "True or False"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': 4}", 16, "where a shape"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (4)}", 16, "a number, not a tuple"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", 16, "where a size"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", 16, "where a size"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}", 16, "where ')'"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,)}", 16, "does not fit 64 bits"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", 16, "address space"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}", 16, "needs 4000000000000"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,)}", 16, "address space"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", 4, "more than 8 dimensions"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", 23, "23 bytes follow the header; the shape (2, 3) needs 24"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", 25, "25 bytes follow"},
    {"{'descr': '\x1b[2J', 'fortran_order': False, 'shape': (2, 3)}", 24, "'?[2J'"},
};

TEST(every_rule_is_checked) { every_one_is_refused(reads, compose, broken, sizeof broken / sizeof broken[0]); }

TEST(what_is_no_npy_file_is_said) {
    static const struct malformed files[] = {
        {"", 0, "it has only 0 bytes"},
        {"PK\3\4\0\0\0\0\0\0", 10, "first bytes"},
        {"\x93NUMPY\4\0\0\0", 10, "version 4.0"},
        {"\x93NUMPY\1\1\0\0", 10, "version 1.1"},
        {"\x93NUMPY\0\0\0\0", 10, "version 0.0"},
        {"\x93NUMPY\2\0\1\0\1\0", 12, "header of 65537 bytes"},
        {"\x93NUMPY\2\0\xff\xff\xff\xff", 12, "header of 4294967295 bytes"},
        {"\x93NUMPY\1\0\xff\xff{", 11, "ends inside its header"},
    };
    every_one_is_refused(reads, NULL, files, sizeof files / sizeof files[0]);
    char message[MESSAGE_BYTES] = "";
    struct array a;
    assert_false(npy_read(&a, file_path("absent"), NULL, message));
    assert_non_null(strstr(message, "No such file"));
    assert_false(npy_read(&a, file_path(""), NULL, message));
    assert_non_null(strstr(message, "neither a file nor a pipe"));
}

TEST(a_cut_file_is_an_error_at_every_length) { every_cut_is_refused(reads, little, sizeof little - 1); }

TEST(a_changed_header_is_an_error_or_an_array) {
    every_change_is_stood(reads, little, sizeof little - 1, 128, "09-+.L'\"{}():,\\ \x1b\n<>");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_and_byte_orders_mean_the_same),
        cmocka_unit_test(what_is_written_is_what_numpy_writes),
        cmocka_unit_test(every_shape_comes_back),
        cmocka_unit_test(bf16_has_no_name_here),
        cmocka_unit_test(unusual_headers_are_read),
        cmocka_unit_test(every_rule_is_checked),
        cmocka_unit_test(what_is_no_npy_file_is_said),
        cmocka_unit_test(a_cut_file_is_an_error_at_every_length),
        cmocka_unit_test(a_changed_header_is_an_error_or_an_array),
    };
    return cmocka_run_group_tests_name("tools.npy", tests, files_setup, files_teardown);
}
