/* SPDX-License-Identifier: MIT */
/* From pickles and storages to tensors. The zip form has a pickle, data.pkl, and a file data/KEY for each storage; the legacy
 * form has five pickles after each other (a magic number, the protocol, a description of the system, the state, the keys of
 * the storages) and then the storages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/torch_state.h"

static batchnorm_status read_state(struct bn_reader *r, struct bn_slice rest) {
    const bool ok = bn_pickle_read(&r->pickle, r->t->map->base, rest);
    if (r->pickle.no_memory) return bn_reader_no_memory(r);
    return ok ? BATCHNORM_OK
              : bn_reader_fail(r, r->pickle.at, r->pickle.wrong ? r->pickle.wrong : "a pickle that does not end");
}

/* Zip */

/* Returns what follows the root in an entry's name; empty if it is of another root. */
static struct bn_slice below(const struct bn_reader *r, struct bn_slice name, const char *folder) {
    const size_t root = r->root.end - r->root.at, bytes = strlen(folder);
    const unsigned char *base = r->t->map->base;
    if (name.end - name.at <= root + bytes || memcmp(base + name.at, base + r->root.at, root) != 0 ||
        memcmp(base + name.at + root, folder, bytes) != 0)
        return (struct bn_slice){0, 0};
    return (struct bn_slice){name.at + root + bytes, name.end};
}

static batchnorm_status broken_entry(const struct bn_reader *r, const struct bn_zip_entry *e) {
    return bn_reader_fail(r, e->name.at,
                          e->is_stored ? "an entry of the zip file that is not whole"
                                       : "an entry of the zip file that is compressed");
}

static batchnorm_status read_entries(struct bn_reader *r, struct bn_slice *pickle) {
    struct bn_zip_entry e;
    struct bn_slice data;
    if (!bn_zip_begin(&r->zip, r->t->map->base, r->t->map->bytes)) return bn_reader_fail(r, r->zip.wrong_at, r->zip.wrong);
    while (bn_zip_next(&r->zip, &e)) { /* the root first: entries come in any order */
        const size_t bytes = e.name.end - e.name.at;
        const bool is_state = bytes >= 8 && memcmp(r->t->map->base + e.name.end - 8, "data.pkl", 8) == 0;
        if (!is_state) continue;
        r->root = (struct bn_slice){e.name.at, e.name.end - 8};
        if (!bn_zip_data(&r->zip, &e, pickle)) return broken_entry(r, &e);
    }
    if (r->zip.wrong) return bn_reader_fail(r, r->zip.wrong_at, r->zip.wrong);
    if (pickle->end == 0) return bn_reader_fail(r, r->t->map->bytes, "a zip file without data.pkl: it is no checkpoint");
    bn_zip_begin(&r->zip, r->t->map->base, r->t->map->bytes);
    while (bn_zip_next(&r->zip, &e)) {
        const struct bn_slice key = below(r, e.name, "data/"), code = below(r, e.name, "code/");
        if (code.end) return bn_reader_fail(r, e.name.at, "a TorchScript module, not a state: save model.state_dict()");
        const size_t bytes = e.name.end - e.name.at;
        const bool is_order = bytes >= 9 && memcmp(r->t->map->base + e.name.end - 9, "byteorder", 9) == 0;
        if (!key.end && !is_order) continue;
        if (!bn_zip_data(&r->zip, &e, &data)) return broken_entry(r, &e);
        if (is_order) r->t->is_big_endian = data.end - data.at == 3 && memcmp(r->t->map->base + data.at, "big", 3) == 0;
        if (key.end && !bn_reader_add(r, (struct bn_place){.key = key, .bytes = data})) return bn_reader_no_memory(r);
    }
    bn_reader_sort(r);
    return BATCHNORM_OK;
}

static batchnorm_status read_zip(struct bn_reader *r) {
    struct bn_slice pickle = {0, 0};
    batchnorm_status status = read_entries(r, &pickle);
    if (!status) status = read_state(r, pickle);
    return status ? status : bn_reader_state(r);
}

/* Legacy */

/* The magic number of the first pickle: 0x1950a86a20f9469cfc6c. Before it is the protocol, and from 4 on a frame. */
static const unsigned char magic[] = {0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};

static bool is_legacy(const struct bn_map *map) {
    const unsigned char *base = map->base;
    if (map->bytes < 2 || base[0] != 0x80 || base[1] < 2 || base[1] > 5) return false;
    const size_t at = map->bytes > 2 && base[2] == 0x95 ? 11 : 2;
    return map->bytes >= at + sizeof magic && memcmp(base + at, magic, sizeof magic) == 0;
}

static batchnorm_status read_storages(struct bn_reader *r, const struct bn_pickle *keys, size_t at) {
    const struct bn_value *list = &keys->values[keys->root];
    const unsigned char *base = r->t->map->base;
    const size_t end = r->t->map->bytes;
    if (list->kind != BN_P_LIST) return bn_reader_fail(r, at, "a checkpoint without the keys of its storages");
    for (uint32_t i = 0; i < list->count; i++) {
        struct bn_place *place = bn_reader_place(r, keys->values[list->items[i]].text);
        uint64_t elements = 0;
        if (end - at < 8) return bn_reader_fail(r, at, "a checkpoint that is cut off");
        for (int k = 0; k < 8; k++) elements |= (uint64_t)base[at + (size_t)k] << 8 * k;
        at += 8;
        if (!place || place->each == 0 || elements > (end - at) / place->each)
            return bn_reader_fail(r, at, "a storage that is cut off, or of an unknown type");
        place->bytes = (struct bn_slice){at, at + (size_t)elements * place->each};
        at = place->bytes.end;
    }
    return BATCHNORM_OK;
}

