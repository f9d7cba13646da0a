/* SPDX-License-Identifier: MIT */
/* The tensors of the new file: names and order of the batch norms, and what one convention has and another has not. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "conversion.h"

/* Returns whether an array was added for a convention that needs it, and is still what was added. */
static bool is_filled(struct conversion *c, const struct norm *n, enum role role, const char *word, double value) {
    const char *told = metadata_told(c->state.file->file, KEY_FILLED, n->name);
    struct state_item *item = n->item[role];
    if (!told || !strstr(told, word) || !item || !state_numbers(&c->state, item)) return false;
    for (size_t k = 0; k < item->count; k++)
        if (item->values[k] != value) return false;
    return true;
}

/* Adds an array of one number, of the type of the running variances. */
static bool fill(struct conversion *c, struct norm *n, enum role role, size_t count, double value) {
    struct state_item *item = state_add(&c->state, strdup(""), n->item[ROLE_VAR]->dtype, count);
    if (!item) return false;
    if (!state_type(item) || !state_type(item)->is_float)
        return state_fail(&c->state, "\"%.200s\" is of type %.40s, which is not computed with", n->item[ROLE_VAR]->name,
                          item->dtype);
    for (size_t i = 0; i < count; i++) item->values[i] = value;
    n->item[role] = item;
    return true;
}

/* An array that is missing is added where it is needed; one that was added goes where it is not. */
static bool settle(struct conversion *c, struct norm *n, enum role role, bool is_needed, bool *was_filled) {
    if (*was_filled && !is_needed) {
        n->item[role]->gone = true;
        n->item[role] = NULL;
        *was_filled = false;
    }
    if (!is_needed || n->item[role]) return true;
    *was_filled = true;
    c->filled++;
    return fill(c, n, role, n->channels, role == ROLE_WEIGHT ? 1 : 0);
}

static bool settle_affine(struct conversion *c, struct norm *n) {
    bool weight = is_filled(c, n, ROLE_WEIGHT, "weight", 1), bias = is_filled(c, n, ROLE_BIAS, "bias", 0);
    const bool needs_bias = c->to->lacks == LACKS_NONE;
    if (!settle(c, n, ROLE_BIAS, needs_bias, &bias)) return false;
    const bool needs_weight = needs_bias || (c->to->lacks == LACKS_BIAS && n->item[ROLE_BIAS]);
    if (!settle(c, n, ROLE_WEIGHT, needs_weight, &weight)) return false;
    if (weight || bias) metadata_add(&c->metadata, KEY_FILLED, n->name, !weight ? "bias" : bias ? "weight bias" : "weight");
    return true;
}

/* num_batches_tracked is PyTorch's: elsewhere it is in the metadata, and comes back from there. */
static bool bring_batches(struct conversion *c, struct norm *n, const char *told) {
    char *end;
    const uint64_t batches = (uint64_t)strtoll(told, &end, 10);
    if (end == told || *end)
        return state_fail(&c->state, "the metadata has " KEY_BATCHES ":%.200s '%.40s', which is no number", n->name, told);
    struct state_item *item = n->item[ROLE_BATCHES] = state_add(&c->state, strdup(""), "I64", 1);
    unsigned char *raw = malloc(sizeof batches);
    if (item) item->raw = raw;
    if (!item || !raw) return state_fail(&c->state, "no memory%s%s", "", "");
    item->rank = 0;
    item->is_changed = false;
    item->bytes = sizeof batches;
    for (size_t k = 0; k < sizeof batches; k++) raw[k] = (unsigned char)(batches >> 8 * k);
    return true;
}

