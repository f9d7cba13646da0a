/* SPDX-License-Identifier: MIT */
#include "model/statistics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/round.h"

static uint32_t value_of(const struct bn_sites *s, size_t norm, uint32_t input) {
    return s->o->uses[s->o->nodes[s->norms.at[norm].node].input + input].value;
}

int32_t bn_statistics_type(const struct bn_sites *s, size_t norm, uint32_t input) {
    char why[BN_ONNX_BYTES];
    struct bn_constant c;
    if (bn_constant_view(s->o, value_of(s, norm, input), &c, why)) return BN_ONNX_FLOAT;
    free(c.at);
    return c.type;
}

static double number_of(const batchnorm_stat *stat, uint32_t input) { return input == 3 ? stat->mean : stat->m2 / stat->count; }

static batchnorm_status check_norm(const struct bn_sites *s, size_t norm, const batchnorm_stat *stats, char *why) {
    const struct bn_slice key = s->at[norm].key;
    const char *name = (const char *)s->o->map->base + key.at;
    const int bytes = key.end - key.at < 80 ? (int)(key.end - key.at) : 80;
    for (uint32_t input = 3; input <= 4; input++) {
        const int32_t type = bn_statistics_type(s, norm, input);
        for (size_t c = 0; c < s->norms.at[norm].channels; c++) {
            const double v = number_of(&stats[c], input);
            if (stats[c].count > 0 && bn_fits(type, v)) continue;
            snprintf(why, BN_ONNX_BYTES, "%.*s, channel %zu: its %s %s%s", bytes, name, c, input == 3 ? "mean" : "variance",
                     isfinite(v) ? "is larger than any " : "is no finite number", isfinite(v) ? bn_onnx_type_name(type) : "");
            return BATCHNORM_BAD_OPTION;
        }
    }
    return BATCHNORM_OK;
}

batchnorm_status bn_statistics_check(const struct bn_sites *s, bn_new_statistics stats, char *why) {
    batchnorm_status status = BATCHNORM_OK;
    for (size_t i = 0; i < s->norms.count && !status; i++) {
        if (!stats[i]) continue;
        if (s->at[i].depth > 0) {
            status = check_norm(s, i, stats[i], why);
            continue;
        }
        snprintf(why, BN_ONNX_BYTES, "batch norm %zu cannot get other statistics: %s", i, s->at[i].why);
        status = BATCHNORM_BAD_OPTION;
    }
    return status;
}

/* Some batch norms that get the same numbers. */
struct family {
    const struct bn_sites *s;
    size_t first;
    bool separate;
    const bool *selected;
};

static bool is_member(const struct family *f, size_t i) {
    return i == f->first || (!f->separate && f->s->at[i].depth > 0 && f->s->at[i].twin == f->first);
}

static bool is_selected(const struct family *f, size_t i) {
    return !f->selected || f->selected[f->s->norms.at[i].node - f->s->first];
}

/* Means or variances: where they stand, if only these batch norms take them, else under a new name. */
static void write_row(struct bn_writer *w, const struct family *f, uint32_t input, const batchnorm_stat *stats) {
    const struct bn_sites *s = f->s;
    const int64_t channels = (int64_t)s->norms.at[f->first].channels;
    const uint32_t value = value_of(s, f->first, input);
    char name[BN_NAME_BYTES];
    uint32_t members = 0;
    double *row = malloc(((size_t)channels + 1) * sizeof *row);
    w->no_memory = w->no_memory || !row;
    if (!row) return;
    for (int64_t c = 0; c < channels; c++) row[c] = number_of(&stats[c], input);
    for (size_t i = f->first; i < s->norms.count; i++) members += is_member(f, i);
    const struct bn_numbers numbers = {
        bn_statistics_type(s, f->first, input), (size_t)channels, bn_row_of_array, row, 1, &channels, NULL, NULL};
    const struct bn_onnx_tensor *own = bn_own_tensor(s->o, value, &numbers, members);
    if (own) {
        bn_write_tensor(w, value, own, &numbers);
    } else {
        w->counts->tensors++;
        bn_write_name(w, s->o->values[value].name, "_recalibrated", name);
        bn_write_value(w, s->graph, &numbers, name);
        for (size_t i = f->first; i < s->norms.count; i++) {
            const struct bn_onnx_node *n = &s->o->nodes[s->norms.at[i].node];
            if (is_member(f, i) && is_selected(f, i)) bn_write_use(w, n, &s->o->uses[n->input + input], name, strlen(name));
        }
    }
    free(row);
}

void bn_statistics_write(struct bn_writer *w, const struct bn_sites *s, bn_new_statistics stats, bool separate,
                         const bool *selected) {
    for (size_t i = 0; i < s->norms.count; i++) {
        struct family f = {s, i, separate, selected};
        bool any = false;
        if (s->at[i].depth == 0 || !stats[i] || (!separate && s->at[i].twin != i)) continue;
        for (size_t k = i; k < s->norms.count; k++) any = any || (is_member(&f, k) && is_selected(&f, k));
        for (uint32_t input = 3; input <= 4 && any; input++) write_row(w, &f, input, stats[i]);
    }
}
