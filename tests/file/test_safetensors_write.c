/* SPDX-License-Identifier: MIT */
/* Writing safetensors files: their bytes, what is refused, and that a path holds the old file or the new one, whole. */
#define _XOPEN_SOURCE 700
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file_support.h"
#include "tests/support/files.h"
#include "tests/support/test.h"

static batchnorm_status put(const batchnorm_named_tensor *entries, size_t count, char *message) {
    return batchnorm_safetensors_write(file_path("f"), entries, count, NULL, 0, message);
}

/* The header keeps the order, the bytes come widest first, and the header is filled up to a multiple of 8. */
TEST(bytes_are_these) {
    static const char want[] = "\xc8\0\0\0\0\0\0\0"
                               "{\"__metadata__\":{\"format\":\"pt\"},"
                               "\"w\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[8,20]},"
                               "\"n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
                               "\"h\":{\"dtype\":\"F16\",\"shape\":[1,2],\"data_offsets\":[20,24]}}"
                               "     \x02\x01\0\0\0\0\0\0"
                               "\0\0\x80\x3f\0\0\0\xc0\0\0\0\0"
                               "\x34\x12\x78\x56";
    float w[3] = {1, -2, 0};
    int64_t n = 258, three[] = {3}, one_two[] = {1, 2};
    uint16_t h[2] = {0x1234, 0x5678};
    const batchnorm_named_tensor entries[] = {named("w", w, BATCHNORM_F32, 1, three), named("n", &n, BATCHNORM_I64, 0, NULL),
                                              named("h", h, BATCHNORM_F16, 2, one_two)};
    const batchnorm_safetensors_pair metadata = {"format", "pt"};
    assert_int_equal(batchnorm_safetensors_write(file_path("f"), entries, 3, &metadata, 1, NULL), BATCHNORM_OK);
    char got[1000];
    assert_int_equal(file_get(file_path("f"), got, sizeof got), sizeof want - 1);
    assert_memory_equal(got, want, sizeof want - 1);
}

/* Transposed, reversed and broadcast views come out in row-major order; more elements than the writer gathers at a time. */
TEST(any_strides_are_written_in_order) {
    enum { ROWS = 301, COLUMNS = 97 };
    double *data = malloc(sizeof(double) * ROWS * COLUMNS);
    for (int i = 0; i < ROWS * COLUMNS; i++) data[i] = i;
    batchnorm_named_tensor entries[3] = {{.name = "transposed"}, {.name = "reversed"}, {.name = "broadcast"}};
    entries[0].tensor =
        (batchnorm_tensor){.data = data, .dtype = BATCHNORM_F64, .rank = 2, .shape = {COLUMNS, ROWS}, .stride = {1, COLUMNS}};
    entries[1].tensor = (batchnorm_tensor){.data = data + 9, .dtype = BATCHNORM_F64, .rank = 1, .shape = {10}, .stride = {-1}};
    entries[2].tensor = (batchnorm_tensor){.data = data + 5, .dtype = BATCHNORM_F64, .rank = 2, .shape = {2, 2}};
    assert_int_equal(put(entries, 3, NULL), BATCHNORM_OK);
    const batchnorm_safetensors *f = open_good(file_path("f"));
    const double *transposed = batchnorm_safetensors_at(f, 0)->tensor.data;
    for (int c = 0; c < COLUMNS; c++)
        for (int r = 0; r < ROWS; r++) assert_true(transposed[c * ROWS + r] == r * COLUMNS + c);
    for (int i = 0; i < 10; i++) assert_true(((double *)batchnorm_safetensors_at(f, 1)->tensor.data)[i] == 9 - i);
    for (int i = 0; i < 4; i++) assert_true(((double *)batchnorm_safetensors_at(f, 2)->tensor.data)[i] == 5);
    free(data);
}

TEST(nothing_is_a_file_too) {
    assert_int_equal(put(NULL, 0, NULL), BATCHNORM_OK);
    char got[100];
    assert_int_equal(file_get(file_path("f"), got, sizeof got), 16);
    assert_memory_equal(got, "\x08\0\0\0\0\0\0\0{}      ", 16);
    int64_t none[] = {0, 5};
    batchnorm_named_tensor empty = named("e", NULL, BATCHNORM_F32, 2, none);
    assert_int_equal(put(&empty, 1, NULL), BATCHNORM_OK);
    const batchnorm_safetensors *f = open_good(file_path("f"));
    assert_int_equal(batchnorm_safetensors_at(f, 0)->tensor.shape[1], 5);
}

