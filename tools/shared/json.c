/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

/* The least character of each length: a longer form of a smaller one is no UTF-8, nor are surrogates, nor what lies beyond
 * 0x10ffff. */
size_t utf8_length(const char *text) {
    static const unsigned least[] = {0, 1, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)text, first = bytes[0];
    const size_t length = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf8 ? 4 : 0;
    if (length == 0) return 0;
    unsigned character = length == 1 ? first : first & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80) return 0; /* the end of the text, too */
        character = character << 6 | (bytes[i] & 0x3f);
    }
    const bool wrong = character < least[length] || character > 0x10ffff || (character >= 0xd800 && character < 0xe000);
    return wrong ? 0 : length;
}

void print_json_text(const char *text) {
    putchar('"');
    while (*text) {
        const size_t length = utf8_length(text);
        const unsigned char byte = (unsigned char)*text;
        if (length == 0)
            printf("\\ufffd");
        else if (byte == '"' || byte == '\\')
            printf("\\%c", byte);
        else if (byte < 0x20 || byte == 0x7f)
            printf("\\u%04x", byte);
        else
            printf("%.*s", (int)length, text);
        text += length ? length : 1;
    }
    putchar('"');
}

void print_json_number(const char *name, const char *format, double value) {
    printf(", \"%s\": ", name);
    if (isfinite(value))
        printf(format, value);
    else
        printf("null");
}
