/* SPDX-License-Identifier: MIT */
/* The batch norms of a state, found by the names of their tensors. */
#ifndef TOOLS_SHARED_STATE_NORMS_H
#define TOOLS_SHARED_STATE_NORMS_H

#include "conventions.h"
#include "state_tensors.h"

struct norm {
    char *name;
    struct state_item *item[ROLES]; /* NULL: it has none */
    size_t tensors;                 /* how many it has */
    size_t channels;
};

struct norms {
    const struct convention *convention; /* NULL: no batch norm was found */
    const struct spelling *spelling;
    struct norm *at;
    size_t count, tensors;
};

/* What every spelling finds, without those that find nothing. A tensor may be found by several. */
enum { SPELLINGS_ALL = 64 };
struct norms_by_spelling {
    struct norms at[SPELLINGS_ALL];
    size_t count;
};

/* Tries all spellings, or if `from` is not NULL those of that convention. Of items only names and counts are looked at. Returns
 * false with the state's message. Free them in any case. */
bool norms_try(struct state *state, const struct convention *from, struct norms_by_spelling *tried);
void norms_free_tried(struct norms_by_spelling *tried);

/* The convention of a file of a program's own format, which is read under PyTorch's names; NULL: it is none. */
const struct convention *norms_format(const struct model_file *file);

/* Finds them. from: the convention that they have, NULL: it is recognized, by `told` where the file says it. Two kinds of them
 * in one file are refused. Returns false with the state's message. Free them in any case. */
bool norms_find(struct state *state, const struct convention *from, const struct convention *told, struct norms *norms);
void norms_free(struct norms *norms);

/* Returns whether all have tensors of the right sizes. */
bool norms_check(struct state *state, struct norms *norms);

#endif