/* Types that have no view are written as they are, and found again at the offset that the entry tells. */
TEST(raw_bytes_are_written_as_they_are) {
    const int64_t two[] = {2}, three[] = {1, 3, 1, 1, 1, 1, 1, 1, 1};
    const batchnorm_safetensors_raw raw[] = {{"f8", "F8_E4M3", 9, three, "abc", 3},
                                             {"u16", "U16", 1, two, "\1\2\3\4", 4},
                                             {"f4", "F4", 1, two, "x", 1},
                                             {"big", "U64", 0, NULL, "\377\377\377\377\377\377\377\377", 8}};
    assert_int_equal(batchnorm_safetensors_write_raw(file_path("f"), raw, 4, NULL, 0, NULL), BATCHNORM_OK);
    const batchnorm_safetensors *f = open_good(file_path("f"));
    char bytes[1000];
    const size_t all = file_get(file_path("f"), bytes, sizeof bytes);
    assert_int_equal(batchnorm_safetensors_count(f), 4);
    for (size_t i = 0; i < 4; i++) {
        const batchnorm_safetensors_entry *e = batchnorm_safetensors_at(f, i);
        assert_string_equal(e->name, raw[i].name);
        assert_string_equal(e->dtype, raw[i].dtype);
        assert_int_equal(e->bytes, raw[i].bytes);
        assert_true(e->offset + e->bytes <= all);
        assert_memory_equal(bytes + e->offset, raw[i].data, e->bytes);
    }
}

/* Whatever is refused, the file that was there stays. */
static void expect_refused(batchnorm_status status, batchnorm_status want) {
    assert_int_equal(status, want);
    char got[10];
    assert_int_equal(file_get(file_path("f"), got, sizeof got), 3);
    assert_memory_equal(got, "old", 3);
    assert_int_equal(files_count(), 1);
}

FIXTURE(only_an_old_file) {
    file_put(file_path("f"), "old", 3);
    return 0;
}

TEST(wrong_names_are_refused) {
    static const char *const names[] = {"",         "__metadata__",     "\xff",         "a\xc0\x80",       "\xed\xa0\x80",
                                        "\xe2\x82", "\xf4\x90\x80\x80", "\x80 at last", "\xf0\x8f\xbf\xbf"};
    float x = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        batchnorm_named_tensor entry = named(names[i], &x, BATCHNORM_F32, 0, NULL);
        expect_refused(put(&entry, 1, NULL), BATCHNORM_BAD_OPTION);
        const batchnorm_safetensors_pair metadata = {"key", names[i]};
        if (i > 1)
            expect_refused(batchnorm_safetensors_write(file_path("f"), NULL, 0, &metadata, 1, NULL), BATCHNORM_BAD_OPTION);
    }
    const batchnorm_named_tensor twice[] = {named("a", &x, BATCHNORM_F32, 0, NULL), named("a", &x, BATCHNORM_F32, 0, NULL)};
    char message[BATCHNORM_MESSAGE_BYTES];
    expect_refused(put(twice, 2, message), BATCHNORM_BAD_OPTION);
    assert_non_null(strstr(message, "two tensors have the name 'a'"));
    const batchnorm_safetensors_pair keys[] = {{"k", "1"}, {"k", "2"}};
    expect_refused(batchnorm_safetensors_write(file_path("f"), NULL, 0, keys, 2, NULL), BATCHNORM_BAD_OPTION);
}

TEST(good_names_are_not) {
    static const char *const names[] = {"\x01",         "\xc2\x80",         "\xdf\xbf", "\xe0\xa0\x80",
                                        "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf", "a/\"b\\"};
    float x = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        batchnorm_named_tensor entry = named(names[i], &x, BATCHNORM_F32, 0, NULL);
        assert_int_equal(put(&entry, 1, NULL), BATCHNORM_OK);
        const batchnorm_safetensors *f = open_good(file_path("f"));
        assert_string_equal(batchnorm_safetensors_at(f, 0)->name, names[i]);
    }
}

