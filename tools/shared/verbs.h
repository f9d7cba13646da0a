/* SPDX-License-Identifier: MIT */
/* The command's verbs, and how they report. */
#ifndef TOOLS_SHARED_VERBS_H
#define TOOLS_SHARED_VERBS_H

/* What main returns. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_WRONG_USAGE = 2 };

/* A verb gets its own arguments; argv[0] is "batchnorm VERB". */
typedef int verb_function(int argc, char **argv);

verb_function cmd_apply;
verb_function cmd_bench;
verb_function cmd_compare;
verb_function cmd_predict;
verb_function cmd_train;

/* Print "batchnorm VERB: MESSAGE" to stderr, and return code. */
int report(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, with the line that tells where help is, and EXIT_WRONG_USAGE. */
int report_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
