/* SPDX-License-Identifier: MIT */
/* TensorProto: where its data are, and its data as doubles. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/external.h"
#include "model/onnx_build.h"

/* TensorProto.DataType; bytes 0: not whole bytes. */
static const struct {
    const char *name;
    size_t bytes;
} types[] = {{"UNDEFINED", 0},      {"FLOAT", 4},    {"UINT8", 1},        {"INT8", 1},           {"UINT16", 2},
             {"INT16", 2},          {"INT32", 4},    {"INT64", 8},        {"STRING", 0},         {"BOOL", 1},
             {"FLOAT16", 2},        {"DOUBLE", 8},   {"UINT32", 4},       {"UINT64", 8},         {"COMPLEX64", 8},
             {"COMPLEX128", 16},    {"BFLOAT16", 2}, {"FLOAT8E4M3FN", 1}, {"FLOAT8E4M3FNUZ", 1}, {"FLOAT8E5M2", 1},
             {"FLOAT8E5M2FNUZ", 1}, {"UINT4", 0},    {"INT4", 0},         {"FLOAT4E2M1", 0}};

enum { TYPES = sizeof types / sizeof *types };

const char *bn_onnx_type_name(int32_t type) { return type >= 0 && type < TYPES ? types[type].name : "unknown"; }
size_t bn_onnx_type_bytes(int32_t type) { return type >= 0 && type < TYPES ? types[type].bytes : 0; }

/* Returns the number in a text of digits alone; false for any other. */
static bool read_digits(const unsigned char *base, struct bn_slice text, uint64_t *number) {
    *number = 0;
    if (text.at == text.end || text.end - text.at > 19) return false;
    for (size_t i = text.at; i < text.end; i++) {
        if (base[i] < '0' || base[i] > '9') return false;
        *number = 10 * *number + (uint64_t)(base[i] - '0');
    }
    return true;
}

/* A StringStringEntryProto of external_data */
static batchnorm_status read_external(const struct bn_onnx_build *b, struct bn_slice message, struct bn_onnx_tensor *t) {
    const struct bn_onnx *o = b->onnx;
    struct bn_slice key = {0, 0}, value = {0, 0};
    struct bn_wire w = bn_wire_begin(o->map->base, message);
    for (struct bn_field f; bn_wire_next(&w, &f);) {
        if (f.number == 1 && f.type == BN_BYTES) key = f.value;
        if (f.number == 2 && f.type == BN_BYTES) value = f.value;
    }
    if (w.wrong) return bn_onnx_walked(b, &w);
    if (bn_onnx_is(o, key, "location")) t->location = value;
    const bool is_offset = bn_onnx_is(o, key, "offset"), is_length = bn_onnx_is(o, key, "length");
    if ((is_offset || is_length) && !read_digits(o->map->base, value, is_offset ? &t->offset : &t->length))
        return bn_onnx_wrong(b, value.at, "an offset or length of external data that is no number");
    return BATCHNORM_OK;
}

static batchnorm_status add_dims(const struct bn_onnx_build *b, const struct bn_field *f, struct bn_onnx_tensor *t) {
    const char *wrong = NULL;
    uint64_t dim;
    struct bn_slice rest = f->value;
    while (bn_wire_number(b->onnx->map->base, f, BN_VARINT, &rest, &dim, &wrong)) {
        if (t->rank >= 0 && t->rank < BN_ONNX_RANK)
            t->dims[t->rank++] = (int64_t)dim;
        else
            t->rank = -1;
    }
    return wrong ? bn_onnx_wrong(b, f->tag, wrong) : BATCHNORM_OK;
}

batchnorm_status bn_onnx_add_tensor(const struct bn_onnx_build *b, struct bn_slice field, struct bn_slice message,
                                    uint32_t *tensor) {
    struct bn_onnx *o = b->onnx;
    struct bn_onnx_tensor t = {.field = field, .message = message};
    struct bn_wire w = bn_wire_begin(o->map->base, message);
    batchnorm_status status = BATCHNORM_OK;
    for (struct bn_field f; !status && bn_wire_next(&w, &f);) {
        const bool is_text = f.number == 8 || f.number == 9 || f.number == 13, is_number = f.number == 2 || f.number == 14;
        if ((is_text && f.type != BN_BYTES) || (is_number && f.type != BN_VARINT))
            return bn_onnx_wrong(b, f.tag, "a field of another wire type than ONNX has there");
        if (f.number == 1) status = add_dims(b, &f, &t);
        if (f.number == 2) t.type = (int32_t)f.bits;
        if (f.number == 8) t.name = f.value;
        if (f.number == 9) t.raw = f.value;
        if (f.number == 9) t.has_raw = true;
        if (f.number == 13) status = read_external(b, f.value, &t);
        if (f.number == 14) t.is_external = f.bits == 1;
    }
    if (!status) status = bn_onnx_walked(b, &w);
    if (status) return status;
    *tensor = o->tensor_count;
    if (!BN_ONNX_MORE(o->tensors, o->tensor_count, o->tensor_room)) {
        snprintf(b->why, BN_ONNX_BYTES, "no memory for its index");
        return BATCHNORM_NO_MEMORY;
    }
    o->tensors[o->tensor_count++] = t;
    return BATCHNORM_OK;
}

