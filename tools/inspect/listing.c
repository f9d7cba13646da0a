/* SPDX-License-Identifier: MIT */
/* The library lists the batch norms of a state that have PyTorch's names. One of another framework becomes a model of its own,
 * in which its tensors have these names. */
#include "listing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/shared/state_norms.h"

enum { RENAMED = 5 };
static const enum role roles[RENAMED] = {ROLE_VAR, ROLE_MEAN, ROLE_WEIGHT, ROLE_BIAS, ROLE_BATCHES};

struct renamed {
    batchnorm_model *model;
    batchnorm_named_tensor tensors[RENAMED];
    size_t count;
};

/* The best choice for one variance. */
struct choice {
    const struct norms *norms;
    const struct norm *norm;
};

struct work {
    const struct model_file *file;
    struct state state; /* names and sizes of the tensors of the model */
    double eps;
    struct listing *listing;
};

static bool no_memory(struct work *w) { return state_fail(&w->state, "no memory for its batch norms%s%s", "", ""); }

static void add(struct work *w, batchnorm_model_norm norm, const struct convention *convention, struct renamed *from) {
    struct listing *l = w->listing;
    const char *name = convention ? convention->name : NULL;
    l->is_mixed = l->is_mixed || (l->count > 0 && l->at[0].convention != name);
    l->at[l->count++] = (struct listed){norm, name, from};
}

/* Those that the model lists, from one on. */
static void add_own(struct work *w, size_t first, const struct convention *convention) {
    for (size_t i = first; i < batchnorm_model_norm_count(w->file->model); i++)
        add(w, *batchnorm_model_norm_at(w->file->model, i), convention, NULL);
}

/* The tensors of the model as items without bytes. */
static bool list_tensors(struct work *w) {
    struct state *s = &w->state;
    batchnorm_model_tensor t;
    s->items = calloc(batchnorm_model_tensor_count(w->file->model) + 1, sizeof *s->items);
    if (!s->items) return no_memory(w);
    for (; batchnorm_model_tensor_at(w->file->model, s->count, &t); s->count++) {
        struct state_item *item = &s->items[s->count];
        *item = (struct state_item){.name = t.name, .rank = t.rank, .count = 1, .index = s->count};
        for (int d = 0; d < t.rank; d++) item->count *= (size_t)(item->shape[d] = t.shape[d]);
    }
    return true;
}

/* Returns whether a batch norm has what none of its framework is without: a mean and a variance alone are many things. */
static bool is_whole(const struct norms *norms, const struct norm *n) {
    return norms->convention->lacks != LACKS_NONE || (n->item[ROLE_WEIGHT] && n->item[ROLE_BIAS]);
}

/* Of all that a variance may belong to, what has most tensors; or what the file says it has. */
static void choose(struct work *w, const struct norms_by_spelling *tried, struct choice *choices) {
    const char *text = w->file->file ? batchnorm_safetensors_metadata(w->file->file, KEY_CONVENTION) : NULL;
    const struct convention *told = text ? convention_find(text) : NULL;
    for (size_t i = 0; i < tried->count; i++)
        for (size_t k = 0; k < tried->at[i].count; k++) {
            const struct norms *norms = &tried->at[i];
            const struct norm *n = &norms->at[k];
            struct choice *best = &choices[n->item[ROLE_VAR]->index];
            if (!is_whole(norms, n)) continue;
            const bool is_told = norms->convention == told, best_is_told = best->norm && best->norms->convention == told;
            if (!best->norm || (is_told && !best_is_told) || (is_told == best_is_told && n->tensors > best->norm->tensors))
                *best = (struct choice){norms, n};
        }
}

/* Takes a tensor under PyTorch's name, with its numbers as doubles; what has wrong sizes has none. */
static bool rename_tensor(struct work *w, const struct norm *n, enum role role, struct renamed *to, bool *is_read) {
    const struct state_item *item = n->item[role];
    char *name = name_make(spelling_of(&conventions[CONVENTION_PYTORCH].spelled[0], role), n->name);
    double *values = item->rank == 1 || item->count == 1 ? calloc(item->count + 1, sizeof *values) : NULL;
    to->tensors[to->count++] =
        (batchnorm_named_tensor){name, batchnorm_tensor_contiguous(values, BATCHNORM_F64, item->rank, item->shape)};
    if (!name || (!values && item->rank == 1)) return no_memory(w);
    if (!values) return true;
    const batchnorm_status status =
        batchnorm_model_tensor_read(w->file->model, item->index, values, item->count, w->state.message);
    if (status == BATCHNORM_BAD_DTYPE) *is_read = false;
    return !status || status == BATCHNORM_BAD_DTYPE;
}