TEST(wrong_tensors_are_refused) {
    float x = 0;
    int64_t huge[] = {INT64_MAX / 4, 4}, negative[] = {-1};
    batchnorm_named_tensor e = named("a", NULL, BATCHNORM_F32, 0, NULL);
    expect_refused(put(&e, 1, NULL), BATCHNORM_NULL_POINTER);
    e = named(NULL, &x, BATCHNORM_F32, 0, NULL);
    expect_refused(put(&e, 1, NULL), BATCHNORM_NULL_POINTER);
    e = named("a", &x, (batchnorm_dtype)77, 0, NULL);
    expect_refused(put(&e, 1, NULL), BATCHNORM_BAD_OPTION);
    e = named("a", &x, BATCHNORM_F32, BATCHNORM_MAX_RANK + 1, huge);
    expect_refused(put(&e, 1, NULL), BATCHNORM_BAD_RANK);
    e = named("a", &x, BATCHNORM_F32, 2, huge);
    expect_refused(put(&e, 1, NULL), BATCHNORM_TOO_LARGE);
    e = named("a", &x, BATCHNORM_F32, 1, negative);
    expect_refused(put(&e, 1, NULL), BATCHNORM_TOO_LARGE);
    int64_t large[] = {INT64_MAX / 8};
    const batchnorm_named_tensor together[] = {named("a", &x, BATCHNORM_F32, 1, large), named("b", &x, BATCHNORM_F32, 1, large),
                                               named("c", &x, BATCHNORM_F32, 1, large)};
    expect_refused(put(together, 3, NULL), BATCHNORM_TOO_LARGE);
    const int64_t far[] = {INT64_MAX, INT64_MIN, PTRDIFF_MAX / 8 + 1};
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
        e = named("a", &x, BATCHNORM_F32, 1, (int64_t[]){3});
        e.tensor.stride[0] = far[i];
        expect_refused(put(&e, 1, NULL), BATCHNORM_TOO_LARGE);
    }
    expect_refused(put(NULL, 1, NULL), BATCHNORM_NULL_POINTER);
    expect_refused(batchnorm_safetensors_write(NULL, NULL, 0, NULL, 0, NULL), BATCHNORM_NULL_POINTER);
    expect_refused(batchnorm_safetensors_write(file_path("f"), NULL, 0, NULL, 1, NULL), BATCHNORM_NULL_POINTER);
}

TEST(wrong_raw_bytes_are_refused) {
    const int64_t two[] = {2}, large[] = {INT64_MAX, 8}, negative[] = {-1}, three[] = {3};
    static const char bytes[8] = "";
    const struct {
        batchnorm_safetensors_raw raw;
        batchnorm_status status;
    } wrong[] = {
        {{NULL, "U8", 1, two, bytes, 2}, BATCHNORM_NULL_POINTER},  {{"x", NULL, 1, two, bytes, 2}, BATCHNORM_NULL_POINTER},
        {{"x", "U8", 1, NULL, bytes, 2}, BATCHNORM_NULL_POINTER},  {{"x", "U8", 1, two, NULL, 2}, BATCHNORM_NULL_POINTER},
        {{"", "U8", 1, two, bytes, 2}, BATCHNORM_BAD_OPTION},      {{"x", "C128", 1, two, bytes, 2}, BATCHNORM_BAD_OPTION},
        {{"x", "U8", -1, two, bytes, 2}, BATCHNORM_BAD_RANK},      {{"x", "U8", 2, large, bytes, 2}, BATCHNORM_TOO_LARGE},
        {{"x", "U8", 1, negative, bytes, 2}, BATCHNORM_TOO_LARGE}, {{"x", "U8", 1, two, bytes, 3}, BATCHNORM_BAD_SHAPE},
        {{"x", "F4", 1, three, bytes, 1}, BATCHNORM_BAD_SHAPE}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_refused(batchnorm_safetensors_write_raw(file_path("f"), &wrong[i].raw, 1, NULL, 0, NULL), wrong[i].status);
    expect_refused(batchnorm_safetensors_write_raw(file_path("f"), NULL, 1, NULL, 0, NULL), BATCHNORM_NULL_POINTER);
}

TEST(a_full_disk_leaves_the_old_file) {
    float *data = calloc(40000, sizeof *data);
    int64_t shape[] = {40000};
    const batchnorm_named_tensor entry = named("a", data, BATCHNORM_F32, 1, shape);
    char message[BATCHNORM_MESSAGE_BYTES];
    static const long limits[] = {0, 3, 100, 70000};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        files_full_disk(limits[i]);
        batchnorm_status status = put(&entry, 1, message);
        files_full_disk(-1);
        expect_refused(status, BATCHNORM_IO);
        assert_non_null(strstr(message, "cannot be written: File too large"));
    }
    free(data);
}

