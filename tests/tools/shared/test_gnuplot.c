/* SPDX-License-Identifier: MIT */
/* A gnuplot that does not do what it should: scripts of that name, found in a directory of their own; where they hang, the
 * time limit is half a second. */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nn/machine.h"
#include "tests/support/test.h"
#include "tools/shared/gnuplot.h"

static char directory[] = "/tmp/batchnorm-gnuplot-XXXXXX", path[64], search[512];

FIXTURE(make_directory) {
    if (!mkdtemp(directory)) return -1;
    snprintf(path, sizeof path, "%s/gnuplot", directory);
    snprintf(search, sizeof search, "%s:/usr/bin:/bin", directory);
    setenv("PATH", search, 1);
    return 0;
}

FIXTURE(remove_directory) {
    unlink(path);
    return rmdir(directory);
}

static void is(const char *body) {
    FILE *script = fopen(path, "w");
    assert_non_null(script);
    fprintf(script, "#!/bin/sh\n%s\n", body);
    fclose(script);
    assert_int_equal(chmod(path, 0700), 0);
}

static void gives(const char *script, const char *expected, double least, double most) {
    const double start = nn_seconds();
    char *text = gnuplot_run(script);
    const double gone = nn_seconds() - start;
    if (expected) {
        assert_non_null(text);
        assert_string_equal(text, expected);
    } else {
        assert_null(text);
    }
    free(text);
    assert_true(gone >= least && gone < most);
}

TEST(what_goes_in_comes_out) {
    is("cat");
    gives("", "", 0, 60);
    gives("plot\n", "plot\n", 0, 60);
    is("exec >&-; sleep 0.1"); /* it may close its output before it ends */
    gives("plot\n", "", 0.1, 60);
}

/* More than two pipes hold, in both directions at once. */
TEST(long_scripts_go_through) {
    const size_t bytes = 3000000;
    char *script = malloc(bytes + 1);
    assert_non_null(script);
    memset(script, 'x', bytes);
    script[bytes] = '\0';
    is("cat");
    gives(script, script, 0, 60);
    is("exit 0"); /* without having read it */
    gives(script, "", 0, 60);
    is("sleep 100");
    gnuplot_seconds = 0.5;
    gives(script, NULL, 0.5, 60);
    gnuplot_seconds = 60;
    free(script);
}

TEST(failures_are_failures) {
    is("cat; exit 3");
    gives("", NULL, 0, 60);
    is("kill -9 $$");
    gives("", NULL, 0, 60);
    setenv("PATH", "/nowhere", 1);
    gives("", NULL, 0, 60);
    setenv("PATH", search, 1);
}

/* Reading, after its output is closed, with a child that holds the output open, and deaf to what asks it to end. */
TEST(it_ends_when_it_takes_too_long) {
    static const char *const bodies[] = {"sleep 100", "exec >&-; sleep 100", "sleep 100 & exit 0",
                                         "trap '' INT TERM HUP; sleep 100", "while :; do echo x; sleep 0.01; done"};
    gnuplot_seconds = 0.5;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        is(bodies[i]);
        gives("plot\n", NULL, 0.5, 60);
    }
    is("sleep 100");
    assert_false(gnuplot_there());
    gnuplot_seconds = 60;
    is("cat");
    assert_true(gnuplot_there());
}

static volatile sig_atomic_t heard;

static void hear(int number) { heard += number; }

/* The command's handler is called once, the drawing ends, and afterwards signals do what they did. */
TEST(a_signal_ends_it_and_is_heard) {
    const struct sigaction action = {.sa_handler = hear};
    struct sigaction after;
    sigaction(SIGTERM, &action, NULL);
    is("kill -TERM $PPID; sleep 100");
    gives("plot\n", NULL, 0, 60);
    assert_int_equal(heard, SIGTERM);
    sigaction(SIGTERM, NULL, &after);
    assert_true(after.sa_handler == hear);
    sigaction(SIGINT, NULL, &after);
    assert_true(after.sa_handler == SIG_DFL);
    is("cat");
    gives("plot\n", "plot\n", 0, 60);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),        cmocka_unit_test(long_scripts_go_through),
        cmocka_unit_test(failures_are_failures),         cmocka_unit_test(it_ends_when_it_takes_too_long),
        cmocka_unit_test(a_signal_ends_it_and_is_heard),
    };
    return cmocka_run_group_tests_name("tools.gnuplot", tests, make_directory, remove_directory);
}