/* Caffe keeps sums, and the factor that divides them. */
static bool divide(struct work *w, const struct norm *n, struct renamed *to, bool *is_read) {
    double factor;
    if (!n->item[ROLE_FACTOR]) return true;
    const batchnorm_status status =
        batchnorm_model_tensor_read(w->file->model, n->item[ROLE_FACTOR]->index, &factor, 1, w->state.message);
    if (status == BATCHNORM_BAD_DTYPE) *is_read = false;
    if (status) return status == BATCHNORM_BAD_DTYPE;
    for (size_t i = 0; i < 2; i++) { /* variance and mean, which come first */
        double *values = to->tensors[i].tensor.data;
        for (int64_t c = 0; values && c < batchnorm_tensor_elements(&to->tensors[i].tensor); c++)
            values[c] = factor == 0 ? 0 : values[c] / factor;
    }
    return true;
}

/* Returns whether a weight is one that networks read as 1, whatever it is. */
static bool is_fixed_gamma(const struct work *w, const struct convention *c) {
    const char *text = w->file->file ? batchnorm_safetensors_metadata(w->file->file, KEY_FIX_GAMMA) : NULL;
    return c->can_fix_gamma && text && strcmp(text, "true") == 0;
}

static bool add_renamed(struct work *w, const struct choice *choice) {
    const batchnorm_model_options options = {.size = sizeof options, .eps = w->eps};
    const struct norm *n = choice->norm;
    struct renamed *to = calloc(1, sizeof *to);
    bool is_read = true, ok = to != NULL;
    if (!ok) return no_memory(w);
    add(w, (batchnorm_model_norm){.channels = -1}, choice->norms->convention, to);
    for (int i = 0; i < RENAMED && ok; i++)
        if (n->item[roles[i]] && !(roles[i] == ROLE_WEIGHT && is_fixed_gamma(w, choice->norms->convention)))
            ok = rename_tensor(w, n, roles[i], to, &is_read);
    if (!ok || !divide(w, n, to, &is_read)) return false;
    if (batchnorm_model_from_state(to->tensors, to->count, &options, &to->model)) return no_memory(w);
    batchnorm_model_norm *norm = &w->listing->at[w->listing->count - 1].norm;
    *norm = *batchnorm_model_norm_at(to->model, 0);
    if (n->item[ROLE_WRONG]) norm->why = "a fourth blob: of a kind that is not understood";
    if (!is_read) norm->why = "its tensors are of a type that is not read";
    if (n->item[ROLE_WRONG] || !is_read) norm->channels = -1;
    return true;
}

/* Goes through the variances: one of PyTorch's is the next one that the model lists. */
static bool list_state(struct work *w, const struct choice *choices) {
    const struct convention *const pytorch = &conventions[CONVENTION_PYTORCH];
    const char *const pattern = spelling_of(&pytorch->spelled[0], ROLE_VAR);
    size_t own = 0;
    for (size_t i = 0; i < w->state.count; i++) {
        const batchnorm_model_norm *next = batchnorm_model_norm_at(w->file->model, own);
        char *name = next ? name_make(pattern, next->name) : NULL;
        const bool is_next = name && strcmp(name, w->state.items[i].name) == 0;
        const bool is_other = choices[i].norm && choices[i].norms->convention != pytorch;
        if (next && !name) return no_memory(w);
        free(name);
        own += is_next;
        if (is_other && !add_renamed(w, &choices[i])) return false;
        if (is_next && !is_other) add(w, *next, pytorch, NULL);
    }
    add_own(w, own, pytorch); /* of a name that cannot be made again, as one that begins with a dot */
    return true;
}

static bool list_all(struct work *w) {
    const struct convention *format = norms_format(w->file);
    if (!w->listing->is_state || format) return add_own(w, 0, format), true;
    struct norms_by_spelling tried = {.count = 0};
    struct choice *choices = calloc(batchnorm_model_tensor_count(w->file->model) + 1, sizeof *choices);
    bool ok = choices ? list_tensors(w) && norms_try(&w->state, NULL, &tried) : no_memory(w);
    if (ok) choose(w, &tried, choices);
    ok = ok && list_state(w, choices);
    norms_free_tried(&tried);
    free(choices);
    return ok;
}

bool listing_open(struct listing *l, const struct model_file *file, double eps, char *message) {
    struct work w = {.file = file, .state = {.file = file}, .eps = eps > 0 ? eps : fmax(file->eps, 0), .listing = l};
    const size_t most = batchnorm_model_norm_count(file->model) + batchnorm_model_tensor_count(file->model);
    *l = (struct listing){.is_state = batchnorm_model_get_format(file->model) != BATCHNORM_MODEL_ONNX};
    l->at = calloc(most + 1, sizeof *l->at);
    const bool ok = l->at ? list_all(&w) : no_memory(&w);
    if (!ok) snprintf(message, BATCHNORM_MODEL_MESSAGE, "%s", w.state.message);
    free(w.state.items);
    return ok;
}

void listing_free(struct listing *l) {
    for (size_t i = 0; i < l->count; i++) {
        struct renamed *from = l->at[i].from;
        if (!from) continue;
        batchnorm_model_close(from->model);
        for (size_t k = 0; k < from->count; k++) {
            free((void *)(uintptr_t)from->tensors[k].name);
            free(from->tensors[k].tensor.data);
        }
        free(from);
    }
    free(l->at);
    *l = (struct listing){.at = NULL};
}