static bool move_batches(struct conversion *c, struct norm *n) {
    const bool has_place = spelling_of(&c->to->spelled[0], ROLE_BATCHES) != NULL;
    const char *told = metadata_told(c->state.file->file, KEY_BATCHES, n->name);
    struct state_item *item = n->item[ROLE_BATCHES];
    char text[32];
    if (has_place) return item || !told || bring_batches(c, n, told);
    if (!item) return metadata_add(&c->metadata, KEY_BATCHES, n->name, told), true;
    if (strcmp(item->dtype, "I64") != 0 || item->rank != 0)
        return state_fail(&c->state, "\"%.200s\" is not one number of type I64, and nothing else can go into the metadata%s",
                          item->name, "");
    uint64_t batches = 0;
    for (size_t k = 0; k < sizeof batches; k++) batches |= (uint64_t)item->raw[k] << 8 * k;
    snprintf(text, sizeof text, "%" PRId64, (int64_t)batches);
    metadata_add(&c->metadata, KEY_BATCHES, n->name, text);
    item->gone = true;
    n->item[ROLE_BATCHES] = NULL;
    c->moved++;
    return true;
}

static bool move_factor(struct conversion *c, struct norm *n) {
    const bool has_place = spelling_of(&c->to->spelled[0], ROLE_FACTOR) != NULL;
    if (has_place && !n->item[ROLE_FACTOR]) return fill(c, n, ROLE_FACTOR, 1, 1);
    if (has_place || !n->item[ROLE_FACTOR]) return true;
    n->item[ROLE_FACTOR]->gone = true; /* it is 1 */
    n->item[ROLE_FACTOR] = NULL;
    return true;
}

/* Gives a tensor its name, in the new order. */
static bool place(struct conversion *c, struct state_item *item, const char *pattern, const struct norm *n,
                  struct state_item *to) {
    char *name = name_make(pattern, n->name);
    if (!name) return state_fail(&c->state, "no memory for a name%s%s", "", "");
    *to = *item;
    free(to->own_name);
    to->name = to->own_name = name;
    *item = (struct state_item){.gone = true};
    return true;
}

static bool place_norm(struct conversion *c, struct norm *n, struct state_item *to, size_t *count) {
    const struct spelling *s = &c->to->spelled[0];
    for (size_t i = 0; i < sizeof s->names / sizeof *s->names && s->names[i].pattern; i++) {
        struct state_item *item = n->item[s->names[i].role];
        if (!item) continue;
        if (!place(c, item, s->names[i].pattern, n, &to[*count])) return false;
        n->item[s->names[i].role] = NULL;
        ++*count;
    }
    return true;
}

/* Puts everything into its order: where the first tensor of a batch norm stood stand all of them now. of: the batch norm of
 * each tensor. */
static bool place_all(struct conversion *c, struct norm **of, struct state_item *to, size_t *count) {
    struct state *s = &c->state;
    for (size_t i = 0; i < s->count; i++) {
        if (of[i] && !place_norm(c, of[i], to, count)) return false;
        if (of[i] || s->items[i].gone) continue;
        to[(*count)++] = s->items[i];
        s->items[i] = (struct state_item){.gone = true};
    }
    return true;
}

bool conversion_layout(struct conversion *c) {
    struct state *s = &c->state;
    struct norm **of = calloc(s->room + 1, sizeof *of);
    struct state_item *to = calloc(s->room + 1, sizeof *to);
    size_t count = 0;
    bool ok = (of && to) || state_fail(s, "no memory for its names%s%s", "", "");
    for (size_t i = 0; i < c->norms.count && ok; i++) {
        struct norm *n = &c->norms.at[i];
        ok = settle_affine(c, n) && move_batches(c, n) && move_factor(c, n);
        for (enum role role = ROLE_WEIGHT; role < ROLES && ok; role++)
            if (n->item[role]) of[n->item[role] - s->items] = n;
    }
    ok = ok && place_all(c, of, to, &count);
    free(of);
    if (to) {
        struct state_item *const from = s->items;
        const size_t left = s->count;
        s->items = to; /* what stays in the old list goes with it */
        s->count = count;
        state_free_items(from, left);
    }
    return ok;
}
