/* SPDX-License-Identifier: MIT */
/* What a request says of itself: the name of its run, its steps, and the command line that gives it again. */
#define _POSIX_C_SOURCE 200809L /* popen */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/plan.h"
#include "tests/support/test.h"

static const struct compare_request usual = {.experiments = (1u << EXPERIMENTS) - 1,
                                             .out = "out",
                                             .data = "images",
                                             .seeds = 3,
                                             .threads = 2,
                                             .rate = 0.05,
                                             .momentum = 0.9,
                                             .batch = 128,
                                             .model = NN_CNN,
                                             .activation = NN_RELU};

/* The arguments that a shell makes of the command, each with a byte 0 at its end. */
static size_t arguments_of(const struct compare_request *request, char *arguments, size_t bytes) {
    static const char before[] = "batchnorm() { printf '%s\\0' \"$@\"; }\n";
    char *command = plan_command(request), *script = malloc(strlen(command) + sizeof before);
    strcpy(script, before);
    strcat(script, command);
    FILE *shell = popen(script, "r"); /* sh -c */
    const size_t length = fread(arguments, 1, bytes, shell);
    assert_int_equal(pclose(shell), 0);
    free(script);
    free(command);
    return length;
}

static bool has_pair(const char *arguments, size_t length, const char *option, const char *value) {
    for (const char *at = arguments; at < arguments + length; at += strlen(at) + 1) {
        if (strcmp(at, option) != 0) continue;
        const char *next = at + strlen(at) + 1;
        return next < arguments + length && strcmp(next, value) == 0;
    }
    return false;
}

TEST(a_usual_command_can_be_read) {
    char *command = plan_command(&usual);
    assert_string_equal(command, "batchnorm compare --quick --model cnn --activation relu --lr 0.05 --momentum 0.9 --batch 128 "
                                 "--seeds 3 --threads 2 --data images --out out");
    free(command);
    struct compare_request r = usual;
    r.experiments = 1u << CONVERGENCE | 1u << LAYER;
    r.full = true;
    r.model = NN_RESNET;
    r.depth = 14;
    r.activation = NN_SIGMOID;
    r.rate = 0.1 + 0.2;
    r.momentum = 0;
    r.limit = 5000;
    command = plan_command(&r);
    assert_string_equal(command,
                        "batchnorm compare --full --only convergence,layer --model resnet --depth 14 --activation sigmoid --lr "
                        "0.30000000000000004 --momentum 0 --batch 128 --seeds 3 --threads 2 --limit 5000 --data images --out "
                        "out");
    free(command);
}

TEST(a_shell_reads_any_name_as_it_is) {
    static const char *const names[] = {"a b",
                                        "it's",
                                        "''",
                                        "a\nb\n",
                                        "$HOME `date` $(date)",
                                        "\"quoted\" \\ back\\\\slash\\",
                                        "*?[a-z]~#;&|<>!{}",
                                        "",
                                        "-rf",
                                        "d\xe4ta",
                                        "caf\xc3\xa9",
                                        "tab\tbell\aescape\033[1m\r",
                                        "'\xff'\xff\n'"};
    static char arguments[4096];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct compare_request r = usual;
        r.data = names[i];
        r.out = names[(i + 1) % (sizeof names / sizeof names[0])];
        const size_t length = arguments_of(&r, arguments, sizeof arguments);
        assert_true(length < sizeof arguments);
        assert_true(has_pair(arguments, length, "--data", r.data));
        assert_true(has_pair(arguments, length, "--out", r.out));
    }
}

/* Longer than any buffer. */
TEST(a_long_name_is_not_cut) {
    static char name[3001], arguments[20000];
    struct compare_request r = usual;
    memset(name, '\'', sizeof name - 1);
    r.data = name;
    const size_t length = arguments_of(&r, arguments, sizeof arguments);
    assert_true(has_pair(arguments, length, "--data", name));
}

TEST(runs_have_names) {
    char name[RUN_NAME_BYTES];
    struct compare_request r = usual;
    r.data = "/data/my, \"images\"//";
    plan_name_run(&r, 4000, 1000, 1769860800, 4711, name);
    assert_string_equal(name, "20260131T120000Z-4711-my---images--4000-1000-cnn-relu-lr0.05-momentum0.9-batch128");
    r.data = "/";
    r.rate = 1e30;
    r.model = NN_RESNET;
    r.depth = 20;
    r.activation = NN_TANH;
    plan_name_run(&r, 2, 2, 0, 1, name);
    assert_string_equal(name, "19700101T000000Z-1--2-2-resnet-20-tanh-lr1e_30-momentum0.9-batch128");
}

TEST(steps_are_whole_batches) {
    struct compare_request r = usual;
    r.plan.best_passes = 6;
    assert_int_equal(plan_steps(&r, BEST, 4000), 186);
    assert_int_equal(plan_steps(&r, BEST, 100), 6); /* of all images */
    assert_int_equal(plan_steps(&r, SWEEP, 4000), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_usual_command_can_be_read), cmocka_unit_test(a_shell_reads_any_name_as_it_is),
        cmocka_unit_test(a_long_name_is_not_cut),      cmocka_unit_test(runs_have_names),
        cmocka_unit_test(steps_are_whole_batches),
    };
    return cmocka_run_group_tests_name("lab.plan", tests, NULL, NULL);
}
