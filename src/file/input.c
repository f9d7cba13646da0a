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
