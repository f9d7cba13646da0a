/* SPDX-License-Identifier: MIT */
/* Files of tensor data beside a model: what belongs to it is read, and nothing else can be reached. */
#define _DEFAULT_SOURCE
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/external.h"
#include "model_support.h"
#include "tests/support/files.h"
#include "tests/support/test.h"

static char why[256];

/* Opens a location beside the model; the directory of the test has data.bin, "12345678". */
static int open_at(const char *location, size_t bytes, bool follows) {
    why[0] = '\0';
    const int fd = bn_external_open(file_path("model.onnx"), location, bytes, follows, why, sizeof why);
    assert_true((fd < 0) == (why[0] != '\0'));
    return fd;
}

static void refuses(const char *location, size_t bytes, bool follows, const char *words) {
    const int fd = open_at(location, bytes, follows);
    if (fd >= 0) close(fd);
    if (fd >= 0 || !strstr(why, words)) fail_msg("\"%s\": %s, instead of %s", location, fd >= 0 ? "is opened" : why, words);
}

static void opens(const char *location, bool follows) {
    char got[8];
    const int fd = open_at(location, strlen(location), follows);
    if (fd < 0) fail_msg("\"%s\": %s", location, why);
    assert_true(bn_external_read(fd, 0, got, 8, why, sizeof why));
    assert_memory_equal(got, "12345678", 8);
    assert_int_equal(bn_external_bytes(fd), 8);
    close(fd);
}

static void make(void) {
    file_put(file_path("data.bin"), "12345678", 8);
    file_make_directories(file_path("folder/data.bin"));
    file_put(file_path("folder/data.bin"), "12345678", 8);
}

TEST(files_beside_the_model_are_read) {
    make();
    opens("data.bin", false);
    opens("./data.bin", false);
    opens("folder/data.bin", false);
    opens("folder//data.bin", false);
    opens("folder/./data.bin", true);
}

TEST(no_other_file_is_reached) {
    static char long_name[2 * PATH_MAX];
    char absolute[PATH_MAX];
    make();
    memset(long_name, 'a', sizeof long_name - 1);
    assert_non_null(realpath(file_path("data.bin"), absolute));
    refuses(absolute, strlen(absolute), false, "an absolute path");
    refuses(absolute, strlen(absolute), true, "an absolute path");
    static const char *const climbing[] = {"..", "../data.bin", "folder/../data.bin", "folder/..", "./../data.bin"};
    for (size_t i = 0; i < sizeof climbing / sizeof *climbing; i++)
        for (int follows = 0; follows < 2; follows++) refuses(climbing[i], strlen(climbing[i]), follows, "\"..\"");
    refuses("", 0, false, "empty or too long");
    refuses(long_name, sizeof long_name - 1, false, "empty or too long");
    refuses("data\0bin", 8, false, "NUL");
    refuses("missing", 7, false, "No such file");
    refuses("folder", 6, false, "no file");
    refuses(".", 1, false, "no file");
    refuses("data.bin/data.bin", 17, false, "Not a directory");
}

TEST(names_that_only_begin_with_dots_are_names) {
    make();
    file_put(file_path("..data"), "12345678", 8);
    opens("..data", false);
    file_put(file_path("data.."), "12345678", 8);
    opens("data..", false);
}

TEST(links_are_followed_only_when_asked) {
    make();
    (void)!unlink(file_path("link"));
    (void)!unlink(file_path("link_folder"));
    (void)!unlink(file_path("second"));
    assert_int_equal(symlink("data.bin", file_path("link")), 0);
    assert_int_equal(symlink("folder", file_path("link_folder")), 0);
    refuses("link", 4, false, "symbolic link");
    opens("link", true);
    const int fd = open_at("link_folder/data.bin", 20, false);
    assert_true(fd < 0);
    opens("link_folder/data.bin", true);
    assert_int_equal(link(file_path("data.bin"), file_path("second")), 0);
    refuses("second", 6, false, "hard links");
    refuses("data.bin", 8, false, "hard links");
    opens("second", true);
    assert_int_equal(unlink(file_path("second")), 0);
}

