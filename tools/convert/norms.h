/* SPDX-License-Identifier: MIT */
/* The batch norms of a state, found by the names of their tensors. */
#ifndef TOOLS_CONVERT_NORMS_H
#define TOOLS_CONVERT_NORMS_H

#include "conventions.h"
#include "tools/shared/state_tensors.h"

struct norm {
    char *name;
    struct state_item *item[ROLES]; /* NULL: it has none */
    size_t channels;
};

struct norms {
    const struct convention *convention; /* NULL: no batch norm was found */
    const struct spelling *spelling;
    struct norm *at;
    size_t count, tensors;
};

/* Finds them. from: the convention that they have, NULL: it is recognized, by `told` where the file says it. Two kinds of them
 * in one file are refused. Returns false with the state's message. Free them in any case. */
bool norms_find(struct state *state, const struct convention *from, const struct convention *told, struct norms *norms);
void norms_free(struct norms *norms);

/* Returns whether all have tensors of the right sizes. */
bool norms_check(struct state *state, struct norms *norms);

#endif
