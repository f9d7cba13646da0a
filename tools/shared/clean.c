/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* strdup */
#include "clean.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "nn/message.h"

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

const char *input_name(const char *argument) { return nn_path_name(argument); }

const char *output_name(const char *argument) { return strcmp(argument, "-") == 0 ? "standard output" : argument; }
