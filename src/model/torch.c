/* SPDX-License-Identifier: MIT */
/* From pickles and storages to tensors. The zip form has a pickle, data.pkl, and a file data/KEY for each storage; the legacy
 * form has five pickles after each other (a magic number, the protocol, a description of the system, the state, the keys of
 * the storages) and then the storages. */
#define _DEFAULT_SOURCE
#include "model/torch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/pickle.h"
#include "model/zip.h"

/* Dicts in dicts at most: a pickle may have a circle. */
enum { DEPTH_MAX = 16 };

/* The largest checkpoint names are far shorter. */
enum { NAME_BYTES = 512 };

struct reader {
    struct bn_torch *t;
    struct bn_pickle pickle; /* the state */
    struct bn_zip zip;
    struct bn_slice root; /* of the zip form: what all names begin with */
    struct place {
        uint64_t key; /* legacy: where the text of the key is */
        struct bn_slice text, bytes;
    } * places; /* of storages, by key */
    size_t place_count, place_room;
    bool no_memory;
    char *why;
};

static batchnorm_status fail(const struct reader *r, size_t at, const char *what) {
    snprintf(r->why, BN_ONNX_BYTES, "byte %zu: %s", at, what);
    return BATCHNORM_BAD_FILE;
}

static batchnorm_status no_memory(const struct reader *r) {
    snprintf(r->why, BN_ONNX_BYTES, "no memory for its tensors");
    return BATCHNORM_NO_MEMORY;
}

static bool more(struct reader *r, void *at, size_t count, size_t *room, size_t bytes) {
    void *old;
    if (count < *room) return true;
    memcpy(&old, at, sizeof old);
    void *new = realloc(old, 2 * (count + 16) * bytes);
    r->no_memory = r->no_memory || !new;
    if (!new) return false;
    memcpy(at, &new, sizeof new);
    *room = 2 * (count + 16);
    return true;
}

static bool is_text(const struct reader *r, struct bn_slice slice, const char *text) {
    const size_t bytes = slice.end - slice.at;
    return bytes == strlen(text) && memcmp(r->t->map->base + slice.at, text, bytes) == 0;
}

static bool are_equal(const struct reader *r, struct bn_slice a, struct bn_slice b) {
    const size_t bytes = a.end - a.at;
    return bytes == b.end - b.at && memcmp(r->t->map->base + a.at, r->t->map->base + b.at, bytes) == 0;
}

static const struct bn_value *value(const struct reader *r, uint32_t index) { return &r->pickle.values[index]; }

/* Values of the pickle */

static int64_t integer(const struct reader *r, uint32_t index) {
    const struct bn_value *v = value(r, index);
    return v->kind == BN_P_INT ? v->integer : -1;
}

/* The keys and values of a dict or an OrderedDict, which is a call with items after it; returns false for anything else. */
static bool pairs_of(const struct reader *r, uint32_t index, const uint32_t **pairs, uint32_t *count) {
    const struct bn_value *v = value(r, index);
    uint32_t first = 0;
    if (v->kind == BN_P_CALL) {
        const bool is_dict = bn_pickle_is(&r->pickle, v->items[0], "collections", "OrderedDict") ||
                             bn_pickle_is(&r->pickle, v->items[0], "collections", "defaultdict");
        if (!is_dict) return false;
        first = 2;
    } else if (v->kind != BN_P_DICT) {
        return false;
    }
    *pairs = v->items ? v->items + first : NULL;
    *count = (v->count - first) / 2;
    return true;
}

