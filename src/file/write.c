/* SPDX-License-Identifier: MIT */
/* Writing a safetensors file. The header lists the tensors in the caller's order; their bytes are laid out widest element type
 * first, so that each begins at a multiple of its element size, as readers that map the file want it. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "file/file.h"

/* What is gathered before it is written; a multiple of every element size. */
#define BUFFER_BYTES 65536

/* One tensor of the new file, in the order of the bytes. */
struct item {
    const char *name;
    const struct bn_type *type;
    int rank;
    const int64_t *shape;
    const batchnorm_tensor *tensor; /* elements of the host; NULL: */
    const void *raw;                /* bytes of a file */
    size_t index;                   /* in the caller's order */
    uint64_t elements, bytes, begin;
};

/* Whether elements that are there lie in the address space. */
static bool has_place(const batchnorm_tensor *t) {
    ptrdiff_t span;
    for (int d = 0; d < t->rank; d++)
        if (__builtin_mul_overflow(t->shape[d] - 1, t->shape[d] > 1 ? t->stride[d] : 0, &span) ||
            __builtin_mul_overflow(span, batchnorm_dtype_bytes(t->dtype), &span))
            return false;
    return true;
}

static batchnorm_status check_name(const char *name, char *message) {
    if (!name) return bn_fail(BATCHNORM_NULL_POINTER, message, "a tensor's name is NULL");
    if (!bn_is_utf8(name)) return bn_fail(BATCHNORM_BAD_OPTION, message, "a tensor's name is not valid UTF-8");
    if (name[0] == '\0' || strcmp(name, "__metadata__") == 0)
        return bn_fail(BATCHNORM_BAD_OPTION, message, "a tensor cannot have the name '%s'", name);
    return BATCHNORM_OK;
}

static batchnorm_status check_entry(const batchnorm_named_tensor *entry, struct item *item, char *message) {
    const batchnorm_status status = check_name(entry->name, message);
    if (status) return status;
    const batchnorm_tensor *t = &entry->tensor;
    if (t->rank < 0 || t->rank > BATCHNORM_MAX_RANK)
        return bn_fail(BATCHNORM_BAD_RANK, message, "tensor '%.100s' has rank %d", entry->name, t->rank);
    *item = (struct item){.name = entry->name,
                          .type = bn_type_of(t->dtype),
                          .rank = t->rank,
                          .shape = t->shape,
                          .tensor = t,
                          .index = item->index};
    if (!item->type) return bn_fail(BATCHNORM_BAD_OPTION, message, "tensor '%.100s' has an unknown dtype", entry->name);
    int64_t elements = batchnorm_tensor_elements(t), bytes;
    if (elements < 0 || __builtin_mul_overflow(elements, (int64_t)item->type->bits / 8, &bytes))
        return bn_fail(BATCHNORM_TOO_LARGE, message, "tensor '%.100s' has sizes that are negative or too large", entry->name);
    if (elements > 0 && !has_place(t))
        return bn_fail(BATCHNORM_TOO_LARGE, message, "tensor '%.100s' has strides that are too large", entry->name);
    if (elements > 0 && !t->data) return bn_fail(BATCHNORM_NULL_POINTER, message, "tensor '%.100s' has no data", entry->name);
    item->elements = (uint64_t)elements;
    item->bytes = (uint64_t)bytes;
    return BATCHNORM_OK;
}

static batchnorm_status check_raw(const batchnorm_safetensors_raw *raw, struct item *item, char *message) {
    const batchnorm_status status = check_name(raw->name, message);
    if (status) return status;
    if (!raw->dtype || (!raw->shape && raw->rank > 0) || (!raw->data && raw->bytes > 0))
        return bn_fail(BATCHNORM_NULL_POINTER, message, "tensor '%.100s' has no dtype, shape or data", raw->name);
    if (raw->rank < 0) return bn_fail(BATCHNORM_BAD_RANK, message, "tensor '%.100s' has rank %d", raw->name, raw->rank);
    *item = (struct item){.name = raw->name,
                          .type = bn_type_find(raw->dtype),
                          .rank = raw->rank,
                          .shape = raw->shape,
                          .raw = raw->data,
                          .index = item->index,
                          .elements = 1,
                          .bytes = raw->bytes};
    if (!item->type)
        return bn_fail(BATCHNORM_BAD_OPTION, message, "tensor '%.100s' has the unknown dtype '%.20s'", raw->name, raw->dtype);
    uint64_t bits = item->type->bits;
    for (int d = 0; d < raw->rank; d++)
        if (raw->shape[d] < 0 || __builtin_mul_overflow(bits, (uint64_t)raw->shape[d], &bits))
            return bn_fail(BATCHNORM_TOO_LARGE, message, "tensor '%.100s' has sizes that are negative or too large", raw->name);
    if (bits % 8 != 0 || bits / 8 != raw->bytes)
        return bn_fail(BATCHNORM_BAD_SHAPE, message, "tensor '%.100s' has %zu bytes, which do not fit its sizes", raw->name,
                       raw->bytes);
    return BATCHNORM_OK;
}

