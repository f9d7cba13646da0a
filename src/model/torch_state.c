/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE
#include "model/torch_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Dicts in dicts at most: a pickle may have a circle. */
enum { DEPTH_MAX = 16 };

/* Values that are looked at: dicts that are shared at every depth would make more than anybody can wait for. */
enum { VISITS_MAX = 1 << 20 };

/* Elements of a tensor that has more of them than its storage. */
enum { EXPANDED_MAX = 1 << 20 };

/* The largest checkpoint names are far shorter. */
enum { NAME_BYTES = 512 };

batchnorm_status bn_reader_fail(const struct bn_reader *r, size_t at, const char *what) {
    snprintf(r->why, BN_ONNX_BYTES, "byte %zu: %s", at, what);
    return BATCHNORM_BAD_FILE;
}

batchnorm_status bn_reader_no_memory(const struct bn_reader *r) {
    snprintf(r->why, BN_ONNX_BYTES, "no memory for its tensors");
    return BATCHNORM_NO_MEMORY;
}

static bool more(struct bn_reader *r, void *at, size_t count, size_t *room, size_t bytes) {
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

static const struct bn_value *value(const struct bn_reader *r, uint32_t index) { return &r->pickle.values[index]; }

/* Storages */

bool bn_reader_add(struct bn_reader *r, struct bn_place place) {
    if (!more(r, &r->places, r->place_count, &r->place_room, sizeof *r->places)) return false;
    place.text = r->t->map->base + place.key.at;
    r->places[r->place_count++] = place;
    return true;
}

/* By key; of equal ones that which comes first in the file. */
static int compare(const void *a, const void *b) {
    const struct bn_place *p = a, *q = b;
    const size_t left = p->key.end - p->key.at, right = q->key.end - q->key.at;
    const int order = left == 0 || right == 0 ? 0 : memcmp(p->text, q->text, left < right ? left : right);
    if (order || left != right) return order ? order : left < right ? -1 : 1;
    return 0;
}

void bn_reader_sort(struct bn_reader *r) {
    size_t kept = 0;
    if (r->place_count) qsort(r->places, r->place_count, sizeof *r->places, compare);
    for (size_t i = 0; i < r->place_count; i++)
        if (kept == 0 || compare(&r->places[kept - 1], &r->places[i]) != 0) r->places[kept++] = r->places[i];
    r->place_count = kept;
}

struct bn_place *bn_reader_place(const struct bn_reader *r, struct bn_slice key) {
    const struct bn_place wanted = {.text = r->t->map->base + key.at, .key = key};
    return r->place_count ? bsearch(&wanted, r->places, r->place_count, sizeof *r->places, compare) : NULL;
}

static bool find_storage(const struct bn_reader *r, struct bn_slice key, struct bn_slice *bytes) {
    const struct bn_place *place = bn_reader_place(r, key);
    if (place) *bytes = place->bytes;
    return place && place->bytes.end != 0;
}

/* Values of the pickle */

static int64_t integer(const struct bn_reader *r, uint32_t index) {
    const struct bn_value *v = value(r, index);
    return v->kind == BN_P_INT ? v->integer : -1;
}

/* The keys and values of a dict or an OrderedDict, which is a call with items after it; returns false for anything else. */
static bool pairs_of(const struct bn_reader *r, uint32_t index, const uint32_t **pairs, uint32_t *count) {
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

static int32_t type_of_storage(const struct bn_reader *r, uint32_t global) {
    static const struct {
        const char *name;
        int32_t type;
    } types[] = {{"FloatStorage", 1}, {"DoubleStorage", 11}, {"HalfStorage", 10}, {"BFloat16Storage", 16}, {"LongStorage", 7},
                 {"IntStorage", 6},   {"ShortStorage", 5},   {"CharStorage", 3},  {"ByteStorage", 2},      {"BoolStorage", 9}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (bn_pickle_is(&r->pickle, global, "torch", types[i].name)) return types[i].type;
    return 0;
}

/* ('storage', type, key, location, elements[, view]) */
static bool read_storage(const struct bn_reader *r, uint32_t index, struct bn_torch_tensor *t) {
    const struct bn_value *v = value(r, index);
    if (v->kind != BN_P_PERSISTENT) return false;
    const struct bn_value *id = value(r, v->items[0]);
    if (id->kind != BN_P_TUPLE || id->count < 5 || value(r, id->items[2])->kind != BN_P_TEXT) return false;
    if (id->count > 5 && value(r, id->items[5])->kind != BN_P_NONE) return false; /* a view of another storage */
    t->type = type_of_storage(r, id->items[1]);
    return t->type != 0 && find_storage(r, value(r, id->items[2])->text, &t->storage);
}

static bool read_sizes(const struct bn_reader *r, uint32_t sizes, uint32_t strides, struct bn_torch_tensor *t) {
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

/* Returns whether the last element lies in the storage. Strides of 0 make many elements of one; a tensor that has more than
 * its storage must be small, because whoever reads it takes memory for all of them. */
static bool fits(const struct bn_torch_tensor *t) {
    const int64_t stored = (int64_t)((t->storage.end - t->storage.at) / bn_onnx_type_bytes(t->type));
    int64_t last = t->offset, elements = 1, span;
    for (int d = 0; d < t->rank; d++) {
        if (t->dims[d] == 0) return true;
        if (__builtin_mul_overflow(t->dims[d] - 1, t->strides[d], &span) || __builtin_add_overflow(last, span, &last) ||
            __builtin_mul_overflow(elements, t->dims[d], &elements))
            return false;
    }
    return t->offset >= 0 && last < stored && (elements <= stored || elements <= EXPANDED_MAX);
}

/* Reads what _rebuild_tensor_v2 would make: (storage, offset, size, stride, ...), or a parameter around it. */
static bool read_tensor(const struct bn_reader *r, uint32_t index, struct bn_torch_tensor *t, int depth) {
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
static bool append(const struct bn_reader *r, const char *name, uint32_t key, char to[NAME_BYTES]) {
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

static void skip(struct bn_reader *r, const char *name) {
    struct bn_torch *t = r->t;
    if (!more(r, &t->skipped, t->skipped_count, &t->skipped_room, sizeof *t->skipped)) return;
    char *text = strdup(*name ? name : "(the whole)");
    r->no_memory = r->no_memory || !text;
    if (text) t->skipped[t->skipped_count++] = text;
}

static void walk(struct bn_reader *r, uint32_t index, const char *name, int depth) {
    struct bn_torch *t = r->t;
    struct bn_torch_tensor tensor = {0};
    const uint32_t *pairs;
    uint32_t count;
    if (r->no_memory || r->visits++ > VISITS_MAX) return;
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
static uint32_t tensors_in(const struct bn_reader *r, uint32_t index) {
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

static batchnorm_status walked(const struct bn_reader *r) {
    if (r->visits > VISITS_MAX) return bn_reader_fail(r, r->pickle.at, "dicts that are in each other too often");
    return r->no_memory ? bn_reader_no_memory(r) : BATCHNORM_OK;
}

/* A checkpoint of a training has the state in a dict beside others: {"state_dict": ..., "optimizer": ..., "epoch": ...}. That
 * dict with the most tensors is taken for the state, and names begin inside it. */
batchnorm_status bn_reader_state(struct bn_reader *r) {
    const uint32_t *pairs;
    uint32_t count, best = UINT32_MAX, most = 0;
    const uint32_t root = r->pickle.root;
    if (!pairs_of(r, root, &pairs, &count)) {
        const struct bn_value *v = value(r, root);
        if (v->kind == BN_P_CALL)
            return bn_reader_fail(r, r->pickle.at, "a pickled module, not a state: save model.state_dict()");
        return bn_reader_fail(r, r->pickle.at, "a checkpoint that is no dict of tensors");
    }
    const bool is_state = tensors_in(r, root) > 0;
    for (uint32_t i = 0; i < count && !is_state; i++) {
        const uint32_t tensors = tensors_in(r, pairs[2 * i + 1]);
        if (tensors > most) best = i;
        if (tensors > most) most = tensors;
    }
    if (best == UINT32_MAX) {
        walk(r, root, "", DEPTH_MAX);
        return walked(r);
    }
    walk(r, pairs[2 * best + 1], "", DEPTH_MAX);
    for (uint32_t i = 0; i < count; i++) {
        char name[NAME_BYTES];
        if (i != best) skip(r, append(r, "", pairs[2 * i], name) ? name : "?");
    }
    return walked(r);
}

bool bn_reader_types(struct bn_reader *r) {
    for (uint32_t i = 0; i < r->pickle.value_count; i++) {
        const struct bn_value *v = value(r, i);
        if (v->kind != BN_P_PERSISTENT) continue;
        const struct bn_value *id = value(r, v->items[0]);
        if (id->kind != BN_P_TUPLE || id->count < 5 || value(r, id->items[2])->kind != BN_P_TEXT) continue;
        const size_t each = bn_onnx_type_bytes(type_of_storage(r, id->items[1]));
        if (!bn_reader_add(r, (struct bn_place){.key = value(r, id->items[2])->text, .each = each})) return false;
    }
    bn_reader_sort(r);
    return true;
}
