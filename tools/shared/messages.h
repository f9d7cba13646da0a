/* SPDX-License-Identifier: MIT */
/* How the command speaks to its user: on stderr, with its own name in front. */
#ifndef TOOLS_SHARED_MESSAGES_H
#define TOOLS_SHARED_MESSAGES_H

/* What main returns. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_WRONG_USAGE = 2 };

/* What messages begin with from now on: "batchnorm", as long as nobody says otherwise, or "batchnorm VERB". */
void messages_from(const char *speaker);

/* Print "SPEAKER: MESSAGE" to stderr, and return code. */
int report(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, with the line that tells where help is, and EXIT_WRONG_USAGE. */
int report_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
