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

bool bn_reader_pairs(const struct bn_reader *r, uint32_t index, const uint32_t **pairs, uint32_t *count) {
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

/* Notes what is passed over; type: of a tensor, or where it is, NULL for what has none. */
static void skip(struct bn_reader *r, const char *name, const char *type) {
    struct bn_torch *t = r->t;
    if (!more(r, &t->skipped, t->skipped_count, &t->skipped_room, sizeof *t->skipped)) return;
    struct bn_torch_skipped *s = &t->skipped[t->skipped_count];
    *s = (struct bn_torch_skipped){strdup(*name ? name : "(the whole)"), type ? strdup(type) : NULL};
    r->no_memory = r->no_memory || !s->name || (type && !s->type);
    t->skipped_count++;
}

/* Returns whether tensors are anywhere in a value. */
static bool has_tensors(struct bn_reader *r, uint32_t index, int depth) {
    struct bn_torch_tensor t;
    const uint32_t *items = value(r, index)->items;
    const enum bn_kind kind = value(r, index)->kind;
    uint32_t count = value(r, index)->count;
    if (depth == 0 || r->visits++ > VISITS_MAX) return false;
    if (bn_reader_tensor(r, index, &t) || r->lost[0]) return true;
    if (kind != BN_P_LIST && kind != BN_P_TUPLE && !bn_reader_pairs(r, index, &items, &count)) return false;
    if (kind != BN_P_LIST && kind != BN_P_TUPLE) count *= 2; /* keys are looked at, too: they are no tensors */
    for (uint32_t i = 0; i < count; i++)
        if (has_tensors(r, items[i], depth - 1)) return true;
    return false;
}

static void walk(struct bn_reader *r, uint32_t index, const char *name, int depth) {
    struct bn_torch *t = r->t;
    struct bn_torch_tensor tensor;
    const uint32_t *pairs;
    uint32_t count;
    if (r->no_memory || r->visits++ > VISITS_MAX) return;
    if (bn_reader_tensor(r, index, &tensor)) {
        if (!more(r, &t->tensors, t->tensor_count, &t->tensor_room, sizeof *t->tensors)) return;
        tensor.name = strdup(name);
        r->no_memory = r->no_memory || !tensor.name;
        if (tensor.name) t->tensors[t->tensor_count++] = tensor;
        return;
    }
    if (r->lost[0]) {
        skip(r, name, r->lost);
        return;
    }
    if (depth == 0 || !bn_reader_pairs(r, index, &pairs, &count)) {
        skip(r, name, has_tensors(r, index, DEPTH_MAX) ? depth == 0 ? "too deep" : "in a list" : NULL);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        char inner[NAME_BYTES];
        if (append(r, name, pairs[2 * i], inner))
            walk(r, pairs[2 * i + 1], inner, depth - 1);
        else
            skip(r, name, has_tensors(r, pairs[2 * i + 1], DEPTH_MAX) ? "under a key that is no name" : NULL);
    }
}

/* How many values of a dict are tensors; 0 for what is no dict. */
static uint32_t tensors_in(struct bn_reader *r, uint32_t index) {
    const uint32_t *pairs;
    uint32_t count, tensors = 0;
    struct bn_torch_tensor t;
    if (!bn_reader_pairs(r, index, &pairs, &count)) return 0;
    for (uint32_t i = 0; i < count; i++) tensors += bn_reader_tensor(r, pairs[2 * i + 1], &t) || r->lost[0];
    return tensors;
}

static batchnorm_status walked(const struct bn_reader *r) {
    if (r->visits > VISITS_MAX) return bn_reader_fail(r, r->pickle.at, "dicts that are in each other too often");
    return r->no_memory ? bn_reader_no_memory(r) : BATCHNORM_OK;
}

/* Returns whether a value is a module of PyTorch: an object whose attributes have a dict _modules. */
static bool is_module(const struct bn_reader *r, uint32_t index) {
    static const char key[] = "_modules";
    const uint32_t *pairs;
    uint32_t count;
    if (value(r, index)->kind != BN_P_CALL || !bn_reader_pairs(r, value(r, index)->built, &pairs, &count)) return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct bn_value *k = value(r, pairs[2 * i]);
        if (k->kind == BN_P_TEXT && k->text.end - k->text.at == sizeof key - 1 &&
            memcmp(r->t->map->base + k->text.at, key, sizeof key - 1) == 0)
            return true;
    }
    return false;
}

static const char module_words[] = "a pickled module, not a state: save model.state_dict()";

/* What the outermost dict has: tensors of its own, and dicts that have some. */
struct outermost {
    const uint32_t *pairs;
    uint32_t count, own, states, best, most;
    bool has_module;
};

static void survey(struct bn_reader *r, struct outermost *o) {
    o->own = tensors_in(r, r->pickle.root);
    for (uint32_t i = 0; i < o->count; i++) {
        const uint32_t inner = o->pairs[2 * i + 1], tensors = tensors_in(r, inner);
        o->has_module = o->has_module || is_module(r, inner);
        o->states += tensors > 0;
        if (tensors <= o->most) continue;
        o->best = i;
        o->most = tensors;
    }
}

/* A dict that has tensors is a state. A checkpoint of a training has it in a dict beside others: {"state_dict": ..., "epoch":
 * ...}. One state there is the state, and names begin inside it, whatever stands beside it, as long as that are fewer tensors
 * than its own; of several all names begin with their keys. */
batchnorm_status bn_reader_state(struct bn_reader *r) {
    struct outermost o = {0};
    const uint32_t root = r->pickle.root;
    struct bn_torch_tensor t;
    if (bn_reader_tensor(r, root, &t) || r->lost[0])
        return bn_reader_fail(r, r->pickle.at, "a checkpoint that holds one tensor without a name: save a dict");
    if (!bn_reader_pairs(r, root, &o.pairs, &o.count))
        return bn_reader_fail(r, r->pickle.at,
                              value(r, root)->kind == BN_P_CALL ? module_words : "a checkpoint that is no dict of tensors");
    survey(r, &o);
    if (o.has_module && o.own == 0 && o.states == 0) return bn_reader_fail(r, r->pickle.at, module_words);
    if (o.own >= o.most) { /* also where both are 0 */
        walk(r, root, "", DEPTH_MAX);
        return walked(r);
    }
    for (uint32_t i = 0; i < o.count; i++) {
        const uint32_t inner = o.pairs[2 * i + 1];
        char name[NAME_BYTES];
        const bool is_named = append(r, "", o.pairs[2 * i], name);
        const bool is_tensor = bn_reader_tensor(r, inner, &t) || r->lost[0];
        if (o.states == 1 && i == o.best)
            walk(r, inner, "", DEPTH_MAX);
        else if (o.states > 1 && is_named && (is_tensor || tensors_in(r, inner) > 0))
            walk(r, inner, name, DEPTH_MAX);
        else
            skip(r, is_named ? name : "?", NULL);
    }
    return walked(r);
}

bool bn_reader_types(struct bn_reader *r) {
    for (uint32_t i = 0; i < r->pickle.value_count; i++) {
        const struct bn_value *v = value(r, i);
        if (v->kind != BN_P_PERSISTENT) continue;
        const struct bn_value *id = value(r, v->items[0]);
        if (id->kind != BN_P_TUPLE || id->count < 5 || value(r, id->items[2])->kind != BN_P_TEXT) continue;
        const size_t each = bn_onnx_type_bytes(bn_reader_storage_type(r, id->items[1]));
        if (!bn_reader_add(r, (struct bn_place){.key = value(r, id->items[2])->text, .each = each})) return false;
    }
    bn_reader_sort(r);
    return true;
}
