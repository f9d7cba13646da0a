/* SPDX-License-Identifier: MIT */
#include "markup.h"

#include <stdbool.h>
#include <string.h>

#include "json.h"

void markup_text(FILE *to, const char *text) {
    for (size_t bytes; *text; text += bytes ? bytes : 1) {
        const unsigned char first = (unsigned char)*text;
        bytes = utf8_length(text);
        const bool is_control = (first < 0x20 && first != '\n' && first != '\t') || first == 0x7f;
        const bool is_none = bytes == 3 && (memcmp(text, "\xef\xbf\xbe", 3) == 0 || memcmp(text, "\xef\xbf\xbf", 3) == 0);
        if (first == '&')
            fputs("&amp;", to);
        else if (first == '<')
            fputs("&lt;", to);
        else if (first == '"')
            fputs("&quot;", to);
        else if (bytes == 0 || is_control || is_none)
            fputc('?', to);
        else
            fwrite(text, 1, bytes, to);
    }
}