int64_t bn_onnx_elements(const struct bn_onnx_tensor *t) {
    int64_t count = 1;
    bool is_empty = false;
    for (int d = 0; d < t->rank; d++) {
        if (t->dims[d] < 0) return -1;
        is_empty = is_empty || t->dims[d] == 0;
    }
    for (int d = 0; d < t->rank && !is_empty; d++)
        if (__builtin_mul_overflow(count, t->dims[d], &count)) return -1;
    return t->rank < 0 ? -1 : is_empty ? 0 : count;
}

/* Widens a 16-bit float with so many bits of exponent. */
static double from_half(uint32_t bits, int exponent_bits) {
    const int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
    const int exponent = (int)(bits >> fraction_bits) & ((1 << exponent_bits) - 1),
              fraction = (int)bits & ((1 << fraction_bits) - 1);
    double value;
    if (exponent == (1 << exponent_bits) - 1)
        value = fraction == 0 ? HUGE_VAL : (double)NAN;
    else if (exponent == 0)
        value = ldexp(fraction, 1 - bias - fraction_bits);
    else
        value = ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
    return bits >> 15 & 1 ? -value : value;
}

double bn_onnx_value(int32_t type, uint64_t bits) {
    const uint32_t low = (uint32_t)bits;
    float f32;
    double f64;
    switch (type) {
    case BN_ONNX_FLOAT:
        memcpy(&f32, &low, sizeof f32);
        return (double)f32;
    case BN_ONNX_DOUBLE:
        memcpy(&f64, &bits, sizeof f64);
        return f64;
    case BN_ONNX_F16:
        return from_half(low & 0xffff, 5);
    case BN_ONNX_BF16:
        return from_half(low & 0xffff, 8);
    case BN_ONNX_INT32:
        return (double)(int32_t)low;
    case BN_ONNX_INT8:
        return (double)(int8_t)low;
    case BN_ONNX_UINT8:
    case BN_ONNX_BOOL:
        return (double)(uint8_t)low;
    case BN_ONNX_INT16:
        return (double)(int16_t)low;
    default:
        return (double)(int64_t)bits;
    }
}

static bool is_readable(int32_t type) {
    static const int32_t readable[] = {BN_ONNX_FLOAT, BN_ONNX_DOUBLE, BN_ONNX_F16,   BN_ONNX_BF16,  BN_ONNX_INT32,
                                       BN_ONNX_INT64, BN_ONNX_INT8,   BN_ONNX_UINT8, BN_ONNX_INT16, BN_ONNX_BOOL};
    for (size_t i = 0; i < sizeof readable / sizeof *readable; i++)
        if (readable[i] == type) return true;
    return false;
}

/* Little-endian bytes, which need not be aligned. */
static void read_bytes(int32_t type, const unsigned char *from, double *to, size_t count) {
    const size_t bytes = bn_onnx_type_bytes(type);
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = 0;
        for (size_t k = 0; k < bytes; k++) bits |= (uint64_t)from[i * bytes + k] << 8 * k;
        to[i] = bn_onnx_value(type, bits);
    }
}

/* The elements in float_data, int32_data, int64_data or double_data, by the type. */
static batchnorm_status read_numbers(const struct bn_onnx *o, const struct bn_onnx_tensor *t, double *to, size_t count,
                                     char *why) {
    const uint32_t number = t->type == BN_ONNX_FLOAT ? 4 : t->type == BN_ONNX_DOUBLE ? 10 : t->type == BN_ONNX_INT64 ? 7 : 5;
    const enum bn_wire_type type = number == 4 ? BN_FIXED32 : number == 10 ? BN_FIXED64 : BN_VARINT;
    struct bn_wire w = bn_wire_begin(o->map->base, t->message);
    const char *wrong = NULL;
    size_t got = 0;
    for (struct bn_field f; !wrong && bn_wire_next(&w, &f);) {
        if (f.number != number) continue;
        struct bn_slice rest = f.value;
        for (uint64_t bits; bn_wire_number(o->map->base, &f, type, &rest, &bits, &wrong); got++)
            if (got < count) to[got] = bn_onnx_value(t->type, bits);
    }
    if (!wrong && got == count) return BATCHNORM_OK;
    snprintf(why, BN_ONNX_BYTES, "byte %zu: %s", t->message.at,
             wrong ? wrong : "a tensor with more or fewer elements than its sizes say");
    return BATCHNORM_BAD_FILE;
}

static batchnorm_status read_external_data(const struct bn_onnx_tensor *t, double *to, size_t count, int fd, char *why) {
    const size_t bytes = count * bn_onnx_type_bytes(t->type);
    unsigned char *raw = malloc(bytes ? bytes : 1);
    if (!raw) {
        snprintf(why, BN_ONNX_BYTES, "no memory for external data of %zu bytes", bytes);
        return BATCHNORM_NO_MEMORY;
    }
    const bool ok = bn_external_read(fd, t->offset, raw, bytes, why, BN_ONNX_BYTES);
    if (ok) read_bytes(t->type, raw, to, count);
    free(raw);
    return ok ? BATCHNORM_OK : BATCHNORM_IO;
}

