/* SPDX-License-Identifier: MIT */
/* Text that is broken between words; how wide a terminal is. */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/test.h"
#include "tools/shared/wrap.h"

static void breaks(const char *text, size_t columns, const char *first, const char *rest) {
    const char *next;
    const size_t length = wrap_line(text, columns, &next);
    assert_int_equal(length, strlen(first));
    assert_memory_equal(text, first, length);
    assert_string_equal(next, rest);
}

TEST(lines_end_between_words) {
    breaks("one two three", 13, "one two three", "");
    breaks("one two three", 12, "one two", "three");
    breaks("one two three", 7, "one two", "three");
    breaks("one two three", 6, "one", "two three");
    breaks("one two three", 1, "one", "two three"); /* longer than a line */
    breaks("", 5, "", "");
    breaks("one", 3, "one", "");
}

/* What wrap_print() writes, through a file in the place of standard output. */
static const char *printed(const char *text, size_t at, size_t indent, size_t columns, size_t *end) {
    static char written[400];
    fflush(stdout);
    const int before = dup(STDOUT_FILENO);
    FILE *file = tmpfile();
    dup2(fileno(file), STDOUT_FILENO);
    *end = wrap_print(text, at, indent, columns);
    fflush(stdout);
    dup2(before, STDOUT_FILENO);
    close(before);
    rewind(file);
    written[fread(written, 1, sizeof written - 1, file)] = '\0';
    fclose(file);
    return written;
}

TEST(paragraphs_are_indented) {
    size_t end;
    assert_string_equal(printed("one two three four", 0, 2, 10, &end), "one two\n  three\n  four");
    assert_int_equal(end, 6);
    assert_string_equal(printed("one two", 8, 2, 10, &end), "\n  one two"); /* there is no room for a word */
    assert_int_equal(end, 9);
    assert_string_equal(printed("one two", 4, 4, 8, &end), "one\n    two");
    assert_string_equal(printed("abcdefghijkl mn", 2, 2, 8, &end), "abcdefghijkl\n  mn");
    assert_string_equal(printed("", 3, 2, 8, &end), "");
    assert_int_equal(end, 3);
}

/* The tests' output is no terminal. */
TEST(a_pipe_has_a_hundred_columns_at_most) {
    static const struct {
        const char *columns;
        size_t expected;
    } cases[] = {{"80", 80}, {"100", 100}, {"101", 100}, {"5000", 100}, {"1", WRAP_LEAST}, {"0", 100}, {"", 100}, {"8x", 100}};
    size_t end;
    printed("", 0, 0, 1, &end);
    fflush(stdout);
    const int before = dup(STDOUT_FILENO);
    FILE *file = tmpfile();
    dup2(fileno(file), STDOUT_FILENO);
    size_t got[sizeof cases / sizeof cases[0]];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        setenv("COLUMNS", cases[i].columns, 1);
        got[i] = wrap_columns();
    }
    unsetenv("COLUMNS");
    const size_t without = wrap_columns();
    dup2(before, STDOUT_FILENO);
    close(before);
    fclose(file);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) assert_int_equal(got[i], cases[i].expected);
    assert_int_equal(without, 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_end_between_words),
        cmocka_unit_test(paragraphs_are_indented),
        cmocka_unit_test(a_pipe_has_a_hundred_columns_at_most),
    };
    return cmocka_run_group_tests_name("tools.wrap", tests, NULL, NULL);
}
