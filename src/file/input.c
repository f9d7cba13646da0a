/* SPDX-License-Identifier: MIT */
/* Reading files, and what both directions share. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "file/file.h"

batchnorm_status bn_fail(batchnorm_status status, char *message, const char *format, ...) {
    if (!message) return status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, BATCHNORM_MESSAGE_BYTES, format, arguments);
    va_end(arguments);
    /* names come from files: they must not move a terminal's cursor */
    for (unsigned char *c = (unsigned char *)message; *c; c++)
        if (*c < 0x20 || *c == 0x7f) *c = '?';
    return status;
}

/* Length of the UTF-8 sequence that begins at s, or 0 if there is none: shortest forms only, no surrogates, below 0x110000. */
static size_t sequence_length(const unsigned char *s) {
    static const struct {
        unsigned char first, last, low, high; /* range of the first byte, range of the second */
        size_t length;
    } forms[] = {
        {0x01, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++) {
        if (s[0] < forms[f].first || s[0] > forms[f].last) continue;
        if (forms[f].length > 1 && (s[1] < forms[f].low || s[1] > forms[f].high)) return 0;
        for (size_t i = 2; i < forms[f].length; i++)
            if (s[i] < 0x80 || s[i] > 0xbf) return 0;
        return forms[f].length;
    }
    return 0;
}

bool bn_is_utf8(const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        size_t length = sequence_length(s);
        if (length == 0) return false;
        s += length;
    }
    return true;
}

static const struct bn_type types[] = {
    {"F32", 32, false, true, BATCHNORM_F32},
    {"F64", 64, false, true, BATCHNORM_F64},
    {"BF16", 16, false, true, BATCHNORM_BF16},
    {"F16", 16, false, true, BATCHNORM_F16},
    {"I64", 64, true, true, BATCHNORM_I64},
    {"BOOL", 8, true, false, 0},
    {"U8", 8, true, false, 0},
    {"I8", 8, true, false, 0},
    {"U16", 16, true, false, 0},
    {"I16", 16, true, false, 0},
    {"U32", 32, true, false, 0},
    {"I32", 32, true, false, 0},
    {"U64", 64, true, false, 0},
    {"C64", 64, false, false, 0},
    {"F8_E4M3", 8, false, false, 0},
    {"F8_E5M2", 8, false, false, 0},
    {"F8_E8M0", 8, false, false, 0},
    {"F8_E4M3FNUZ", 8, false, false, 0},
    {"F8_E5M2FNUZ", 8, false, false, 0},
    {"F6_E2M3", 6, false, false, 0},
    {"F6_E3M2", 6, false, false, 0},
    {"F4", 4, false, false, 0},
};

const struct bn_type *bn_type_find(const char *name) {
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, name) == 0) return &types[i];
    return NULL;
}

const struct bn_type *bn_type_of(batchnorm_dtype dtype) {
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].known && types[i].dtype == dtype) return &types[i];
    return NULL;
}

void bn_host_order(void *elements, size_t count, size_t bytes) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    unsigned char *e = elements;
    for (size_t i = 0; i < count; i++, e += bytes)
        for (size_t low = 0, high = bytes - 1; low < high; low++, high--) {
            unsigned char byte = e[low];
            e[low] = e[high];
            e[high] = byte;
        }
#else
    (void)elements, (void)count, (void)bytes;
#endif
}

static batchnorm_status say(const struct bn_input *in, const char *wrong) {
    if (!wrong) return BATCHNORM_OK;
    return bn_fail(in->source.no_memory ? BATCHNORM_NO_MEMORY : BATCHNORM_IO, in->message, "%s", wrong);
}

batchnorm_status bn_input_open(struct bn_input *in, const char *path, bool (*is_worth_reading)(const unsigned char *first),
                               char *message) {
    char why[BN_SOURCE_BYTES];
    in->message = message;
    return say(in, bn_source_open(&in->source, path, is_worth_reading, why));
}

batchnorm_status bn_input_read(const struct bn_input *in, uint64_t offset, void *to, size_t bytes) {
    char why[BN_SOURCE_BYTES];
    return say(in, bn_source_read(&in->source, offset, to, bytes, why));
}

void bn_input_close(struct bn_input *in) { bn_source_close(&in->source); }
