/* SPDX-License-Identifier: MIT */
#include "api/sized.h"

#include <stdbool.h>
#include <string.h>

static bool is_zero(const char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (bytes[i]) return false;
    return true;
}

const void *bn_sized(const void *given, void *place, size_t known, size_t first) {
    size_t size;
    if (!given) return NULL;
    memcpy(&size, given, sizeof size);
    if (size == known) return given;
    /* nothing that a library will ever add is larger: a size that was never set is not followed far */
    if ((size < known && size != first) || size > 16 * known) return NULL;
    if (size > known && !is_zero((const char *)given + known, size - known)) return NULL;
    memset(place, 0, known);
    memcpy(place, given, size < known ? size : known);
    return place;
}