TEST(a_pipe_does_not_hang) {
    make();
    file_make_pipe(file_path("pipe"));
    refuses("pipe", 4, false, "no file");
}

TEST(reads_are_whole) {
    char got[8];
    make();
    const int fd = open_at("data.bin", 8, false);
    assert_true(bn_external_read(fd, 6, got, 2, why, sizeof why));
    assert_memory_equal(got, "78", 2);
    assert_true(bn_external_read(fd, 8, got, 0, why, sizeof why));
    assert_false(bn_external_read(fd, 6, got, 3, why, sizeof why));
    assert_non_null(strstr(why, "ends at byte 8"));
    assert_false(bn_external_read(fd, UINT64_MAX, got, 1, why, sizeof why));
    assert_false(bn_external_read(fd, INT64_MAX, got, 1, why, sizeof why));
    close(fd);
}

/* A model of one tensor whose data are in data.bin. */
static void put_model(struct bytes *b, int64_t size, const char *offset, const char *length) {
    struct bytes t = {.count = 0}, graph = {.count = 0};
    const char *const entries[] = {"location", "data.bin", "offset", offset, "length", length};
    put_int(&t, 1, (uint64_t)size);
    put_int(&t, 2, 1);
    put_string(&t, 8, "t");
    for (int i = 0; i < 6; i += 2) {
        struct bytes entry = {.count = 0};
        if (!entries[i + 1]) continue;
        put_string(&entry, 1, entries[i]);
        put_string(&entry, 2, entries[i + 1]);
        put_message(&t, 13, &entry);
    }
    put_int(&t, 14, 1);
    put_message(&graph, 5, &t);
    b->count = 0;
    put_message(b, 7, &graph);
}

TEST(sizes_of_tensors_must_be_those_of_the_file) {
    static const struct {
        int64_t size;
        const char *offset, *length;
        bool is_good;
    } cases[] = {
        {2, NULL, NULL, true},
        {2, "0", "8", true},
        {1, "4", "4", true},
        {1, "4", NULL, true},
        {2, "4", NULL, false},
        {3, NULL, NULL, false},
        {2, NULL, "4", false},
        {1, NULL, "8", false},
        {1, "8", "4", false},
        {1, "9223372036854775807", "4", false},
        {INT64_MAX, NULL, NULL, false},
        {(int64_t)1 << 61, NULL, NULL, false},
        {(int64_t)1 << 40, NULL, NULL, false},
    };
    make();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes b = {.count = 0};
        batchnorm_model_tensor t;
        char message[BATCHNORM_MODEL_MESSAGE] = "";
        double values[4];
        put_model(&b, cases[i].size, cases[i].offset, cases[i].length);
        batchnorm_model *model = open_bytes(&b, message);
        if (!model) fail_msg("case %zu: %s", i, message);
        assert_true(batchnorm_model_tensor_at(model, 0, &t) && t.is_external);
        const size_t count = cases[i].size < 4 ? (size_t)cases[i].size : 4;
        const batchnorm_status status = batchnorm_model_tensor_read(model, 0, values, count, message);
        if ((status == BATCHNORM_OK) != cases[i].is_good) fail_msg("case %zu: %s", i, message);
        let_go(NULL);
    }
    struct bytes b = {.count = 0};
    char message[BATCHNORM_MODEL_MESSAGE];
    put_model(&b, 2, "-1", NULL);
    assert_null(open_bytes(&b, message));
    put_model(&b, 2, "99999999999999999999", NULL);
    assert_null(open_bytes(&b, message));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_beside_the_model_are_read),
        cmocka_unit_test(no_other_file_is_reached),
        cmocka_unit_test(names_that_only_begin_with_dots_are_names),
        cmocka_unit_test(links_are_followed_only_when_asked),
        cmocka_unit_test(a_pipe_does_not_hang),
        cmocka_unit_test(reads_are_whole),
        cmocka_unit_test_teardown(sizes_of_tensors_must_be_those_of_the_file, let_go),
    };
    return cmocka_run_group_tests_name("model.external", tests, files_setup, files_teardown);
}
