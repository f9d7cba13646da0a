/* SPDX-License-Identifier: MIT */
/* The command's outputs: every call that can fail fails once, and what was there before is there again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/files.h"
#include "tests/support/test.h"
#include "tools/shared/messages.h"
#include "tools/shared/outputs.h"

/* The linker sends these calls here (--wrap). The call whose number is `failing` fails; 0: none. */
enum call { RENAME, LINK, FSYNC, CLOSE, CALLS };
static int made[CALLS], failing[CALLS];
static int all_renames_from; /* this one and all after it fail; 0: none */

static bool fails(enum call call, int error) {
    if (++made[call] != failing[call]) return false;
    errno = error;
    return true;
}

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to) {
    if (!fails(RENAME, EBUSY) && (all_renames_from == 0 || made[RENAME] < all_renames_from)) return __real_rename(from, to);
    errno = EBUSY;
    return -1;
}

static bool no_links;
int __real_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to) {
    if (!fails(LINK, EPERM) && !no_links) return __real_link(from, to);
    errno = file_exists(from) ? EPERM : ENOENT;
    return -1;
}

/* Counted only while nothing was renamed: what follows is for power failures, and can no longer fail the run. */
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd) { return made[RENAME] == 0 && fails(FSYNC, EIO) ? -1 : __real_fsync(fd); }

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd) {
    const int result = __real_close(fd);
    return made[RENAME] == 0 && fails(CLOSE, EIO) ? -1 : result;
}

static char said[1000];

int report(int code, const char *format, ...) {
    va_list list;
    va_start(list, format);
    const size_t length = strlen(said);
    vsnprintf(said + length, sizeof said - length, format, list);
    va_end(list);
    strncat(said, "\n", sizeof said - strlen(said) - 1);
    return code;
}

int report_usage(const char *format, ...) {
    (void)format;
    return EXIT_WRONG_USAGE;
}

enum { FILES = 4 };
static const char *const names[FILES] = {"y.npy", "dx.npy", "dweight.npy", "dbias.npy"};

/* The second of them is not there before. */
static void put_old(void) {
    for (int i = 0; i < FILES; i++)
        if (i == 1)
            remove(file_path(names[i]));
        else
            file_put(file_path(names[i]), names[i], strlen(names[i]));
}

static bool is_old(int i) {
    char bytes[256];
    if (i == 1) return !file_exists(file_path(names[i]));
    return file_get(file_path(names[i]), bytes, sizeof bytes) == strlen(names[i]) &&
           memcmp(bytes, names[i], strlen(names[i])) == 0;
}

/* An .npy file of one float: a header of 128 bytes, and the number. */
static bool is_new(int i) {
    unsigned char bytes[256] = {0};
    const float value = (float)i;
    return file_exists(file_path(names[i])) && file_get(file_path(names[i]), bytes, sizeof bytes) == 132 &&
           memcmp(bytes + 128, &value, sizeof value) == 0;
}

/* A run over `files` outputs. Returns whether it succeeded. */
static bool run(int files) {
    static float values[FILES] = {0, 1, 2, 3};
    char paths[FILES][600];
    struct output outputs[FILES] = {{0}};
    const int64_t one = 1;
    put_old();
    memset(made, 0, sizeof made);
    said[0] = '\0';
    for (int i = 0; i < files; i++) {
        strcpy(paths[i], file_path(names[i]));
        outputs[i].option = names[i];
        outputs[i].argument = paths[i];
        outputs[i].tensor = batchnorm_tensor_contiguous(&values[i], BATCHNORM_F32, 1, &one);
    }
    assert_int_equal(outputs_check(outputs, FILES), EXIT_DONE);
    memset(made, 0, sizeof made); /* looking opens and closes, too */
    const bool ok = outputs_write(outputs, FILES) && outputs_commit(outputs, FILES);
    outputs_free(outputs, FILES);
    return ok;
}

/* Make the call number `number` fail. */
static bool run_failing(int files, enum call call, int number) {
    failing[call] = number;
    const bool ok = run(files);
    failing[call] = 0;
    return ok;
}

