/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* strdup */
#include "array.h"

#include <stdlib.h>
#include <string.h>

#include "convert.h"
#include "npy.h"

static const char extension[] = ".safetensors";

static bool say(char *message, const char *text) {
    snprintf(message, MESSAGE_BYTES, "%s", text);
    return false;
}

bool location_parse(struct location *location, const char *argument, char *message) {
    size_t length = strlen(argument), own = strlen(extension);
    *location = (struct location){strdup(argument), NULL};
    if (!location->path) return say(message, "no memory");
    /* the name may have colons in it, so the first place counts */
    char *found = strstr(location->path, ".safetensors:");
    if (found) {
        found[own] = '\0';
        location->name = found + own + 1;
    }
    bool file_alone = !found && length >= own && strcmp(argument + length - own, extension) == 0;
    if (!file_alone && !(found && location->name[0] == '\0')) return true;
    location_free(location);
    return say(message, "names no tensor; write FILE.safetensors:NAME");
}

void location_free(struct location *location) {
    free(location->path);
    *location = (struct location){NULL, NULL};
}

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

/* For a message: the names of the file's tensors, as far as they fit. */
static void list_names(const batchnorm_safetensors *file, char *text, size_t bytes) {
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < batchnorm_safetensors_count(file); i++) {
        const char *name = batchnorm_safetensors_at(file, i)->name;
        if (used + strlen(name) + 8 > bytes) {
            snprintf(text + used, bytes - used, ", ...");
            return;
        }
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", i ? ", " : "", name);
    }
    if (used == 0) snprintf(text, bytes, "no tensors");
}

static bool read_tensor(struct array *array, const struct location *location, char *message) {
    if (batchnorm_safetensors_open(location->path, &array->file, message) != BATCHNORM_OK) return false;
    const batchnorm_safetensors_entry *entry = batchnorm_safetensors_find(array->file, location->name);
    char names[200];
    if (!entry) {
        list_names(array->file, names, sizeof names);
        snprintf(message, MESSAGE_BYTES, "has no tensor '%.100s'; it has %s", location->name, names);
        return false;
    }
    if (entry->tensor.rank < 0) return say(message, "has more than 8 dimensions");
    if (!entry->tensor.data || entry->tensor.dtype == BATCHNORM_I64) {
        snprintf(message, MESSAGE_BYTES, "is of type %s; F32, F64, BF16 or F16 is needed", entry->dtype);
        return false;
    }
    array->view = entry->tensor;
    return true;
}

bool array_read(struct array *array, const char *argument, char *message) {
    *array = (struct array){0};
    struct location location;
    if (!location_parse(&location, argument, message)) return false;
    bool ok = location.name ? read_tensor(array, &location, message) : npy_read(array, location.path, message);
    location_free(&location);
    if (!ok) array_free(array);
    return ok;
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