static int widest_first(const void *a, const void *b) {
    const struct item *x = a, *y = b;
    if (x->type->bits != y->type->bits) return x->type->bits > y->type->bits ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static batchnorm_status place(struct item *items, size_t count, char *message) {
    qsort(items, count, sizeof *items, widest_first);
    int64_t end = 0;
    for (size_t i = 0; i < count; i++) {
        items[i].begin = (uint64_t)end;
        if (__builtin_add_overflow(end, items[i].bytes, &end))
            return bn_fail(BATCHNORM_TOO_LARGE, message, "the tensors together are too large");
    }
    return BATCHNORM_OK;
}

/* object[key] = value, which may be NULL for want of memory; takes the reference of value. false without memory. */
static bool set(json_t *object, const char *key, json_t *value) { return json_object_set_new(object, key, value) == 0; }

static json_t *describe(const struct item *item) {
    json_t *tensor = json_object(), *shape = json_array(), *offsets = json_array();
    bool ok = tensor && shape && offsets;
    for (int i = 0; ok && i < item->rank; i++) ok = json_array_append_new(shape, json_integer(item->shape[i])) == 0;
    uint64_t end = item->begin + item->bytes;
    ok = ok && json_array_append_new(offsets, json_integer((json_int_t)item->begin)) == 0 &&
         json_array_append_new(offsets, json_integer((json_int_t)end)) == 0;
    ok = ok && set(tensor, "dtype", json_string(item->type->name)) && json_object_set(tensor, "shape", shape) == 0 &&
         json_object_set(tensor, "data_offsets", offsets) == 0;
    json_decref(shape);
    json_decref(offsets);
    if (ok) return tensor;
    json_decref(tensor);
    return NULL;
}

static batchnorm_status set_metadata(json_t *header, const batchnorm_safetensors_pair *metadata, size_t pairs, char *message) {
    json_t *object = json_object();
    if (!object || json_object_set_new(header, "__metadata__", object) != 0)
        return bn_fail(BATCHNORM_NO_MEMORY, message, "no memory for the header");
    for (size_t i = 0; i < pairs; i++) {
        const char *key = metadata[i].key, *value = metadata[i].value;
        if (!key || !value) return bn_fail(BATCHNORM_NULL_POINTER, message, "a key or value of the metadata is NULL");
        if (!bn_is_utf8(key) || !bn_is_utf8(value))
            return bn_fail(BATCHNORM_BAD_OPTION, message, "a key or value of the metadata is not valid UTF-8");
        if (json_object_get(object, key))
            return bn_fail(BATCHNORM_BAD_OPTION, message, "the metadata has the key '%.100s' twice", key);
        if (!set(object, key, json_string(value))) return bn_fail(BATCHNORM_NO_MEMORY, message, "no memory for the header");
    }
    return BATCHNORM_OK;
}

/* The caller's order, which is that of `named`: an object keeps the order in which its keys were set, so each is set to null
 * first. */
static batchnorm_status set_tensors(json_t *header, const char *const *named, const struct item *items, size_t count,
                                    char *message) {
    for (size_t i = 0; i < count; i++) {
        if (json_object_get(header, named[i]))
            return bn_fail(BATCHNORM_BAD_OPTION, message, "two tensors have the name '%.100s'", named[i]);
        if (!set(header, named[i], json_null())) return bn_fail(BATCHNORM_NO_MEMORY, message, "no memory for the header");
    }
    for (size_t i = 0; i < count; i++)
        if (!set(header, items[i].name, describe(&items[i])))
            return bn_fail(BATCHNORM_NO_MEMORY, message, "no memory for the header");
    return BATCHNORM_OK;
}

/* The header's text; free it. NULL without memory. Measured first, because json_dumps() drops a key when it has no memory for
 * its growing buffer. */
static char *header_text(const json_t *header, size_t *length) {
    *length = json_dumpb(header, NULL, 0, JSON_COMPACT);
    char *text = *length ? malloc(*length) : NULL;
    if (text && json_dumpb(header, text, *length, JSON_COMPACT) == *length) return text;
    free(text);
    return NULL;
}

/* The first 8 + size bytes of the file. Spaces fill the header up so that the tensors begin at a multiple of 8. */
static batchnorm_status write_header(struct bn_output_file *out, const json_t *header) {
    size_t length;
    char *text = header_text(header, &length);
    if (!text) return bn_fail(BATCHNORM_NO_MEMORY, out->message, "no memory for the header");
    size_t padding = (8 - length % 8) % 8;
    unsigned char head[8];
    for (int i = 0; i < 8; i++) head[i] = (unsigned char)((uint64_t)(length + padding) >> 8 * i);
    batchnorm_status status = bn_output_write(out, head, sizeof head);
    if (!status) status = bn_output_write(out, text, length);
    if (!status) status = bn_output_write(out, "        ", padding);
    free(text);
    return status;
}

/* The element that follows the one at index, in row-major order; *at is its distance from the first. */
static void step(const batchnorm_tensor *t, int64_t *index, int64_t *at) {
    for (int d = t->rank; d-- > 0;) {
        *at += t->stride[d];
        if (++index[d] < t->shape[d]) return;
        *at -= t->stride[d] * t->shape[d];
        index[d] = 0;
    }
}

static batchnorm_status write_elements(struct bn_output_file *out, const struct item *item, char *buffer) {
    const batchnorm_tensor *t = item->tensor;
    if (!t) return bn_output_write(out, item->raw, (size_t)item->bytes);
    size_t bytes = item->type->bits / 8, filled = 0;
    int64_t index[BATCHNORM_MAX_RANK] = {0}, at = 0;
    for (uint64_t i = 0; i < item->elements; i++) {
        memcpy(buffer + filled, (const char *)t->data + at * (int64_t)bytes, bytes);
        filled += bytes;
        if (i + 1 < item->elements) step(t, index, &at);
        if (filled < BUFFER_BYTES && i + 1 < item->elements) continue;
        bn_host_order(buffer, filled / bytes, bytes);
        batchnorm_status status = bn_output_write(out, buffer, filled);
        if (status) return status;
        filled = 0;
    }
    return BATCHNORM_OK;
}

static batchnorm_status write_file(const char *path, json_t *header, const struct item *items, size_t count, char *message) {
    struct bn_output_file out;
    char *buffer = malloc(BUFFER_BYTES); /* too large for the stack of a small thread */
    if (!buffer) return bn_fail(BATCHNORM_NO_MEMORY, message, "no memory for a buffer");
    batchnorm_status status = bn_output_begin(&out, path, message);
    if (!status) status = write_header(&out, header);
    for (size_t i = 0; !status && i < count; i++) status = write_elements(&out, &items[i], buffer);
    if (!status) status = bn_output_commit(&out);
    bn_output_cancel(&out);
    free(buffer);
    return status;
}

/* What is written: either entries or raw. */
struct tensors {
    const batchnorm_named_tensor *entries;
    const batchnorm_safetensors_raw *raw;
    size_t count;
};

static batchnorm_status check_and_write(const char *path, json_t *header, struct item *items, const char **named,
                                        const struct tensors *tensors, const batchnorm_safetensors_pair *metadata, size_t pairs,
                                        char *message) {
    batchnorm_status status = BATCHNORM_OK;
    for (size_t i = 0; !status && i < tensors->count; i++) {
        items[i].index = i;
        status = tensors->raw ? check_raw(&tensors->raw[i], &items[i], message)
                              : check_entry(&tensors->entries[i], &items[i], message);
        named[i] = items[i].name;
    }
    if (!status) status = place(items, tensors->count, message);
    if (!status && pairs > 0) status = set_metadata(header, metadata, pairs, message);
    if (!status) status = set_tensors(header, named, items, tensors->count, message);
    if (!status) status = write_file(path, header, items, tensors->count, message);
    return status;
}

static batchnorm_status write_tensors(const char *path, const struct tensors *tensors,
                                      const batchnorm_safetensors_pair *metadata, size_t pairs, char *message) {
    if (!path || (!tensors->entries && !tensors->raw && tensors->count > 0) || (!metadata && pairs > 0))
        return bn_fail(BATCHNORM_NULL_POINTER, message, "path, entries or metadata is NULL");
    struct item *items = calloc(tensors->count + 1, sizeof *items);
    const char **named = calloc(tensors->count + 1, sizeof *named);
    json_t *header = json_object();
    batchnorm_status status;
    if (items && named && header)
        status = check_and_write(path, header, items, named, tensors, metadata, pairs, message);
    else
        status = bn_fail(BATCHNORM_NO_MEMORY, message, "no memory for the header");
    json_decref(header);
    free(named);
    free(items);
    return status;
}

batchnorm_status batchnorm_safetensors_write(const char *path, const batchnorm_named_tensor *entries, size_t count,
                                             const batchnorm_safetensors_pair *metadata, size_t pairs, char *message) {
    return write_tensors(path, &(struct tensors){.entries = entries, .count = count}, metadata, pairs, message);
}

batchnorm_status batchnorm_safetensors_write_raw(const char *path, const batchnorm_safetensors_raw *tensors, size_t count,
                                                 const batchnorm_safetensors_pair *metadata, size_t pairs, char *message) {
    return write_tensors(path, &(struct tensors){.raw = tensors, .count = count}, metadata, pairs, message);
}