static batchnorm_status read_legacy(struct bn_reader *r) {
    size_t at = 0;
    batchnorm_status status = BATCHNORM_OK;
    const size_t end = r->t->map->bytes;
    for (int i = 0; i < 3 && !status; i++) { /* the magic number, the protocol, the system */
        status = read_state(r, (struct bn_slice){at, end});
        at = r->pickle.at;
        bn_pickle_free(&r->pickle);
    }
    if (!status) status = read_state(r, (struct bn_slice){at, end});
    if (status) return status;
    struct bn_pickle keys;
    const bool ok = bn_pickle_read(&keys, r->t->map->base, (struct bn_slice){r->pickle.at, end});
    if (ok && !bn_reader_types(r))
        status = bn_reader_no_memory(r);
    else
        status = ok ? read_storages(r, &keys, keys.at)
                    : bn_reader_fail(r, keys.at, keys.wrong ? keys.wrong : "a pickle that does not end");
    bn_pickle_free(&keys);
    return status ? status : bn_reader_state(r);
}

bool bn_torch_is(const struct bn_map *map) {
    if (map->bytes >= 4 && memcmp(map->base, "PK\3\4", 4) == 0) return true;
    return is_legacy(map);
}

batchnorm_status bn_torch_index(struct bn_torch *t, const struct bn_map *map, char *why) {
    *t = (struct bn_torch){.map = map};
    struct bn_reader r = {.t = t, .why = why};
    const batchnorm_status status = map->base[0] == 'P' ? read_zip(&r) : read_legacy(&r);
    bn_pickle_free(&r.pickle);
    free(r.places);
    return status;
}

void bn_torch_free(struct bn_torch *t) {
    for (size_t i = 0; i < t->tensor_count; i++) free(t->tensors[i].name);
    for (size_t i = 0; i < t->skipped_count; i++) {
        free(t->skipped[i].name);
        free(t->skipped[i].type);
    }
    free(t->tensors);
    free(t->skipped);
    *t = (struct bn_torch){0};
}

/* Copies an element, least significant byte first. */
static void copy_element(const struct bn_torch *t, const struct bn_torch_tensor *tensor, const unsigned char *from,
                         unsigned char *to) {
    const size_t bytes = bn_onnx_type_bytes(tensor->type);
    const bool is_complex = tensor->type == BN_TORCH_COMPLEX64 || tensor->type == BN_TORCH_COMPLEX128;
    const size_t unit = is_complex ? bytes / 2 : bytes;
    for (size_t k = 0; k < bytes; k++) to[k] = from[t->is_big_endian ? k / unit * unit + unit - 1 - k % unit : k];
    if (tensor->is_negative) to[bytes - 1] ^= 0x80;
}

/* The element at an index, then the index after it. */
static const unsigned char *next_element(const struct bn_torch *t, const struct bn_torch_tensor *tensor,
                                         int64_t index[BN_ONNX_RANK]) {
    int64_t at = tensor->offset;
    for (int d = 0; d < tensor->rank; d++) at += index[d] * tensor->strides[d];
    for (int d = tensor->rank - 1; d >= 0 && ++index[d] == tensor->dims[d]; d--) index[d] = 0;
    return t->map->base + tensor->storage.at + (size_t)at * bn_onnx_type_bytes(tensor->type);
}

void bn_torch_bytes(const struct bn_torch *t, const struct bn_torch_tensor *tensor, unsigned char *to, size_t count) {
    const size_t bytes = bn_onnx_type_bytes(tensor->type);
    int64_t index[BN_ONNX_RANK] = {0};
    for (size_t i = 0; i < count; i++) copy_element(t, tensor, next_element(t, tensor, index), to + i * bytes);
}

static bool is_number(int32_t type) {
    return (type >= BN_ONNX_FLOAT && type <= BN_ONNX_INT64) || (type >= BN_ONNX_BOOL && type <= BN_TORCH_UINT64) ||
           type == BN_ONNX_BF16;
}

batchnorm_status bn_torch_read(const struct bn_torch *t, const struct bn_torch_tensor *tensor, double *to, size_t count,
                               char *why) {
    const size_t bytes = bn_onnx_type_bytes(tensor->type);
    const bool is_unsigned =
        tensor->type == BN_TORCH_UINT16 || tensor->type == BN_TORCH_UINT32 || tensor->type == BN_TORCH_UINT64;
    int64_t index[BN_ONNX_RANK] = {0};
    if (!is_number(tensor->type)) {
        snprintf(why, BN_ONNX_BYTES, "\"%.80s\" is of type %s, which is not read as numbers", tensor->name,
                 bn_onnx_type_name(tensor->type));
        return BATCHNORM_BAD_DTYPE;
    }
    for (size_t i = 0; i < count; i++) {
        unsigned char element[8];
        uint64_t bits = 0;
        copy_element(t, tensor, next_element(t, tensor, index), element);
        for (size_t k = 0; k < bytes; k++) bits |= (uint64_t)element[k] << 8 * k;
        to[i] = is_unsigned ? (double)bits : bn_onnx_value(tensor->type, bits);
    }
    return BATCHNORM_OK;
}
