/* SPDX-License-Identifier: MIT */
/* Statistics of batch norms from outside: where they are taken, and how they get into a new file. */
#include <stdlib.h>
#include <string.h>

#include "model/new_file.h"
#include "model/part.h"

static batchnorm_status list_sites(batchnorm_model *m, char *message) {
    const struct bn_onnx *o = &m->onnx;
    char why[BN_ONNX_BYTES];
    const batchnorm_status status = bn_sites_find(&m->sites, o, why);
    batchnorm_norm_site *listed = status ? NULL : calloc(m->sites.norms.count + 1, sizeof *listed);
    for (size_t i = 0; listed && i < m->sites.norms.count; i++) {
        const struct bn_site *s = &m->sites.at[i];
        const uint32_t x = bn_site_input(&m->sites, i);
        listed[i] = (batchnorm_norm_site){
            .key = bn_model_text(m, o->map->base + s->key.at, s->key.end - s->key.at), .depth = s->depth, .twin = s->twin};
        if (x != BN_NONE)
            listed[i].input =
                bn_model_text(m, o->map->base + o->values[x].name.at, o->values[x].name.end - o->values[x].name.at);
        if (s->why[0]) listed[i].why = bn_model_text(m, s->why, strlen(s->why));
    }
    if (!listed || m->no_memory) {
        free(listed);
        bn_sites_free(&m->sites);
        return status ? bn_model_fail(message, status, "%s", why)
                      : bn_model_fail(message, BATCHNORM_NO_MEMORY, "no memory for its graph");
    }
    m->listed = listed;
    return BATCHNORM_OK;
}

batchnorm_status bn_model_sites_find(batchnorm_model *m, char *message) {
    if (m->format != BATCHNORM_MODEL_ONNX)
        return bn_model_fail(message, BATCHNORM_BAD_OPTION,
                             "a state has no graph, so that it cannot be told what follows what");
    return m->listed ? BATCHNORM_OK : list_sites(m, message);
}

batchnorm_status batchnorm_model_sites(batchnorm_model *m, const batchnorm_norm_site **sites, char *message) {
    if (!m || !sites) return bn_model_fail(message, BATCHNORM_NULL_POINTER, "the model or the sites are NULL");
    const batchnorm_status status = bn_model_sites_find(m, message);
    *sites = status ? NULL : m->listed;
    return status;
}

batchnorm_status batchnorm_model_norm_statistics(batchnorm_model *m, size_t norm, double *mean, double *var, size_t channels,
                                                 char *message) {
    if (!m) return bn_model_fail(message, BATCHNORM_NULL_POINTER, "the model is NULL");
    const batchnorm_status status = bn_model_sites_find(m, message);
    if (status) return status;
    if (norm >= m->sites.norms.count) return bn_model_fail(message, BATCHNORM_BAD_OPTION, "there is no batch norm %zu", norm);
    const struct bn_norm *n = &m->sites.norms.at[norm];
    if (m->sites.at[norm].depth == 0) return bn_model_fail(message, BATCHNORM_BAD_OPTION, "%s", m->sites.at[norm].why);
    if (channels != n->channels)
        return bn_model_fail(message, BATCHNORM_BAD_SHAPE, "it has %zu channels, not %zu", n->channels, channels);
    if (mean) memcpy(mean, n->array[BN_MEAN], channels * sizeof *mean);
    if (var) memcpy(var, n->array[BN_VAR], channels * sizeof *var);
    return BATCHNORM_OK;
}

batchnorm_status bn_model_check_statistics(const batchnorm_model *m, const batchnorm_stat *const *stats, char *message) {
    char why[BN_ONNX_BYTES];
    const batchnorm_status status = bn_statistics_check(&m->sites, stats, why);
    return status ? bn_model_fail(message, status, "%s", why) : BATCHNORM_OK;
}

batchnorm_status batchnorm_model_look_at_output(batchnorm_model *m, const char *path, char *message) {
    struct bn_new_file file;
    if (!m || !path) return bn_model_fail(message, BATCHNORM_NULL_POINTER, "the model or the path is NULL");
    const batchnorm_status status = bn_new_file_begin(&file, m, path, message);
    bn_new_file_end(&file);
    return status;
}

/* Begins a new file whose changes `w` collects. */
static batchnorm_status begin(struct bn_new_file *file, struct bn_writer *w, batchnorm_model *m, const char *path,
                              struct bn_counts *counts, char *message) {
    const batchnorm_status status = bn_new_file_begin(file, m, path, message);
    *w = (struct bn_writer){
        .o = &m->onnx, .splices = &file->splices, .counts = counts, .data_name = file->data_name, .data = &file->data};
    return status;
}

batchnorm_status batchnorm_model_set_statistics(batchnorm_model *m, const batchnorm_stat *const *stats, bool separate,
                                                const char *path, batchnorm_fold_counts *counts, char *message) {
    struct bn_new_file file;
    struct bn_writer w;
    struct bn_counts changed = {0};
    if (!m || !stats || !path) return bn_model_fail(message, BATCHNORM_NULL_POINTER, "the model, stats or path is NULL");
    if (counts && counts->size != sizeof *counts)
        return bn_model_fail(message, BATCHNORM_BAD_OPTION, "the size of a struct must be its sizeof");
    batchnorm_status status = bn_model_sites_find(m, message);
    if (!status) status = bn_model_check_statistics(m, stats, message);
    if (status) return status;
    status = begin(&file, &w, m, path, &changed, message);
    if (!status) {
        bn_statistics_write(&w, &m->sites, stats, separate, NULL);
        if (w.no_memory) status = bn_model_fail(message, BATCHNORM_NO_MEMORY, "no memory for the statistics");
    }
    if (!status) status = bn_new_file_write(&file);
    if (!status && counts) {
        counts->tensors = changed.tensors;
        counts->flushed = changed.flushed;
        counts->bytes = file.bytes;
    }
    free(w.names);
    bn_new_file_end(&file);
    return status;
}

batchnorm_status batchnorm_model_instrument(batchnorm_model *m, int64_t depth, const char *path, char *message) {
    struct bn_new_file file;
    struct bn_writer w;
    struct bn_counts changed = {0};
    char why[BN_ONNX_BYTES];
    if (!m || !path) return bn_model_fail(message, BATCHNORM_NULL_POINTER, "the model or the path is NULL");
    batchnorm_status status = bn_model_sites_find(m, message);
    if (status) return status;
    if (depth < 0 || depth > m->sites.deepest || m->sites.deepest == 0)
        return bn_model_fail(message, BATCHNORM_BAD_OPTION, "there is no batch norm of depth %lld; the deepest is of depth %d",
                             (long long)depth, (int)m->sites.deepest);
    struct bn_part_plan plan = {.sites = &m->sites,
                                .last = depth ? (int32_t)depth : m->sites.deepest,
                                .behind = depth ? (int32_t)depth - 1 : 0,
                                .sums = true,
                                .normalizes = depth == 0,
                                .whole = depth == 0};
    status = begin(&file, &w, m, path, &changed, message);
    if (!status && bn_part_select(&plan)) status = bn_model_fail(message, BATCHNORM_NO_MEMORY, "no memory for its graph");
    if (!status && (status = bn_part_changes(&plan, &w, NULL, false, why))) bn_model_fail(message, status, "%s", why);
    if (!status) status = bn_new_file_write(&file);
    bn_part_free(&plan);
    free(w.names);
    bn_new_file_end(&file);
    return status;
}
