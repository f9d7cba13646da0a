/* SPDX-License-Identifier: MIT */
/* Elements of the arrays that models take and give. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"
#include "runtime.h"

size_t runtime_type_bytes(int type) {
    static const unsigned char bytes[] = {
        [RUNTIME_FLOAT] = 4,  [RUNTIME_UINT8] = 1,  [RUNTIME_INT8] = 1, [RUNTIME_UINT16] = 2, [RUNTIME_INT16] = 2,
        [RUNTIME_INT32] = 4,  [RUNTIME_INT64] = 8,  [RUNTIME_BOOL] = 1, [RUNTIME_F16] = 2,    [RUNTIME_DOUBLE] = 8,
        [RUNTIME_UINT32] = 4, [RUNTIME_UINT64] = 8, [RUNTIME_BF16] = 2};
    return type > 0 && type < (int)sizeof bytes ? bytes[type] : 0;
}

bool runtime_is_float(int type, batchnorm_dtype *dtype) {
    *dtype = type == RUNTIME_DOUBLE ? BATCHNORM_F64
             : type == RUNTIME_F16  ? BATCHNORM_F16
             : type == RUNTIME_BF16 ? BATCHNORM_BF16
                                    : BATCHNORM_F32;
    return type == RUNTIME_FLOAT || *dtype != BATCHNORM_F32;
}

bool runtime_memory(struct runtime_array *a, char *message) {
    const size_t each = runtime_type_bytes(a->type);
    size_t count = 1;
    for (int d = 0; d < a->rank; d++)
        if (a->shape[d] < 0 || __builtin_mul_overflow(count, (size_t)a->shape[d], &count)) count = SIZE_MAX / 16;
    a->bytes = count * each;
    a->data = count < SIZE_MAX / 16 ? calloc(count + 1, each) : NULL;
    if (!a->data) snprintf(message, RUNTIME_MESSAGE, "no memory for input \"%.100s\"", a->name);
    return a->data != NULL;
}

/* Integers are written little-endian bytes first where the machine has them so. */
void runtime_put(struct runtime_array *a, size_t i, double value) {
    const size_t each = runtime_type_bytes(a->type);
    unsigned char *to = (unsigned char *)a->data + i * each;
    batchnorm_dtype dtype;
    if (runtime_is_float(a->type, &dtype)) {
        convert_elements(BATCHNORM_F64, &value, dtype, to, 1);
        return;
    }
    const bool is_large = value >= 0x1p63;
    const uint64_t bits = is_large ? (uint64_t)value : (uint64_t)(int64_t)value;
    for (size_t k = 0; k < each; k++)
        to[__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? each - 1 - k : k] = (unsigned char)(bits >> 8 * k);
}

bool runtime_in_range(int type, double v) {
    const size_t bits = 8 * runtime_type_bytes(type);
    const bool is_signed = type == RUNTIME_INT8 || type == RUNTIME_INT16 || type == RUNTIME_INT32 || type == RUNTIME_INT64;
    const double end = ldexp(1, (int)bits - is_signed);
    if (type == RUNTIME_BOOL) return v == 0 || v == 1;
    return v == floor(v) && v < end && v >= (is_signed ? -end : 0);
}

void runtime_free(struct runtime_array *arrays, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(arrays[i].name);
        free(arrays[i].data);
    }
    free(arrays);
}
