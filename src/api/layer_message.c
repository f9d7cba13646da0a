/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/layer.h"

void bn_layer_begin(batchnorm_layer *layer) { layer->message[0] = '\0'; }

batchnorm_status bn_layer_fail(batchnorm_layer *layer, batchnorm_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(layer->message, sizeof layer->message, format, arguments);
    va_end(arguments);
    /* names may come from files: they must not move a terminal's cursor */
    for (unsigned char *c = (unsigned char *)layer->message; *c; c++)
        if (*c < 0x20 || *c == 0x7f) *c = '?';
    return status;
}

batchnorm_status bn_layer_fault(batchnorm_layer *layer, batchnorm_status status, const struct bn_fault *fault,
                                const char *const *arrays, const struct bn_numbers *numbers) {
    char text[BN_FAULT_TEXT];
    if (status != BATCHNORM_OVERLAP && status != BATCHNORM_BAD_STRIDE) return status;
    return bn_layer_fail(layer, status, "%s", bn_fault_text(status, fault, arrays, numbers, text));
}

batchnorm_status bn_layer_end(batchnorm_layer *layer, batchnorm_status status) {
    if (!status || status == BATCHNORM_NOT_COMMITTED) return status;
    if (layer->message[0] != '\0') return status;
    return bn_layer_fail(layer, status, "%s", batchnorm_status_string(status));
}

const char *batchnorm_layer_message(const batchnorm_layer *layer) { return layer ? layer->message : ""; }

const char *bn_sizes_text(const batchnorm_tensor *tensor, char text[BN_SIZES_TEXT]) {
    size_t at = 0;
    text[at++] = '[';
    for (int d = 0; d < tensor->rank; d++)
        at += (size_t)snprintf(text + at, BN_SIZES_TEXT - at, "%s%" PRId64, d == 0 ? "" : ", ", tensor->shape[d]);
    strcpy(text + at, "]");
    return text;
}

const char *bn_dtype_name(batchnorm_dtype dtype) {
    static const char *const names[] = {[BATCHNORM_F32] = "float32",
                                        [BATCHNORM_F64] = "float64",
                                        [BATCHNORM_BF16] = "bfloat16",
                                        [BATCHNORM_F16] = "float16",
                                        [BATCHNORM_I64] = "int64"};
    return batchnorm_dtype_bytes(dtype) == 0 ? "no element type" : names[dtype];
}
