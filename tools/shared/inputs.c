/* SPDX-License-Identifier: MIT */
#include "inputs.h"

#include <stdio.h>
#include <string.h>

#include "location.h"
#include "npy.h"

/* For a message: the names of the file's tensors, as far as they fit. */
static void list_names(const batchnorm_safetensors *file, char *text, size_t bytes) {
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < batchnorm_safetensors_count(file); i++) {
        const char *name = batchnorm_safetensors_at(file, i)->name;
        if (used + strlen(name) + 8 > bytes) {
            if (used == 0)
                snprintf(text, bytes, "%.100s...", name);
            else
                snprintf(text + used, bytes - used, ", ...");
            return;
        }
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", i ? ", " : "", name);
    }
    if (used == 0) snprintf(text, bytes, "no tensors");
}

static bool read_tensor(struct array *array, const struct location *location, bool converts, char *message) {
    if (batchnorm_safetensors_open(location->path, &array->file, message)) return false;
    const batchnorm_safetensors_entry *entry = batchnorm_safetensors_find(array->file, location->name);
    char names[200];
    if (!entry) {
        list_names(array->file, names, sizeof names);
        snprintf(message, MESSAGE_BYTES, "has no tensor '%.100s'; it has %s", location->name, names);
        return false;
    }
    if (entry->tensor.rank < 0) {
        snprintf(message, MESSAGE_BYTES, "has more than 8 dimensions");
        return false;
    }
    if (!entry->tensor.data || (entry->tensor.dtype == BATCHNORM_I64 && !converts)) {
        snprintf(message, MESSAGE_BYTES, "is of type %s; F32, F64, BF16 or F16 is needed, or with --dtype I64", entry->dtype);
        return false;
    }
    array->view = entry->tensor;
    return true;
}

bool array_read(struct array *array, const char *argument, const batchnorm_dtype *to, char *message) {
    *array = (struct array){0};
    struct location location;
    if (!location_parse(&location, strcmp(argument, "-") == 0 ? "/dev/stdin" : argument, message)) return false;
    bool ok = location.name ? read_tensor(array, &location, to != NULL, message) && (!to || array_convert(array, *to, message))
                            : npy_read(array, location.path, to, message);
    location_free(&location);
    if (!ok) array_free(array);
    return ok;
}
