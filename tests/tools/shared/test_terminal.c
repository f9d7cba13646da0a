/* SPDX-License-Identifier: MIT */
/* Lines keep to the width of a terminal, and to one of their own elsewhere. */
#define _DEFAULT_SOURCE
#define _XOPEN_SOURCE 600
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/support/test.h"
#include "tools/shared/terminal.h"
#include "tools/shared/wrap.h"

/* A terminal of this many columns; 0: it does not know. */
static int open_terminal(unsigned short columns, int *master) {
    const struct winsize size = {.ws_row = 24, .ws_col = columns};
    *master = posix_openpt(O_RDWR | O_NOCTTY);
    if (*master < 0 || grantpt(*master) != 0 || unlockpt(*master) != 0) skip(); /* this machine has none */
    const int fd = open(ptsname(*master), O_RDWR | O_NOCTTY);
    assert_true(fd >= 0);
    if (columns > 0) assert_int_equal(ioctl(fd, TIOCSWINSZ, &size), 0);
    return fd;
}

static void assert_width(unsigned short columns, const char *variable, int width) {
    int master;
    const int fd = open_terminal(columns, &master);
    if (variable)
        setenv("COLUMNS", variable, 1);
    else
        unsetenv("COLUMNS");
    assert_int_equal(terminal_width(fd), width);
    close(fd);
    close(master);
}

TEST(the_width_is_the_terminals) {
    int ends[2];
    assert_width(132, NULL, 132);
    assert_width(0, NULL, 80);
    assert_width(3, NULL, 20);
    assert_width(132, "60", 60);
    assert_width(132, "", 132);
    assert_width(132, "wide", 132);
    assert_width(132, "0", 132);
    assert_int_equal(pipe(ends), 0);
    setenv("COLUMNS", "60", 1);
    assert_int_equal(terminal_width(ends[1]), TERMINAL_ELSEWHERE);
    close(ends[0]);
    close(ends[1]);
}

/* A sentence as train prints it. */
static void wrap_it(const char *text, int width) {
    wrap_print(text, 0, 2, (size_t)width);
    putchar('\n');
}

/* What `print` prints is this. */
static void assert_prints(void (*print)(const char *text, int width), const char *text, int width, const char *expected) {
    char said[512] = "";
    int ends[2];
    fflush(stdout);
    const int before = dup(STDOUT_FILENO);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDOUT_FILENO);
    print(text, width);
    fflush(stdout);
    dup2(before, STDOUT_FILENO);
    close(before);
    close(ends[1]);
    assert_true(read(ends[0], said, sizeof said - 1) >= 0);
    close(ends[0]);
    assert_string_equal(said, expected);
}

TEST(sentences_are_wrapped) {
    assert_prints(wrap_it, "one two three four", 18, "one two three four\n");
    assert_prints(wrap_it, "one two three four", 17, "one two three\n  four\n");
    assert_prints(wrap_it, "one two three four", 8, "one two\n  three\n  four\n");
    assert_prints(wrap_it, "immeasurable one", 5, "immeasurable\n  one\n");
    assert_prints(wrap_it, "\xc3\xa9\xc3\xa9\xc3\xa9 two", 7, "\xc3\xa9\xc3\xa9\xc3\xa9 two\n");
    assert_prints(wrap_it, "", 7, "\n");
    assert_prints(wrap_it, "a\033[2J b\n\xc2\x9b", 20, "a?[2J b???\n");
}

TEST(names_fill_their_column) {
    assert_prints(terminal_print_name, "cat", 5, "cat  ");
    assert_prints(terminal_print_name, "siamese", 7, "siamese");
    assert_prints(terminal_print_name, "a siamese cat", 8, "a sia...");
    assert_prints(terminal_print_name, "\xc3\xa9t\xc3\xa9", 5, "\xc3\xa9t\xc3\xa9  ");
    assert_prints(terminal_print_name, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 5, "\xc3\xa9\xc3\xa9...");
    assert_prints(terminal_print_name, "\xff\xff", 3, "\xff\xff ");
    assert_prints(terminal_print_name, "a\033[2J\n", 7, "a?[2J? ");
    assert_int_equal(terminal_columns("\xc3\xa9t\xc3\xa9"), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_width_is_the_terminals),
        cmocka_unit_test(sentences_are_wrapped),
        cmocka_unit_test(names_fill_their_column),
    };
    return cmocka_run_group_tests_name("tools.terminal", tests, NULL, NULL);
}
