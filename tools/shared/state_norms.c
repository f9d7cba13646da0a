/* SPDX-License-Identifier: MIT */
#include "state_norms.h"

#include <stdlib.h>
#include <string.h>

/* The tensors in the order of their names. */
struct names {
    struct state_item **at;
    size_t count;
};

static int compare(const void *a, const void *b) {
    return strcmp((*(struct state_item *const *)a)->name, (*(struct state_item *const *)b)->name);
}

static struct state_item *find(const struct names *names, const char *name) {
    struct state_item key = {.name = name}, *wanted = &key, **found;
    found = names->count ? bsearch(&wanted, names->at, names->count, sizeof(struct state_item *), compare) : NULL;
    return found ? *found : NULL;
}

/* Collects the tensors of a layer whose running variance is there. Returns whether it is a batch norm; without memory the name
 * is NULL. */
static bool collect(const struct names *names, const struct spelling *spelling, struct norm *norm) {
    norm->tensors = 0;
    for (enum role role = ROLE_WEIGHT; role < ROLES; role++) {
        const char *pattern = spelling_of(spelling, role);
        char *name = pattern ? name_make(pattern, norm->name) : NULL;
        if (pattern && !name) {
            free(norm->name);
            norm->name = NULL;
            return true;
        }
        norm->item[role] = name ? find(names, name) : NULL;
        norm->tensors += norm->item[role] != NULL;
        free(name);
    }
    const struct state_item *factor = norm->item[ROLE_FACTOR];
    const bool is_divided = spelling_of(spelling, ROLE_FACTOR) != NULL; /* 0 and 1 alone are any layer's of Caffe */
    return norm->item[ROLE_MEAN] && (!is_divided || (factor && factor->count == 1));
}

/* Finds all batch norms that are spelled so; false without memory. */
static bool find_spelled(struct state *state, const struct names *names, struct norms *norms) {
    bool no_memory = false;
    norms->at = calloc(state->count + 1, sizeof *norms->at);
    for (size_t i = 0; i < state->count && norms->at && !no_memory; i++) {
        struct norm *norm = &norms->at[norms->count];
        norm->name = name_match(spelling_of(norms->spelling, ROLE_VAR), state->items[i].name, &no_memory);
        if (!norm->name) continue;
        if (collect(names, norms->spelling, norm)) {
            no_memory = !norm->name;
            norms->tensors += norm->tensors;
            norms->count++;
        } else {
            free(norm->name);
            *norm = (struct norm){.name = NULL};
        }
    }
    return (norms->at && !no_memory) || state_fail(state, "no memory for its names%s%s", "", "");
}

void norms_free(struct norms *norms) {
    for (size_t i = 0; i < norms->count; i++) free(norms->at[i].name);
    free(norms->at);
    *norms = (struct norms){.convention = NULL};
}

/* Returns whether a batch norm is one of these, too. */
static bool has(const struct norms *norms, const struct norm *norm) {
    for (size_t i = 0; i < norms->count; i++)
        if (norms->at[i].item[ROLE_VAR] == norm->item[ROLE_VAR]) return true;
    return false;
}

/* What the best choice leaves of another one is refused: it would stay as it is, and nobody would know. */
static bool leaves_none(struct state *state, const struct norms *best, const struct norms *other, bool is_asked) {
    for (size_t i = 0; i < other->count; i++) {
        if (has(best, &other->at[i])) continue;
        snprintf(state->message, sizeof state->message, "\"%.100s\" is of %s, and \"%.100s\" of %s%s",
                 best->at[0].item[ROLE_VAR]->name, best->convention->name, other->at[i].item[ROLE_VAR]->name,
                 other->convention->name, is_asked ? ", spelled in another way" : ": --from says which are meant");
        return false;
    }
    return true;
}

static bool try_all(struct state *state, const struct names *names, const struct convention *from,
                    struct norms_by_spelling *tried) {
    bool ok = true;
    for (const struct convention *c = conventions; c->name && ok; c++)
        for (int s = 0; s < SPELLINGS && c->spelled[s].names[0].pattern && (!from || c == from) && ok; s++) {
            struct norms *n = &tried->at[tried->count++];
            *n = (struct norms){.convention = c, .spelling = &c->spelled[s]};
            ok = find_spelled(state, names, n);
            if (!ok || n->count > 0) continue;
            norms_free(n);
            tried->count--;
        }
    return ok;
}

bool norms_try(struct state *state, const struct convention *from, struct norms_by_spelling *tried) {
    struct names names = {calloc(state->count + 1, sizeof(struct state_item *)), state->count};
    tried->count = 0;
    if (!names.at) return state_fail(state, "no memory for its names%s%s", "", "");
    for (size_t i = 0; i < state->count; i++) names.at[i] = &state->items[i];
    qsort(names.at, names.count, sizeof *names.at, compare);
    const bool ok = try_all(state, &names, from, tried);
    free(names.at);
    return ok;
}

void norms_free_tried(struct norms_by_spelling *tried) {
    for (size_t i = 0; i < tried->count; i++) norms_free(&tried->at[i]);
    tried->count = 0;
}

const struct convention *norms_format(const struct model_file *file) {
    if (strcmp(file->kind, "Keras") == 0) return convention_find("keras");
    return strcmp(file->kind, "Darknet") == 0 ? convention_find("darknet") : NULL;
}

/* The spelling to which most tensors belong wins, or one of the convention that the file tells. */
static struct norms *best_of(struct norms_by_spelling *tried, const struct convention *told) {
    struct norms *best = NULL;
    for (size_t i = 0; i < tried->count; i++) {
        struct norms *n = &tried->at[i];
        const bool is_told = n->convention == told, best_is_told = best && best->convention == told;
        if (!best || (is_told && !best_is_told) || (is_told == best_is_told && n->tensors > best->tensors)) best = n;
    }
    return best;
}

bool norms_find(struct state *state, const struct convention *from, const struct convention *told, struct norms *norms) {
    struct norms_by_spelling tried;
    bool ok = norms_try(state, from, &tried);
    struct norms *best = ok ? best_of(&tried, told) : NULL;
    for (size_t i = 0; best && i < tried.count && ok; i++) ok = leaves_none(state, best, &tried.at[i], from != NULL);
    if (best) {
        *norms = *best;
        *best = (struct norms){.convention = NULL}; /* the caller's now */
    }
    norms_free_tried(&tried);
    return ok;
}

bool norms_check(struct state *state, struct norms *norms) {
    for (size_t i = 0; i < norms->count; i++) {
        struct norm *n = &norms->at[i];
        const struct state_item *var = n->item[ROLE_VAR], *wrong = n->item[ROLE_WRONG];
        if (wrong)
            return state_fail(state, "\"%.200s\" is a fourth blob: of a kind of batch norm that is not understood%s",
                              wrong->name, "");
        if (var->rank != 1)
            return state_fail(state, "\"%.200s\" is no array of one dimension, with a number for each channel%s", var->name,
                              "");
        n->channels = var->count;
        for (enum role role = ROLE_WEIGHT; role <= ROLE_VAR; role++) {
            const struct state_item *item = n->item[role];
            if (item && (item->rank != 1 || item->count != n->channels))
                return state_fail(state, "\"%.200s\" has other sizes than \"%.200s\"", item->name, var->name);
        }
    }
    return true;
}
