/* SPDX-License-Identifier: MIT */
#include "messages.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *speaker = "batchnorm";

void messages_from(const char *name) { speaker = name; }

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

/* The words of argp, which says the same of what it finds wrong itself. Only verbs know --usage. */
int report_usage(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    speak(format, arguments);
    va_end(arguments);
    fprintf(stderr, "Try `%s --help'", speaker);
    if (strchr(speaker, ' ')) fprintf(stderr, " or `%s --usage'", speaker);
    fputs(" for more information.\n", stderr);
    return EXIT_WRONG_USAGE;
}