static int32_t type_of_storage(const struct reader *r, uint32_t global) {
    static const struct {
        const char *name;
        int32_t type;
    } types[] = {{"FloatStorage", 1}, {"DoubleStorage", 11}, {"HalfStorage", 10}, {"BFloat16Storage", 16}, {"LongStorage", 7},
                 {"IntStorage", 6},   {"ShortStorage", 5},   {"CharStorage", 3},  {"ByteStorage", 2},      {"BoolStorage", 9}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (bn_pickle_is(&r->pickle, global, "torch", types[i].name)) return types[i].type;
    return 0;
}

/* Finds the bytes of a storage by its key. */
static bool find_storage(const struct reader *r, struct bn_slice key, struct bn_slice *bytes) {
    for (size_t i = 0; i < r->place_count; i++)
        if (are_equal(r, r->places[i].text, key)) {
            *bytes = r->places[i].bytes;
            return true;
        }
    return false;
}

/* ('storage', type, key, location, elements[, view]) */
static bool read_storage(const struct reader *r, uint32_t index, struct bn_torch_tensor *t) {
    const struct bn_value *v = value(r, index);
    if (v->kind != BN_P_PERSISTENT) return false;
    const struct bn_value *id = value(r, v->items[0]);
    if (id->kind != BN_P_TUPLE || id->count < 5 || value(r, id->items[2])->kind != BN_P_TEXT) return false;
    if (id->count > 5 && value(r, id->items[5])->kind != BN_P_NONE) return false; /* a view of another storage */
    t->type = type_of_storage(r, id->items[1]);
    return t->type != 0 && find_storage(r, value(r, id->items[2])->text, &t->storage);
}

static bool read_sizes(const struct reader *r, uint32_t sizes, uint32_t strides, struct bn_torch_tensor *t) {
    const struct bn_value *s = value(r, sizes), *d = value(r, strides);
    if (s->kind != BN_P_TUPLE || d->kind != BN_P_TUPLE || s->count != d->count || s->count > BN_ONNX_RANK) return false;
    t->rank = (int)s->count;
    for (uint32_t i = 0; i < s->count; i++) {
        t->dims[i] = integer(r, s->items[i]);
        t->strides[i] = integer(r, d->items[i]);
        if (t->dims[i] < 0 || t->strides[i] < 0) return false;
    }
    return true;
}

/* Whether the last element lies in the storage. */
static bool fits(const struct bn_torch_tensor *t) {
    int64_t last = t->offset, span;
    for (int d = 0; d < t->rank; d++) {
        if (t->dims[d] == 0) return true;
        if (__builtin_mul_overflow(t->dims[d] - 1, t->strides[d], &span) || __builtin_add_overflow(last, span, &last))
            return false;
    }
    return t->offset >= 0 && (uint64_t)last < (t->storage.end - t->storage.at) / bn_onnx_type_bytes(t->type);
}

/* Reads what _rebuild_tensor_v2 would make: (storage, offset, size, stride, ...), or a parameter around it. */
static bool read_tensor(const struct reader *r, uint32_t index, struct bn_torch_tensor *t, int depth) {
    const struct bn_value *v = value(r, index);
    if (v->kind != BN_P_CALL || depth == 0) return false;
    const struct bn_value *arguments = value(r, v->items[1]);
    if (arguments->kind != BN_P_TUPLE || arguments->count == 0) return false;
    if (bn_pickle_is(&r->pickle, v->items[0], "torch._utils", "_rebuild_parameter") ||
        bn_pickle_is(&r->pickle, v->items[0], "torch._utils", "_rebuild_parameter_with_state"))
        return read_tensor(r, arguments->items[0], t, depth - 1);
    if (!bn_pickle_is(&r->pickle, v->items[0], "torch._utils", "_rebuild_tensor_v2") &&
        !bn_pickle_is(&r->pickle, v->items[0], "torch._utils", "_rebuild_tensor"))
        return false;
    if (arguments->count < 4 || !read_storage(r, arguments->items[0], t)) return false;
    t->offset = integer(r, arguments->items[1]);
    return read_sizes(r, arguments->items[2], arguments->items[3], t) && fits(t);
}

/* Names */

/* Appends a key to the name of what it is in; returns false for one that is no text or number, or too long. */
static bool append(const struct reader *r, const char *name, uint32_t key, char to[NAME_BYTES]) {
    const struct bn_value *v = value(r, key);
    const char *dot = *name ? "." : "";
    int bytes;
    if (v->kind == BN_P_TEXT)
        bytes = snprintf(to, NAME_BYTES, "%s%s%.*s", name, dot, (int)(v->text.end - v->text.at),
                         (const char *)r->t->map->base + v->text.at);
    else if (v->kind == BN_P_INT)
        bytes = snprintf(to, NAME_BYTES, "%s%s%" PRId64, name, dot, v->integer);
    else
        return false;
    return bytes > 0 && bytes < NAME_BYTES;
}

static void skip(struct reader *r, const char *name) {
    struct bn_torch *t = r->t;
    if (!more(r, &t->skipped, t->skipped_count, &t->skipped_room, sizeof *t->skipped)) return;
    char *text = strdup(*name ? name : "(the whole)");
    r->no_memory = r->no_memory || !text;
    if (text) t->skipped[t->skipped_count++] = text;
}

static void walk(struct reader *r, uint32_t index, const char *name, int depth) {
    struct bn_torch *t = r->t;
    struct bn_torch_tensor tensor = {0};
    const uint32_t *pairs;
    uint32_t count;
    if (r->no_memory) return;
    if (read_tensor(r, index, &tensor, 4)) {
        if (!more(r, &t->tensors, t->tensor_count, &t->tensor_room, sizeof *t->tensors)) return;
        tensor.name = strdup(name);
        r->no_memory = r->no_memory || !tensor.name;
        if (tensor.name) t->tensors[t->tensor_count++] = tensor;
        return;
    }
    if (depth == 0 || !pairs_of(r, index, &pairs, &count)) {
        skip(r, name);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        char inner[NAME_BYTES];
        if (append(r, name, pairs[2 * i], inner))
            walk(r, pairs[2 * i + 1], inner, depth - 1);
        else
            skip(r, name);
    }
}

/* How many values of a dict are tensors; 0 for what is no dict. */
static uint32_t tensors_in(const struct reader *r, uint32_t index) {
    const uint32_t *pairs;
    uint32_t count, tensors = 0;
    struct bn_torch_tensor t;
    if (!pairs_of(r, index, &pairs, &count)) return 0;
    for (uint32_t i = 0; i < count; i++) {
        t = (struct bn_torch_tensor){0};
        tensors += read_tensor(r, pairs[2 * i + 1], &t, 4);
    }
    return tensors;
}

/* A checkpoint of a training has the state in a dict beside others: {"state_dict": ..., "optimizer": ..., "epoch": ...}. That
 * dict with the most tensors is taken for the state, and names begin inside it. */
static batchnorm_status find_state(struct reader *r) {
    const uint32_t *pairs;
    uint32_t count, best = UINT32_MAX, most = 0;
    const uint32_t root = r->pickle.root;
    if (!pairs_of(r, root, &pairs, &count)) {
        const struct bn_value *v = value(r, root);
        if (v->kind == BN_P_CALL) return fail(r, r->pickle.at, "a pickled module, not a state: save model.state_dict()");
        return fail(r, r->pickle.at, "a checkpoint that is no dict of tensors");
    }
    const bool is_state = tensors_in(r, root) > 0;
    for (uint32_t i = 0; i < count && !is_state; i++) {
        const uint32_t tensors = tensors_in(r, pairs[2 * i + 1]);
        if (tensors > most) best = i;
        if (tensors > most) most = tensors;
    }
    if (best == UINT32_MAX) {
        walk(r, root, "", DEPTH_MAX);
        return r->no_memory ? no_memory(r) : BATCHNORM_OK;
    }
    walk(r, pairs[2 * best + 1], "", DEPTH_MAX);
    for (uint32_t i = 0; i < count; i++) {
        char name[NAME_BYTES];
        if (i != best) skip(r, append(r, "", pairs[2 * i], name) ? name : "?");
    }
    return r->no_memory ? no_memory(r) : BATCHNORM_OK;
}

static batchnorm_status read_state(struct reader *r, struct bn_slice rest) {
    const bool ok = bn_pickle_read(&r->pickle, r->t->map->base, rest);
    if (r->pickle.no_memory) return no_memory(r);
    return ok ? BATCHNORM_OK : fail(r, r->pickle.at, r->pickle.wrong ? r->pickle.wrong : "a pickle that does not end");
}

static bool add_place(struct reader *r, struct bn_slice key, struct bn_slice bytes) {
    if (!more(r, &r->places, r->place_count, &r->place_room, sizeof *r->places)) return false;
    r->places[r->place_count++] = (struct place){0, key, bytes};
    return true;
}

/* Zip */

/* Returns what follows the root in an entry's name; empty if it is of another root. */
static struct bn_slice below(const struct reader *r, struct bn_slice name, const char *folder) {
    const size_t root = r->root.end - r->root.at, bytes = strlen(folder);
    const unsigned char *base = r->t->map->base;
    if (name.end - name.at <= root + bytes || memcmp(base + name.at, base + r->root.at, root) != 0 ||
        memcmp(base + name.at + root, folder, bytes) != 0)
        return (struct bn_slice){0, 0};
    return (struct bn_slice){name.at + root + bytes, name.end};
}

static batchnorm_status broken_entry(const struct reader *r, const struct bn_zip_entry *e) {
    return fail(r, e->name.at,
                e->is_stored ? "an entry of the zip file that is not whole" : "an entry of the zip file that is compressed");
}

static batchnorm_status read_entries(struct reader *r, struct bn_slice *pickle) {
    struct bn_zip_entry e;
    struct bn_slice data;
    if (!bn_zip_begin(&r->zip, r->t->map->base, r->t->map->bytes)) return fail(r, r->zip.wrong_at, r->zip.wrong);
    while (bn_zip_next(&r->zip, &e)) { /* the root first: entries come in any order */
        const size_t bytes = e.name.end - e.name.at;
        const bool is_state = bytes >= 8 && memcmp(r->t->map->base + e.name.end - 8, "data.pkl", 8) == 0;
        if (!is_state) continue;
        r->root = (struct bn_slice){e.name.at, e.name.end - 8};
        if (!bn_zip_data(&r->zip, &e, pickle)) return broken_entry(r, &e);
    }
    if (r->zip.wrong) return fail(r, r->zip.wrong_at, r->zip.wrong);
    if (pickle->end == 0) return fail(r, r->t->map->bytes, "a zip file without data.pkl: it is no checkpoint");
    bn_zip_begin(&r->zip, r->t->map->base, r->t->map->bytes);
    while (bn_zip_next(&r->zip, &e)) {
        const struct bn_slice key = below(r, e.name, "data/"), code = below(r, e.name, "code/"),
                              order = below(r, e.name, "byteorder");
        (void)order;
        if (code.end) return fail(r, e.name.at, "a TorchScript module, not a state: save model.state_dict()");
        const size_t bytes = e.name.end - e.name.at;
        const bool is_order = bytes >= 9 && memcmp(r->t->map->base + e.name.end - 9, "byteorder", 9) == 0;
        if (!key.end && !is_order) continue;
        if (!bn_zip_data(&r->zip, &e, &data)) return broken_entry(r, &e);
        if (is_order) r->t->is_big_endian = is_text(r, data, "big");
        if (key.end && !add_place(r, key, data)) return no_memory(r);
    }
    return BATCHNORM_OK;
}

static batchnorm_status read_zip(struct reader *r) {
    struct bn_slice pickle = {0, 0};
    batchnorm_status status = read_entries(r, &pickle);
    if (!status) status = read_state(r, pickle);
    return status ? status : find_state(r);
}

/* Legacy */

/* The magic number of the first pickle: 0x1950a86a20f9469cfc6c, as protocol 2 writes it. */
static const unsigned char magic[] = {0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};

/* Types of storages by key: a legacy file has only the counts of elements beside the bytes. */
static size_t element_bytes(const struct reader *r, struct bn_slice key) {
    for (uint32_t i = 0; i < r->pickle.value_count; i++) {
        const struct bn_value *v = value(r, i);
        if (v->kind != BN_P_PERSISTENT) continue;
        const struct bn_value *id = value(r, v->items[0]);
        if (id->kind != BN_P_TUPLE || id->count < 5 || value(r, id->items[2])->kind != BN_P_TEXT) continue;
        if (are_equal(r, value(r, id->items[2])->text, key)) return bn_onnx_type_bytes(type_of_storage(r, id->items[1]));
    }
    return 0;
}

static batchnorm_status read_storages(struct reader *r, const struct bn_pickle *keys, size_t at) {
    const struct bn_value *list = &keys->values[keys->root];
    const unsigned char *base = r->t->map->base;
    const size_t end = r->t->map->bytes;
    if (list->kind != BN_P_LIST) return fail(r, at, "a checkpoint without the keys of its storages");
    for (uint32_t i = 0; i < list->count; i++) {
        const struct bn_slice key = keys->values[list->items[i]].text;
        const size_t each = element_bytes(r, key);
        uint64_t elements = 0;
        if (end - at < 8) return fail(r, at, "a checkpoint that is cut off");
        for (int k = 0; k < 8; k++) elements |= (uint64_t)base[at + (size_t)k] << 8 * k;
        at += 8;
        if (each == 0 || elements > (end - at) / each) return fail(r, at, "a storage that is cut off, or of an unknown type");
        if (!add_place(r, key, (struct bn_slice){at, at + (size_t)elements * each})) return no_memory(r);
        at += (size_t)elements * each;
    }
    return BATCHNORM_OK;
}

static batchnorm_status read_legacy(struct reader *r) {
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
    status = ok ? read_storages(r, &keys, keys.at) : fail(r, keys.at, keys.wrong ? keys.wrong : "a pickle that does not end");
    bn_pickle_free(&keys);
    return status ? status : find_state(r);
}

bool bn_torch_is(const struct bn_map *map) {
    if (map->bytes >= 4 && memcmp(map->base, "PK\3\4", 4) == 0) return true;
    return map->bytes >= sizeof magic && memcmp(map->base, magic, sizeof magic) == 0;
}

batchnorm_status bn_torch_index(struct bn_torch *t, const struct bn_map *map, char *why) {
    *t = (struct bn_torch){.map = map};
    struct reader r = {.t = t, .why = why};
    const batchnorm_status status = map->base[0] == 'P' ? read_zip(&r) : read_legacy(&r);
    bn_pickle_free(&r.pickle);
    free(r.places);
    return status;
}

void bn_torch_free(struct bn_torch *t) {
    for (size_t i = 0; i < t->tensor_count; i++) free(t->tensors[i].name);
    for (size_t i = 0; i < t->skipped_count; i++) free(t->skipped[i]);
    free(t->tensors);
    free(t->skipped);
    *t = (struct bn_torch){0};
}

batchnorm_status bn_torch_read(const struct bn_torch *t, const struct bn_torch_tensor *tensor, double *to, size_t count,
                               char *why) {
    const size_t bytes = bn_onnx_type_bytes(tensor->type);
    int64_t index[BN_ONNX_RANK] = {0};
    for (size_t i = 0; i < count; i++) {
        int64_t at = tensor->offset;
        for (int d = 0; d < tensor->rank; d++) at += index[d] * tensor->strides[d];
        const unsigned char *from = t->map->base + tensor->storage.at + (size_t)at * bytes;
        uint64_t bits = 0;
        for (size_t k = 0; k < bytes; k++) bits |= (uint64_t)from[t->is_big_endian ? bytes - 1 - k : k] << 8 * k;
        to[i] = bn_onnx_value(tensor->type, bits);
        for (int d = tensor->rank - 1; d >= 0 && ++index[d] == tensor->dims[d]; d--) index[d] = 0;
    }
    (void)why;
    return BATCHNORM_OK;
}
