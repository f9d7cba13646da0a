/* SPDX-License-Identifier: MIT */
/* Signals that end work early: the process ends by the one that came, and what it had to say is said. */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/test.h"
#include "tools/shared/stop.h"

static volatile sig_atomic_t heard;

static void hear(int number) { heard = number; }

/* In a process of its own: signals come, the work is ended, and its status is 3 if that is not by a signal. Returns what
 * wait() says; `said` is what came through stdio. */
static int run(const int *signals, int count, int ignored, char said[64]) {
    int ends[2], status = 0;
    fflush(NULL);
    assert_true(pipe(ends) == 0);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        if (ignored) signal(ignored, SIG_IGN);
        stop_on_signals(hear);
        for (int i = 0; i < count; i++) raise(signals[i]);
        printf("heard %d", (int)heard);
        stop_end_by_signal();
        fflush(stdout);
        _exit(3);
    }
    close(ends[1]);
    const ssize_t got = read(ends[0], said, 63);
    said[got > 0 ? got : 0] = '\0';
    close(ends[0]);
    assert_true(waitpid(child, &status, 0) == child);
    return status;
}

TEST(ends_by_the_signal_that_came) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < 3; i++) {
        char said[64], expected[64];
        const int status = run(&signals[i], 1, 0, said);
        snprintf(expected, sizeof expected, "heard %d", signals[i]);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
        assert_true(strcmp(said, expected) == 0);
    }
}

TEST(the_first_of_several_counts) {
    char said[64];
    const int status = run((const int[]){SIGTERM, SIGINT}, 2, 0, said);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

TEST(a_second_one_has_its_usual_effect) {
    char said[64];
    const int status = run((const int[]){SIGINT, SIGINT}, 2, 0, said);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT && said[0] == '\0');
}

TEST(without_a_signal_work_goes_on) {
    char said[64];
    int status = run(NULL, 0, 0, said);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3 && strcmp(said, "heard 0") == 0);
    status = run((const int[]){SIGHUP}, 1, SIGHUP, said);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3 && strcmp(said, "heard 0") == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_by_the_signal_that_came),
        cmocka_unit_test(the_first_of_several_counts),
        cmocka_unit_test(a_second_one_has_its_usual_effect),
        cmocka_unit_test(without_a_signal_work_goes_on),
    };
    return cmocka_run_group_tests_name("tools.stop", tests, NULL, NULL);
}