TEST(what_is_no_file_is_not_replaced) {
    char message[BATCHNORM_MESSAGE_BYTES];
    static const char *const places[] = {"", "absent/f", "f/f"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        expect_refused(batchnorm_safetensors_write(file_path(places[i]), NULL, 0, NULL, 0, message), BATCHNORM_IO);
    expect_refused(batchnorm_safetensors_write("", NULL, 0, NULL, 0, message), BATCHNORM_IO);
}

/* The bytes that a file would get, and it stays a pipe. */
TEST(a_pipe_is_written_to) {
    char want[100], pipe[600], got[100];
    assert_int_equal(put(NULL, 0, NULL), BATCHNORM_OK);
    const size_t count = file_get(file_path("f"), want, sizeof want);
    file_make_pipe(strcpy(pipe, file_path("pipe")));
    const pid_t child = fork();
    if (child == 0) _exit(batchnorm_safetensors_write(pipe, NULL, 0, NULL, 0, NULL) == BATCHNORM_OK ? 0 : 1);
    assert_int_equal(file_get(pipe, got, sizeof got), count);
    assert_memory_equal(got, want, count);
    int end;
    struct stat status;
    waitpid(child, &end, 0);
    assert_int_equal(end, 0);
    assert_int_equal(stat(pipe, &status), 0);
    assert_true(S_ISFIFO(status.st_mode));
    remove(pipe);
}

TEST(the_mode_follows_the_umask) {
    static const mode_t masks[] = {022, 077, 002};
    mode_t before = umask(0);
    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        umask(masks[i]);
        remove(file_path("f"));
        assert_int_equal(put(NULL, 0, NULL), BATCHNORM_OK);
        struct stat status;
        assert_int_equal(stat(file_path("f"), &status), 0);
        assert_int_equal(status.st_mode & 0777, 0666 & ~masks[i]);
    }
    umask(before);
    assert_int_equal(chmod(file_path("f"), 0600), 0); /* but that of a file which is there stays */
    assert_int_equal(put(NULL, 0, NULL), BATCHNORM_OK);
    struct stat status;
    assert_int_equal(stat(file_path("f"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

/* A name as long as names can be, in the current directory. */
TEST(long_and_bare_names_work) {
    char name[256], here[1000];
    memset(name, 'n', 255);
    name[255] = '\0';
    assert_int_equal(batchnorm_safetensors_write(file_path(name), NULL, 0, NULL, 0, NULL), BATCHNORM_OK);
    assert_true(file_exists(file_path(name)));
    remove(file_path(name));
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(file_path("")), 0);
    assert_int_equal(batchnorm_safetensors_write("bare", NULL, 0, NULL, 0, NULL), BATCHNORM_OK);
    assert_int_equal(chdir(here), 0);
    assert_true(file_exists(file_path("bare")));
    remove(file_path("bare"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_these),
        cmocka_unit_test_teardown(any_strides_are_written_in_order, let_go),
        cmocka_unit_test_teardown(nothing_is_a_file_too, let_go),
        cmocka_unit_test_teardown(raw_bytes_are_written_as_they_are, let_go),
        cmocka_unit_test_setup(wrong_raw_bytes_are_refused, only_an_old_file),
        cmocka_unit_test_setup(wrong_names_are_refused, only_an_old_file),
        cmocka_unit_test_teardown(good_names_are_not, let_go),
        cmocka_unit_test_setup(wrong_tensors_are_refused, only_an_old_file),
        cmocka_unit_test_setup(a_full_disk_leaves_the_old_file, only_an_old_file),
        cmocka_unit_test_setup(what_is_no_file_is_not_replaced, only_an_old_file),
        cmocka_unit_test(a_pipe_is_written_to),
        cmocka_unit_test(the_mode_follows_the_umask),
        cmocka_unit_test(long_and_bare_names_work),
    };
    return cmocka_run_group_tests_name("file.safetensors.write", tests, files_setup, files_teardown);
}
