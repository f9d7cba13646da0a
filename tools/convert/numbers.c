/* SPDX-License-Identifier: MIT */
/* What conversions change in numbers. All is computed in double and rounded once. */
#define _POSIX_C_SOURCE 200809L
#include <fnmatch.h>
#include <math.h>
#include <string.h>

#include "conversion.h"

/* v = v times / by; by 0 makes it 0. */
static bool scale(struct conversion *c, struct state_item *item, double times, double by) {
    if (!state_numbers(&c->state, item)) return false;
    for (size_t i = 0; i < item->count; i++) {
        const bool was_finite = isfinite(item->values[i]);
        item->values[i] = by == 0 ? 0 : item->values[i] * times / by;
        if (was_finite && !bn_is_finite_as(state_type(item)->dtype, item->values[i]))
            return state_fail(&c->state, "\"%.200s\" would have a number that is not finite in its type%s", item->name, "");
    }
    item->is_changed = true;
    return true;
}

/* Caffe keeps sums: what they are is told by a factor, and with a factor of 0 they are 0. */
static bool divide(struct conversion *c, struct norm *n) {
    struct state_item *factor = n->item[ROLE_FACTOR];
    if (!factor) return true;
    if (!state_numbers(&c->state, factor)) return false;
    const double by = factor->values[0];
    if (!isfinite(by))
        return state_fail(&c->state, "\"%.200s\", by which others are divided, is not finite%s", factor->name, "");
    if (by == 1) return true;
    c->divided++;
    if (!scale(c, n->item[ROLE_MEAN], 1, by) || !scale(c, n->item[ROLE_VAR], 1, by)) return false;
    factor->values[0] = 1;
    factor->is_changed = true;
    return true;
}

/* Whether gammas are read as 1: 1 yes, 0 no, -1 nobody says it. */
static int fixes_gamma(const struct conversion *c) {
    const char *told = metadata_told(c->state.file->file, KEY_FIX_GAMMA, NULL);
    if (c->request->has_fix_gamma) return c->request->fix_gamma;
    return !told ? -1 : strcmp(told, "true") == 0;
}

static bool fix_gamma(struct conversion *c, struct norm *n) {
    struct state_item *gamma = n->item[ROLE_WEIGHT];
    bool is_one = true;
    if (!c->from->can_fix_gamma || !gamma) return true;
    if (!state_numbers(&c->state, gamma)) return false;
    for (size_t i = 0; i < gamma->count; i++) is_one = is_one && gamma->values[i] == 1;
    if (is_one || fixes_gamma(c) == 0 || (c->to == c->from && fixes_gamma(c) == 1)) return true;
    if (fixes_gamma(c) < 0)
        return state_fail(
            &c->state, "\"%.200s\" is not 1, and is read as 1 with fix_gamma, the default of mxnet: --fix-gamma is missing%s",
            gamma->name, "");
    for (size_t i = 0; i < gamma->count; i++) gamma->values[i] = 1;
    gamma->is_changed = true;
    c->fixed++;
    return true;
}

/* The count of a layer; 0: none was given. */
static double count_of(const struct convert_request *r, const char *layer) {
    double elements = 0;
    for (int i = 0; i < r->count_count; i++)
        if (!r->counts[i].layers || fnmatch(r->counts[i].layers, layer, 0) == 0) elements = r->counts[i].elements;
    return elements;
}

/* A count that no layer has is a mistake. */
static bool check_counts(struct conversion *c) {
    const struct convert_request *r = c->request;
    for (int i = 0; i < r->count_count; i++) {
        bool fits = !r->counts[i].layers;
        for (size_t k = 0; k < c->norms.count && !fits; k++) fits = fnmatch(r->counts[i].layers, c->norms.at[k].name, 0) == 0;
        if (!fits) return state_fail(&c->state, "--count %.200s=...: no batch norm has such a name%s", r->counts[i].layers, "");
    }
    if (r->count_count && c->was_unbiased == c->to->is_unbiased)
        return state_fail(&c->state, "--count: running variances are %s already, as those of %s are",
                          c->was_unbiased ? "unbiased" : "biased", c->to->name);
    return true;
}

static bool count(struct conversion *c, struct norm *n) {
    const double elements = count_of(c->request, n->name);
    if (c->request->count_count == 0) return true;
    if (elements == 0) return state_fail(&c->state, "no --count fits the batch norm \"%.200s\"%s", n->name, "");
    return c->was_unbiased ? scale(c, n->item[ROLE_VAR], elements - 1, elements)
                           : scale(c, n->item[ROLE_VAR], elements, elements - 1);
}

bool conversion_numbers(struct conversion *c) {
    if (!check_counts(c)) return false;
    for (size_t i = 0; i < c->norms.count; i++) {
        struct norm *n = &c->norms.at[i];
        if (!divide(c, n) || !fix_gamma(c, n) || !count(c, n)) return false;
    }
    c->is_unbiased = c->request->count_count ? c->to->is_unbiased : c->was_unbiased;
    return true;
}
