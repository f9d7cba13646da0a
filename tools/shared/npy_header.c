/* SPDX-License-Identifier: MIT */
/* The header of an .npy file: a Python dictionary with exactly the keys descr, fortran_order and shape. Only the literals that
 * NumPy writes there are known; anything else is an error that says what stood there. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "npy.h"

struct cursor {
    const char *at, *end;
    struct npy_header *header;
    char *message;
};

static bool fail(const struct cursor *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(const struct cursor *c, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->message, MESSAGE_BYTES, format, arguments);
    va_end(arguments);
    for (unsigned char *m = (unsigned char *)c->message; *m; m++)
        if (*m < 0x20 || *m >= 0x7f) *m = '?'; /* text of the file must not move a terminal's cursor */
    return false;
}

static void skip_spaces(struct cursor *c) {
    while (c->at < c->end && strchr(" \t\r\n", *c->at) && *c->at) c->at++;
}

/* Whether the next token is this character; then it is passed. */
static bool take(struct cursor *c, char character) {
    skip_spaces(c);
    if (c->at == c->end || *c->at != character) return false;
    c->at++;
    return true;
}

static bool take_word(struct cursor *c, const char *word) {
    skip_spaces(c);
    size_t length = strlen(word);
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, word, length) != 0) return false;
    c->at += length;
    return true;
}

static bool unexpected(struct cursor *c, const char *wanted) {
    skip_spaces(c);
    int rest = c->end - c->at < 20 ? (int)(c->end - c->at) : 20;
    return fail(c, "the header has '%.*s' where %s should be", rest, c->at, wanted);
}

/* A string without escapes, in either kind of quotes. */
static bool take_string(struct cursor *c, char text[32], const char *what) {
    skip_spaces(c);
    const char *begin = c->at + 1;
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"')) return unexpected(c, what);
    const char *close = memchr(begin, *c->at, (size_t)(c->end - begin));
    if (!close || close - begin > 31 || memchr(begin, '\\', (size_t)(close - begin))) return unexpected(c, what);
    memcpy(text, begin, (size_t)(close - begin));
    text[close - begin] = '\0';
    c->at = close + 1;
    return true;
}

static const struct type {
    const char *name, *long_name;
    batchnorm_dtype dtype;
    size_t integer_bytes;
    bool is_signed;
} types[] = {{"f2", "float16", BATCHNORM_F16, 0, false},
             {"f4", "float32", BATCHNORM_F32, 0, false},
             {"f8", "float64", BATCHNORM_F64, 0, false},
             {"b1", "bool", 0, 1, false},
             {"i1", "int8", 0, 1, true},
             {"i2", "int16", 0, 2, true},
             {"i4", "int32", 0, 4, true},
             {"i8", "int64", 0, 8, true},
             {"u1", "uint8", 0, 1, false},
             {"u2", "uint16", 0, 2, false},
             {"u4", "uint32", 0, 4, false},
             {"u8", "uint64", 0, 8, false},
             {"?", "bool8", 0, 1, false}};

/* Without '<' or '>' it is the order of this machine. */
static bool parse_descr(struct cursor *c) {
    skip_spaces(c);
    if (c->at < c->end && *c->at == '[') return fail(c, "has records as elements; f2, f4 or f8 is needed");
    char descr[32];
    if (!take_string(c, descr, "the type")) return false;
    const bool has_order = descr[0] != '\0' && strchr("<>=|", descr[0]), is_given = descr[0] == '<' || descr[0] == '>';
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(descr + has_order, types[i].name) != 0 && strcmp(descr + has_order, types[i].long_name) != 0) continue;
        c->header->dtype = types[i].dtype;
        c->header->integer_bytes = types[i].integer_bytes;
        c->header->is_signed = types[i].is_signed;
        c->header->big_endian = is_given ? descr[0] == '>' : __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
        return true;
    }
    return fail(c, "has elements of type '%s'; f2, f4 or f8 is needed, or integers with --dtype", descr);
}

static bool parse_order(struct cursor *c) {
    c->header->fortran_order = take_word(c, "True");
    return c->header->fortran_order || take_word(c, "False") || unexpected(c, "True or False");
}

static bool parse_size(struct cursor *c, int64_t *size) {
    skip_spaces(c);
    const char *begin = c->at;
    *size = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        if (__builtin_mul_overflow(*size, 10, size) || __builtin_add_overflow(*size, *c->at - '0', size))
            return fail(c, "the shape has a size that does not fit 64 bits");
    if (c->at == begin) return unexpected(c, "a size");
    if (c->at < c->end && *c->at == 'L') c->at++; /* a long of Python 2 */
    return true;
}

static bool parse_shape(struct cursor *c) {
    if (!take(c, '(')) return unexpected(c, "a shape");
    int rank = 0;
    bool comma = true;
    while (!take(c, ')')) {
        if (!comma) return unexpected(c, "')'");
        if (rank == BATCHNORM_MAX_RANK) return fail(c, "has more than %d dimensions", BATCHNORM_MAX_RANK);
        if (!parse_size(c, &c->header->shape[rank++])) return false;
        comma = take(c, ',');
    }
    if (rank == 1 && !comma) return fail(c, "the header's shape is a number, not a tuple");
    c->header->rank = rank;
    return true;
}

static const struct {
    const char *key;
    bool (*parse)(struct cursor *c);
} keys[] = {{"descr", parse_descr}, {"fortran_order", parse_order}, {"shape", parse_shape}};
enum { KEYS = sizeof keys / sizeof keys[0] };

static bool parse_pair(struct cursor *c, unsigned *seen) {
    char key[32];
    if (!take_string(c, key, "a key")) return false;
    for (unsigned i = 0; i < KEYS; i++) {
        if (strcmp(key, keys[i].key) != 0) continue;
        if (*seen & 1u << i) return fail(c, "the header has the key '%s' twice", key);
        *seen |= 1u << i;
        return take(c, ':') ? keys[i].parse(c) : unexpected(c, "':'");
    }
    return fail(c, "the header has the key '%s'; it must have descr, fortran_order and shape", key);
}

bool npy_parse_header(struct npy_header *header, const char *text, size_t length, char *message) {
    struct cursor c = {text, text + length, header, message};
    unsigned seen = 0;
    if (!take(&c, '{')) return unexpected(&c, "'{'");
    while (!take(&c, '}')) {
        if (!parse_pair(&c, &seen)) return false;
        if (take(&c, ',')) continue;
        if (take(&c, '}')) break;
        return unexpected(&c, "',' or '}'");
    }
    skip_spaces(&c);
    if (c.at < c.end) return unexpected(&c, "its end");
    for (unsigned i = 0; i < KEYS; i++)
        if (!(seen & 1u << i)) return fail(&c, "the header lacks the key '%s'", keys[i].key);
    return true;
}
