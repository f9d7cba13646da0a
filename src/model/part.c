/* SPDX-License-Identifier: MIT */
#include "model/part.h"

#include <stdlib.h>

bool bn_part_has_norm(const struct bn_part_plan *p, size_t norm) {
    const int32_t depth = p->sites->at[norm].depth;
    return depth > p->behind && depth <= p->last;
}

/* The nodes of these depths that are needed, and the constants that they take. */
static void select_nodes(struct bn_part_plan *p) {
    const struct bn_sites *s = p->sites;
    for (uint32_t i = s->last; i-- > s->first;) {
        bool *selected = &p->selected[i - s->first];
        const int32_t depth = s->node_depth[i - s->first];
        *selected = *selected || p->whole || (s->needed[i - s->first] && depth >= p->first && depth < p->last);
        if (!*selected) continue;
        for (size_t k = bn_sites_takes(s, i); k < s->take_count && s->takes[k].node == i; k++) {
            const uint32_t value = s->takes[k].value, maker = s->o->values[value].node;
            if (s->value_depth[value] == BN_DEPTH_CONSTANT && maker != BN_NONE) p->selected[maker - s->first] = true;
        }
    }
}

static bool is_made(const struct bn_part_plan *p, uint32_t value) {
    const uint32_t maker = p->sites->o->values[value].node;
    return maker != BN_NONE && p->selected[maker - p->sites->first];
}

/* Lists a value once. */
static void list(uint32_t *values, size_t *count, bool *listed, uint32_t value) {
    if (!listed[value]) values[(*count)++] = value;
    listed[value] = true;
}

static void find_inputs(struct bn_part_plan *p, bool *listed) {
    const struct bn_sites *s = p->sites;
    for (size_t k = 0; k < s->take_count; k++) {
        const uint32_t value = s->takes[k].value;
        if (p->selected[s->takes[k].node - s->first] && s->value_depth[value] >= 0 && !is_made(p, value))
            list(p->inputs, &p->input_count, listed, value);
    }
    for (size_t i = 0; i < s->norms.count; i++) { /* one that stands at the very beginning */
        const uint32_t x = bn_site_input(s, i);
        if (p->sums && bn_part_has_norm(p, i) && !is_made(p, x)) list(p->inputs, &p->input_count, listed, x);
    }
}

static void find_outputs(struct bn_part_plan *p, bool *listed) {
    const struct bn_sites *s = p->sites;
    if (p->sums) return;
    for (size_t i = 0; i < s->norms.count; i++) {
        const uint32_t x = bn_site_input(s, i);
        if (bn_part_has_norm(p, i) && is_made(p, x)) list(p->outputs, &p->output_count, listed, x);
    }
    for (uint32_t value = 0; value < s->o->value_count; value++)
        if (s->value_depth[value] >= 0 && s->last_use[value] >= p->last && is_made(p, value))
            list(p->outputs, &p->output_count, listed, value);
}

batchnorm_status bn_part_select(struct bn_part_plan *p) {
    const struct bn_sites *s = p->sites;
    const size_t values = s->o->value_count + 1;
    bool *listed = calloc(values, sizeof *listed), *given = calloc(values, sizeof *given);
    p->selected = calloc(s->last - s->first + 1, sizeof *p->selected);
    p->inputs = calloc(values, sizeof *p->inputs);
    p->outputs = calloc(values, sizeof *p->outputs);
    p->input_count = p->output_count = 0;
    const bool ok = listed && given && p->selected && p->inputs && p->outputs;
    if (ok) {
        select_nodes(p);
        find_inputs(p, listed);
        find_outputs(p, given);
    }
    free(listed);
    free(given);
    return ok ? BATCHNORM_OK : BATCHNORM_NO_MEMORY;
}

void bn_part_free(struct bn_part_plan *p) {
    free(p->selected);
    free(p->inputs);
    free(p->outputs);
    p->selected = NULL;
    p->inputs = p->outputs = NULL;
}
