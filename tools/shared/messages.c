/* SPDX-License-Identifier: MIT */
#include "messages.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "clean.h"

static const char *speaker = "batchnorm";

void messages_from(const char *name) { speaker = name; }

static void speak(const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    const int bytes = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char short_text[512], *text = bytes < (int)sizeof short_text ? short_text : malloc((size_t)bytes + 1);
    if (!text) text = short_text; /* then it is cut */
    vsnprintf(text, text == short_text ? sizeof short_text : (size_t)bytes + 1, format, arguments);
    clean_text(text);
    fflush(stdout); /* so that a terminal shows both in the order in which they were said */
    fprintf(stderr, "%s: %s\n", speaker, text);
    if (text != short_text) free(text);
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