TEST(all_are_new_and_nothing_is_left) {
    assert_true(run(FILES));
    for (int i = 0; i < FILES; i++) assert_true(is_new(i));
    assert_int_equal(files_count(), FILES);
    assert_string_equal(said, "");
    assert_int_equal(made[RENAME], FILES);
    assert_true(made[FSYNC] >= FILES && made[CLOSE] >= FILES);
}

TEST(before_the_first_rename_nothing_is_touched) {
    for (enum call call = FSYNC; call <= CLOSE; call++)
        for (int number = 1; number <= FILES; number++) {
            if (run_failing(FILES, call, number)) fail_msg("call %d, number %d: no failure", (int)call, number);
            for (int i = 0; i < FILES; i++)
                if (!is_old(i)) fail_msg("call %d, number %d: %s was touched", (int)call, number, names[i]);
            assert_int_equal(files_count(), FILES - 1);
            assert_int_equal(made[RENAME], 0);
            assert_non_null(strstr(said, ": cannot be written: Input/output error\n"));
        }
}

TEST(a_rename_that_fails_takes_back_those_before_it) {
    for (int number = 1; number <= FILES; number++) {
        char expected[700];
        snprintf(expected, sizeof expected, "%s: cannot be replaced: %s\n", file_path(names[number - 1]), strerror(EBUSY));
        assert_false(run_failing(FILES, RENAME, number));
        for (int i = 0; i < FILES; i++)
            if (!is_old(i)) fail_msg("rename %d: %s was touched", number, names[i]);
        assert_int_equal(files_count(), FILES - 1);
        assert_string_equal(said, expected);
    }
}

TEST(one_output_needs_no_second_name) {
    assert_true(run(1));
    assert_true(is_new(0));
    assert_int_equal(made[LINK], 0);
    assert_false(run_failing(1, RENAME, 1));
    assert_true(is_old(0));
}

/* Old files cannot come back; that is said, and those that were not there are gone again. */
TEST(without_hard_links_what_stays_is_reported) {
    no_links = true;
    assert_true(run(FILES));
    for (int i = 0; i < FILES; i++) assert_true(is_new(i));
    assert_int_equal(files_count(), FILES);
    assert_false(run_failing(FILES, RENAME, 3));
    no_links = false;
    assert_true(is_new(0) && is_old(1) && is_old(2) && is_old(3));
    char expected[1400];
    snprintf(expected, sizeof expected, "%s: cannot be replaced: %s\n%s: was replaced before that, and stays so\n",
             file_path(names[2]), strerror(EBUSY), file_path(names[0]));
    assert_string_equal(said, expected);
}

/* Files without a second name beside others that have one. */
TEST(what_can_be_taken_back_is) {
    failing[LINK] = 1;
    assert_false(run_failing(FILES, RENAME, 4));
    failing[LINK] = 0;
    assert_true(is_new(0) && is_old(1) && is_old(2) && is_old(3));
    assert_int_equal(files_count(), FILES - 1);
}

/* The old file is not lost when it cannot get its name back. */
TEST(a_way_back_that_fails_keeps_the_old_file) {
    all_renames_from = 3;
    assert_false(run(FILES));
    all_renames_from = 0;
    assert_true(is_new(0) && is_old(1) && is_old(2) && is_old(3)); /* the second was not there: it needs no rename */
    const char *where = strstr(said, "and the old file is now ");
    assert_non_null(where);
    char path[700];
    assert_int_equal(sscanf(where, "and the old file is now %699[^\n]", path), 1);
    char bytes[256];
    assert_int_equal(file_get(path, bytes, sizeof bytes), strlen(names[0]));
    assert_memory_equal(bytes, names[0], strlen(names[0]));
    assert_int_equal(files_count(), FILES);
    remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_are_new_and_nothing_is_left),
        cmocka_unit_test(before_the_first_rename_nothing_is_touched),
        cmocka_unit_test(a_rename_that_fails_takes_back_those_before_it),
        cmocka_unit_test(one_output_needs_no_second_name),
        cmocka_unit_test(without_hard_links_what_stays_is_reported),
        cmocka_unit_test(what_can_be_taken_back_is),
        cmocka_unit_test(a_way_back_that_fails_keeps_the_old_file),
    };
    return cmocka_run_group_tests_name("tools.outputs", tests, files_setup, files_teardown);
}
