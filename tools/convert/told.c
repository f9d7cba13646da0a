/* SPDX-License-Identifier: MIT */
/* What the file and the command line tell beside the tensors, and what of it is written. */
#include <string.h>

#include "conversion.h"

/* A number that a file tells of a layer (NULL: of all), checked; NULL: none, or wrong, which ends the conversion. */
static const char *read_told(struct conversion *c, const char *key, const char *layer, bool *ok) {
    const char *text = metadata_told(c->state.file->file, key, layer);
    double value;
    if (!text || metadata_read(text, &value) || (strcmp(key, KEY_MOMENTUM) == 0 && strcmp(text, "none") == 0)) return text;
    *ok = state_fail(&c->state, "the metadata has %.60s '%.40s', which is no number of 0 to 1", key, text);
    return NULL;
}

static bool pass_momentum(struct conversion *c, const char *layer, const char *value) {
    char text[METADATA_NUMBER_BYTES];
    if (!value) return true;
    if (c->from->momentum_of_new != c->to->momentum_of_new)
        metadata_complement(value, text);
    else
        metadata_plain(value, text);
    metadata_add(&c->metadata, KEY_MOMENTUM, layer, text);
    if (!layer) memcpy(c->momentum, text, sizeof text);
    return true;
}

/* A program that has its eps built in has no other. */
static bool pass_eps(struct conversion *c, const char *layer, const char *text) {
    double eps = 0;
    if (!text) return true;
    if (c->to->is_fixed && metadata_read(text, &eps) && eps != c->to->eps) {
        snprintf(c->state.message, sizeof c->state.message, "%s%.200s%s is %.40s, and that of %s is always %g",
                 layer ? "eps of \"" : "its eps", layer ? layer : "", layer ? "\"" : "", text, c->to->name, c->to->eps);
        return false;
    }
    metadata_add(&c->metadata, KEY_EPS, layer, text);
    if (layer)
        c->has_own_eps = true;
    else
        snprintf(c->eps, sizeof c->eps, "%s", text);
    return true;
}

/* The command line's number, or that of the program whose file it is, or what the file tells: of all layers, then of each. */
static bool pass(struct conversion *c, const char *key, const double *given, const double *built_in,
                 bool (*add)(struct conversion *, const char *, const char *)) {
    char text[METADATA_NUMBER_BYTES];
    bool ok = true;
    if (given || (c->from->is_fixed && c->has_format)) {
        metadata_number(given ? *given : *built_in, text);
        return add(c, NULL, text);
    }
    const char *all = read_told(c, key, NULL, &ok);
    ok = ok && add(c, NULL, all);
    for (size_t i = 0; i < c->norms.count && ok; i++) {
        const char *own = read_told(c, key, c->norms.at[i].name, &ok);
        ok = ok && add(c, c->norms.at[i].name, own);
    }
    return ok;
}

static bool all_gammas_are_one(struct conversion *c) {
    for (size_t i = 0; i < c->norms.count; i++) {
        struct state_item *gamma = c->norms.at[i].item[ROLE_WEIGHT];
        if (!gamma) continue;
        if (!state_numbers(&c->state, gamma)) return false;
        for (size_t k = 0; k < gamma->count; k++)
            if (gamma->values[k] != 1) return false;
    }
    return true;
}

/* To MXNet a network needs fix_gamma=False, unless all gammas are 1. Elsewhere only what that does not tell is kept. */
static void pass_fix_gamma(struct conversion *c) {
    const char *told = metadata_told(c->state.file->file, KEY_FIX_GAMMA, NULL);
    if (c->request->has_fix_gamma) told = c->request->fix_gamma ? "true" : "false";
    if (c->to != c->from && !all_gammas_are_one(c)) told = c->to->can_fix_gamma ? "false" : NULL;
    metadata_add(&c->metadata, KEY_FIX_GAMMA, NULL, told);
}

bool conversion_told(struct conversion *c) {
    const struct convert_request *r = c->request;
    metadata_add(&c->metadata, "format", NULL, c->to->format);
    if (c->norms.count) {
        metadata_add(&c->metadata, KEY_CONVENTION, NULL, c->to->name);
        if (!pass(c, KEY_EPS, r->has_eps ? &r->eps : NULL, &c->from->eps, pass_eps)) return false;
        if (!pass(c, KEY_MOMENTUM, r->has_momentum ? &r->momentum : NULL, &c->from->momentum, pass_momentum)) return false;
        if (c->is_unbiased != c->to->is_unbiased)
            metadata_add(&c->metadata, KEY_VARIANCE, NULL, c->is_unbiased ? "unbiased" : "biased");
        pass_fix_gamma(c);
    }
    metadata_pass(&c->metadata, c->state.file->file);
    return !c->metadata.no_memory || state_fail(&c->state, "no memory for the metadata%s%s", "", "");
}
