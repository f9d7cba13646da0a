/* SPDX-License-Identifier: MIT */
/* The batchnorm command: one table of verbs, and what they share. */
#include <argp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "batchnorm/batchnorm.h"
#include "tools/shared/verbs.h"

static const struct verb {
    const char *name, *full_name;
    verb_function *run;
    const char *summary;
} verbs[] = {
    {"apply", "batchnorm apply", cmd_apply, "run one layer over arrays in files"},
    {"bench", "batchnorm bench", cmd_bench, "time the library on this machine, against copying memory"},
    {"compare", "batchnorm compare", cmd_compare, "measure what batch norm buys: training with and without it, with a report"},
    {"predict", "batchnorm predict", cmd_predict, "name the classes of images by a trained network"},
    {"train", "batchnorm train", cmd_train, "train a network on images, with or without batch norm"},
};
enum { VERBS = sizeof verbs / sizeof verbs[0] };

/* What messages begin with: "batchnorm" or "batchnorm VERB". */
static const char *speaker = "batchnorm";

static void speak(const char *format, va_list arguments) {
    fflush(stdout); /* so that a terminal shows both in the order in which they were said */
    fprintf(stderr, "%s: ", speaker);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

int report(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    speak(format, arguments);
    va_end(arguments);
    return code;
}

int report_usage(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    speak(format, arguments);
    va_end(arguments);
    fprintf(stderr, "Try `%s --help' for more information.\n", speaker);
    return EXIT_WRONG_USAGE;
}

/* Help that a full disk swallowed was not given. */
static void check_stdout(void) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return;
    report(EXIT_FAILED, "standard output cannot be written");
    _exit(EXIT_FAILED);
}

static void print_help(void) {
    printf("Usage: batchnorm VERB [OPTION...]\n"
           "Batch normalization: layers over arrays in files, and a small laboratory.\n\n");
    for (size_t i = 0; i < VERBS; i++) printf("  %-10s %s\n", verbs[i].name, verbs[i].summary);
    printf("\n  --help     this text; `batchnorm VERB --help' tells a verb's options\n"
           "  --version  the version of the library in use\n\n"
           "Exit status: 0 success, 1 failure, 2 wrong usage.\n");
}

int main(int argc, char **argv) {
    atexit(check_stdout);
    argp_err_exit_status = EXIT_WRONG_USAGE;
    if (argc < 2) return report_usage("a verb is missing");
    const char *word = argv[1];
    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(word, verbs[i].name) != 0) continue;
        speaker = verbs[i].full_name;
        argv[1] = (char *)verbs[i].full_name; /* argp only reads it */
        return verbs[i].run(argc - 1, argv + 1);
    }
    bool help = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0, version = strcmp(word, "--version") == 0;
    if (!help && !version) return report_usage("unknown %s '%s'", word[0] == '-' ? "option" : "verb", word);
    if (argc > 2) return report_usage("nothing may follow %s", word);
    if (help)
        print_help();
    else
        printf("batchnorm %s\n", batchnorm_version());
    return EXIT_DONE;
}
