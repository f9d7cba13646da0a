/* SPDX-License-Identifier: MIT */
/* The batchnorm command. */
#define _POSIX_C_SOURCE 200809L
#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "batchnorm/batchnorm.h"
#include "tools/shared/messages.h"
#include "verbs.h"
#include "waiting.h"

/* Help that a full disk swallowed was not given. */
static void check_stdout(void) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return;
    report(EXIT_FAILED, "standard output cannot be written");
    _exit(EXIT_FAILED);
}

static void print_help(void) {
    printf("Usage: batchnorm VERB [OPTION...]\n"
           "Batch normalization: layers over arrays in files, batch norms of models, and a small laboratory.\n\n");
    for (size_t i = 0; i < verb_count; i++) printf("  %-11s %s\n", verbs[i].name, verbs[i].summary);
    printf("\n  --help      this text; `batchnorm VERB --help' tells a verb's options\n"
           "  --version   the version of the library in use\n\n"
           "Exit status: 0 success, 1 failure, 2 wrong usage.\n");
}

/* The library takes another word for none. */
static void check_isa(void) {
    const char *wanted = getenv("BATCHNORM_ISA");
    if (wanted && *wanted && strcmp(wanted, batchnorm_isa()) != 0)
        report(EXIT_DONE, "BATCHNORM_ISA is '%.40s', which this machine has not; %s is used", wanted, batchnorm_isa());
}

static void check_tuning(void) {
    char here[64];
    const char *wanted = getenv("BATCHNORM_TUNING");
    if (!wanted || !*wanted) return;
    batchnorm_tuning(here, sizeof here);
    here[strcspn(here, " ")] = '\0';
    if (strcmp(wanted, here) != 0)
        report(EXIT_DONE, "BATCHNORM_TUNING is '%.40s', which is no row of the table; %s is used", wanted, here);
}

int main(int argc, char **argv) {
    wait_asleep(argv);
    atexit(check_stdout);
    signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files then reads like a full disk */
    argp_err_exit_status = EXIT_WRONG_USAGE;
    if (argc < 2) return report_usage("a verb is missing");
    const char *word = argv[1];
    for (size_t i = 0; i < verb_count; i++) {
        if (strcmp(word, verbs[i].name) != 0) continue;
        messages_from(verbs[i].full_name);
        check_isa();
        check_tuning();
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
