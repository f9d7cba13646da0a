/* SPDX-License-Identifier: MIT */
#include "array.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"

bool array_new(struct array *array, batchnorm_dtype dtype, int rank, const int64_t *shape, char *message) {
    *array = (struct array){batchnorm_tensor_contiguous(NULL, dtype, rank, shape), NULL, NULL};
    int64_t elements = batchnorm_tensor_elements(&array->view);
    /* a byte more, because zero bytes may come back as NULL */
    size_t bytes;
    if (elements >= 0 && !__builtin_mul_overflow(elements, batchnorm_dtype_bytes(dtype), &bytes) && bytes < PTRDIFF_MAX)
        array->memory = calloc(bytes + 1, 1);
    array->view.data = array->memory;
    if (array->memory) return true;
    snprintf(message, MESSAGE_BYTES, "no memory for %lld elements of type %s", (long long)elements, type_name(dtype));
    return false;
}

bool array_convert(struct array *array, batchnorm_dtype dtype, char *message) {
    if (array->view.dtype == dtype) return true;
    struct array new;
    if (!array_new(&new, dtype, array->view.rank, array->view.shape, message)) return false;
    size_t elements = (size_t)batchnorm_tensor_elements(&array->view);
    convert_elements(array->view.dtype, array->view.data, dtype, new.memory, elements);
    memcpy(new.view.stride, array->view.stride, sizeof new.view.stride);
    array_free(array);
    *array = new;
    return true;
}

void array_free(struct array *array) {
    free(array->memory);
    batchnorm_safetensors_close(array->file);
    *array = (struct array){0};
}

batchnorm_tensor channels_first(batchnorm_tensor last) {
    batchnorm_tensor first = last;
    for (int to = 1; to < last.rank; to++) {
        int from = to == 1 ? last.rank - 1 : to - 1;
        first.shape[to] = last.shape[from];
        first.stride[to] = last.stride[from];
    }
    return first;
}

const char *shape_text(const batchnorm_tensor *tensor, char text[SHAPE_TEXT_BYTES]) {
    int used = snprintf(text, SHAPE_TEXT_BYTES, "(");
    for (int i = 0; i < tensor->rank; i++)
        used += snprintf(text + used, (size_t)(SHAPE_TEXT_BYTES - used), "%s%lld", i ? ", " : "", (long long)tensor->shape[i]);
    snprintf(text + used, (size_t)(SHAPE_TEXT_BYTES - used), tensor->rank == 1 ? ",)" : ")");
    return text;
}
