/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* strdup */
#include "messages.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *speaker = "batchnorm";

void messages_from(const char *name) { speaker = name; }

void clean_text(char *text) {
    for (unsigned char *c = (unsigned char *)text; *c; c++) {
        const bool is_c1 = c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f; /* U+0080 to U+009F in UTF-8 */
        if (*c < 0x20 || *c == 0x7f || is_c1) *c = '?';
        if (is_c1) c[1] = '?';
    }
}

void print_clean(FILE *to, const char *text) {
    char *copy = strdup(text);
    if (copy) clean_text(copy);
    fputs(copy ? copy : "?", to);
    free(copy);
}

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
