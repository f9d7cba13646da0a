/* SPDX-License-Identifier: MIT */
#include "layers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool no_memory(char *message) {
    snprintf(message, BATCHNORM_MODEL_MESSAGE, "no memory for its batch norms");
    return false;
}

bool layer_allocate(struct layer *l) {
    l->mean = calloc(l->channels + 1, sizeof *l->mean);
    l->var = calloc(l->channels + 1, sizeof *l->var);
    l->owns = !l->stats;
    if (l->owns) l->stats = calloc(l->channels + 1, sizeof *l->stats);
    return l->mean && l->var && l->stats;
}

/* The layer that a batch norm became. */
static struct layer *layer_of(struct layers *ls, size_t norm) {
    for (size_t i = 0; i < ls->count; i++)
        if (ls->at[i].norm == norm) return &ls->at[i];
    return NULL;
}

static bool add(struct layers *ls, batchnorm_model *model, const batchnorm_norm_site *site, size_t norm, bool separate,
                char *message) {
    const batchnorm_model_norm *n = batchnorm_model_norm_at(model, norm);
    const struct layer *twin = separate ? NULL : layer_of(ls, site->twin);
    struct layer *l = &ls->at[ls->count++];
    *l = (struct layer){.key = site->key,
                        .input = site->input,
                        .norm = norm,
                        .depth = site->depth,
                        .channels = (size_t)n->channels,
                        .eps = n->eps,
                        .stats = twin ? twin->stats : NULL};
    if (site->depth > ls->deepest) ls->deepest = site->depth;
    if (!layer_allocate(l)) return no_memory(message);
    return batchnorm_model_norm_statistics(model, norm, l->mean, l->var, l->channels, message) == BATCHNORM_OK;
}

bool layers_open(struct layers *ls, batchnorm_model *model, bool separate, char *message) {
    const batchnorm_norm_site *sites;
    *ls = (struct layers){.norms = batchnorm_model_norm_count(model)};
    if (ls->norms == 0) return snprintf(message, BATCHNORM_MODEL_MESSAGE, "has no batch norms"), false;
    if (batchnorm_model_sites(model, &sites, message)) return false;
    ls->at = calloc(ls->norms, sizeof *ls->at);
    ls->left = calloc(ls->norms, sizeof *ls->left);
    ls->by_norm = calloc(ls->norms, sizeof *ls->by_norm);
    if (!ls->at || !ls->left || !ls->by_norm) return no_memory(message);
    for (size_t i = 0; i < ls->norms; i++) {
        if (sites[i].depth == 0)
            ls->left[ls->left_count++] = (struct left_layer){sites[i].key, sites[i].why};
        else if (!add(ls, model, &sites[i], i, separate, message))
            return false;
    }
    if (ls->count > 0) return true;
    snprintf(message, BATCHNORM_MODEL_MESSAGE, "none of its %zu batch norms can have other statistics; \"%.100s\": %.200s",
             ls->norms, ls->left[0].key, ls->left[0].why);
    return false;
}

bool layers_have_own(const struct layers *ls, char *message) {
    for (size_t i = 0; i < ls->count; i++)
        for (size_t k = 0; k < i; k++) {
            if (ls->at[i].stats != ls->at[k].stats || ls->at[i].depth == ls->at[k].depth) continue;
            snprintf(
                message, BATCHNORM_MODEL_MESSAGE,
                "\"%.80s\" and \"%.80s\" share their statistics and stand at depths %lld and %lld: what arrives at one depends "
                "on those of the other. --separate gives each its own; --method batch takes both together",
                ls->at[k].key, ls->at[i].key, (long long)ls->at[k].depth, (long long)ls->at[i].depth);
            return false;
        }
    return true;
}

void layers_free(struct layers *ls) {
    for (size_t i = 0; i < ls->count; i++) {
        free(ls->at[i].mean);
        free(ls->at[i].var);
        if (ls->at[i].owns) free(ls->at[i].stats);
    }
    free(ls->at);
    free(ls->left);
    free(ls->by_norm);
    *ls = (struct layers){0};
}

const batchnorm_stat *const *layers_take(struct layers *ls, int64_t first, int64_t last) {
    for (size_t i = 0; i < ls->norms; i++) ls->by_norm[i] = NULL;
    for (size_t i = 0; i < ls->count; i++)
        if (ls->at[i].is_taken && ls->at[i].depth >= first && ls->at[i].depth <= last)
            ls->by_norm[ls->at[i].norm] = ls->at[i].stats;
    return ls->by_norm;
}

/* Of a variance that is negative, or no number, nothing can be told. */
static double sigma(double var, double eps) { return var + eps >= 0 ? sqrt(var + eps) : (double)NAN; }

struct drift layer_drift(const struct layer *l) {
    struct drift d = {0, 1, 0, 0};
    for (size_t c = 0; c < l->channels; c++) {
        const batchnorm_stat *s = &l->stats[c];
        const double has = sigma(l->var[c], l->eps), gets = sigma(s->m2 / s->count, l->eps);
        const double shift = (s->mean - l->mean[c]) / has, ratio = gets / has;
        if (!(fabs(shift) <= fabs(d.shift)) && !isnan(d.shift)) {
            d.shift = shift;
            d.shift_at = c;
        }
        if (!(fabs(log(ratio)) <= fabs(log(d.ratio))) && !isnan(d.ratio)) {
            d.ratio = ratio;
            d.ratio_at = c;
        }
    }
    return d;
}

double drift_size(const struct drift *d) {
    const double shift = fabs(d->shift), spread = fabs(log(d->ratio));
    return isnan(shift) || isnan(spread) ? HUGE_VAL : fmax(shift, spread);
}

bool layer_is_finite(const struct layer *l, char *message) {
    for (size_t c = 0; c < l->channels; c++) {
        if (isfinite(l->stats[c].mean) && isfinite(l->stats[c].m2)) continue;
        snprintf(message, BATCHNORM_MODEL_MESSAGE, "what arrives at \"%.200s\" is not finite in channel %zu", l->key, c);
        return false;
    }
    return true;
}