static batchnorm_status lacks(const struct bn_onnx_tensor *t, const char *what, uint64_t has, uint64_t needs, char *why) {
    snprintf(why, BN_ONNX_BYTES, "byte %zu: %s of %" PRIu64 " bytes, the sizes of the tensor need %" PRIu64, t->message.at,
             what, has, needs);
    return BATCHNORM_BAD_FILE;
}

/* Checks that a tensor has as many bytes as its sizes say, before memory is taken for them. */
static batchnorm_status check_bytes(const struct bn_onnx_tensor *t, uint64_t count, int fd, char *why) {
    uint64_t bytes;
    if (__builtin_mul_overflow(count, bn_onnx_type_bytes(t->type), &bytes) || bytes > PTRDIFF_MAX / 8)
        return lacks(t, "data", 0, count, why);
    if (t->is_external) {
        const uint64_t has = bn_external_bytes(fd);
        if (t->length != 0 && t->length != bytes) return lacks(t, "external data", t->length, bytes, why);
        return t->offset > has || bytes > has - t->offset ? lacks(t, "an external file", has, bytes, why) : BATCHNORM_OK;
    }
    if (t->has_raw)
        return t->raw.end - t->raw.at == bytes ? BATCHNORM_OK : lacks(t, "raw data", t->raw.end - t->raw.at, bytes, why);
    /* a number takes a byte or more */
    return count > t->message.end - t->message.at ? lacks(t, "data", t->message.end - t->message.at, bytes, why) : BATCHNORM_OK;
}

static batchnorm_status read_into(const struct bn_onnx *o, const struct bn_onnx_tensor *t, double *to, size_t count, int fd,
                                  char *why) {
    if (t->is_external) return read_external_data(t, to, count, fd, why);
    if (!t->has_raw) return read_numbers(o, t, to, count, why);
    read_bytes(t->type, o->map->base + t->raw.at, to, count);
    return BATCHNORM_OK;
}

batchnorm_status bn_onnx_read(const struct bn_onnx *o, const struct bn_onnx_tensor *t, double **to, size_t *count, char *why) {
    const int64_t elements = bn_onnx_elements(t);
    int fd = -1;
    *to = NULL;
    *count = 0;
    if (elements < 0) return bn_onnx_refuse(why, t->message.at, "a tensor with sizes that are negative, too many or too large");
    if (!is_readable(t->type)) {
        snprintf(why, BN_ONNX_BYTES, "byte %zu: a tensor of type %s", t->message.at, bn_onnx_type_name(t->type));
        return BATCHNORM_BAD_DTYPE;
    }
    if (t->is_external) {
        fd = bn_external_open(o->path, (const char *)o->map->base + t->location.at, t->location.end - t->location.at,
                              o->follows_links, why, BN_ONNX_BYTES);
        if (fd < 0) return BATCHNORM_IO;
    }
    batchnorm_status status = check_bytes(t, (uint64_t)elements, fd, why);
    if (!status && !(*to = malloc((elements ? (size_t)elements : 1) * sizeof **to))) {
        snprintf(why, BN_ONNX_BYTES, "no memory for a tensor of %" PRId64 " elements", elements);
        status = BATCHNORM_NO_MEMORY;
    }
    if (!status) status = read_into(o, t, *to, (size_t)elements, fd, why);
    if (fd >= 0) close(fd);
    if (!status) *count = (size_t)elements;
    if (status) free(*to);
    if (status) *to = NULL;
    return status;
}

batchnorm_status bn_onnx_numbers(const struct bn_onnx *o, const struct bn_onnx_attribute *a, bool floats, double **to,
                                 size_t *count, char *why) {
    const uint32_t number = floats ? 7 : 8;
    const enum bn_wire_type type = floats ? BN_FIXED32 : BN_VARINT;
    struct bn_wire w = bn_wire_begin(o->map->base, a->message);
    const char *wrong = NULL;
    *count = 0;
    *to = malloc((a->message.end - a->message.at + 1) * sizeof **to); /* a number takes a byte or more */
    if (!*to) return bn_onnx_refuse(why, a->message.at, "no memory for an attribute"), BATCHNORM_NO_MEMORY;
    for (struct bn_field f; !wrong && bn_wire_next(&w, &f);) {
        if (f.number != number) continue;
        struct bn_slice rest = f.value;
        for (uint64_t bits; bn_wire_number(o->map->base, &f, type, &rest, &bits, &wrong);)
            (*to)[(*count)++] = bn_onnx_value(floats ? BN_ONNX_FLOAT : BN_ONNX_INT64, bits);
    }
    if (!wrong) return BATCHNORM_OK;
    free(*to);
    *to = NULL;
    return bn_onnx_refuse(why, a->message.at, wrong);
}
