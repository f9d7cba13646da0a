/* SPDX-License-Identifier: MIT */
/* Parts of a model from outside, as files in memory. */
#include <stdlib.h>
#include <string.h>

#include "model/model.h"
#include "model/part.h"

struct batchnorm_part {
    batchnorm_model *model;
    struct bn_part_plan plan;
    batchnorm_part_value *inputs, *outputs;
    unsigned char *bytes;
};

/* Describes the inputs or outputs of a plan. */
static batchnorm_part_value *describe(batchnorm_model *m, const uint32_t *values, size_t count) {
    batchnorm_part_value *all = calloc(count + 1, sizeof *all);
    for (size_t i = 0; all && i < count; i++) {
        const struct bn_onnx_value *v = &m->onnx.values[values[i]];
        all[i] = (batchnorm_part_value){bn_model_text(m, m->map.base + v->name.at, v->name.end - v->name.at), v->is_input,
                                        m->sites.last_use[values[i]]};
    }
    return all;
}

static batchnorm_status check_part(batchnorm_model *m, const batchnorm_part_options *options, char *message) {
    if (options->size != sizeof *options)
        return bn_model_fail(message, BATCHNORM_BAD_OPTION, "the options' size must be sizeof(batchnorm_part_options)");
    const batchnorm_status status = bn_model_sites_find(m, message);
    if (status) return status;
    if (options->first < 0 || options->last <= options->first || options->last > m->sites.deepest)
        return bn_model_fail(message, BATCHNORM_BAD_OPTION, "there is no part from depth %lld to %lld; the deepest is %d",
                             (long long)options->first, (long long)options->last, (int)m->sites.deepest);
    return options->stats ? bn_model_check_statistics(m, options->stats, message) : BATCHNORM_OK;
}

batchnorm_status batchnorm_part_new(batchnorm_model *m, const batchnorm_part_options *options, batchnorm_part **part,
                                    char *message) {
    if (part) *part = NULL;
    if (!m || !options || !part) return bn_model_fail(message, BATCHNORM_NULL_POINTER, "the model, options or part is NULL");
    const batchnorm_status status = check_part(m, options, message);
    if (status) return status;
    batchnorm_part *p = calloc(1, sizeof *p);
    if (!p) return bn_model_fail(message, BATCHNORM_NO_MEMORY, "no memory for a part of the model");
    p->model = m;
    p->plan = (struct bn_part_plan){.sites = &m->sites,
                                    .first = (int32_t)options->first,
                                    .last = (int32_t)options->last,
                                    .behind = (int32_t)options->first,
                                    .normalizes = options->by_batch,
                                    .separate = options->separate,
                                    .stats = options->stats};
    const bool ok = bn_part_select(&p->plan) == BATCHNORM_OK;
    if (ok) p->inputs = describe(m, p->plan.inputs, p->plan.input_count);
    if (ok) p->outputs = describe(m, p->plan.outputs, p->plan.output_count);
    if (!p->inputs || !p->outputs || m->no_memory) {
        batchnorm_part_free(p);
        return bn_model_fail(message, BATCHNORM_NO_MEMORY, "no memory for a part of the model");
    }
    *part = p;
    return BATCHNORM_OK;
}

void batchnorm_part_free(batchnorm_part *p) {
    if (!p) return;
    bn_part_free(&p->plan);
    free(p->inputs);
    free(p->outputs);
    free(p->bytes);
    free(p);
}

bool batchnorm_part_input_at(const batchnorm_part *p, size_t index, batchnorm_part_value *value) {
    if (!p || !value || index >= p->plan.input_count) return false;
    *value = p->inputs[index];
    return true;
}

bool batchnorm_part_output_at(const batchnorm_part *p, size_t index, batchnorm_part_value *value) {
    if (!p || !value || index >= p->plan.output_count) return false;
    *value = p->outputs[index];
    return true;
}

struct filling {
    unsigned char *to;
};

static bool fill(void *arg, const void *from, size_t bytes) {
    struct filling *f = arg;
    memcpy(f->to, from, bytes);
    f->to += bytes;
    return true;
}

/* Puts the changed file into memory. */
static batchnorm_status emit(batchnorm_part *p, struct bn_splices *splices, size_t *count, char *message) {
    const struct bn_map *map = &p->model->map;
    uint64_t bytes;
    const bool ok = bn_splices_prepare(splices, map->base, map->bytes, &bytes) && bytes < PTRDIFF_MAX;
    struct filling f = {ok ? malloc((size_t)bytes + 1) : NULL};
    p->bytes = f.to;
    if (!f.to) return bn_model_fail(message, BATCHNORM_NO_MEMORY, "no memory for a part of the model");
    (void)!bn_splices_emit(splices, map->base, map->bytes, fill, &f);
    *count = (size_t)bytes;
    return BATCHNORM_OK;
}

batchnorm_status batchnorm_part_build(batchnorm_part *p, const int32_t *types, const void **bytes, size_t *count,
                                      char *message) {
    char why[BN_ONNX_BYTES];
    struct bn_splices splices = {0};
    struct bn_counts counts = {0};
    if (!p || !bytes || !count) return bn_model_fail(message, BATCHNORM_NULL_POINTER, "the part, bytes or count is NULL");
    struct bn_writer w = {.o = &p->model->onnx, .splices = &splices, .counts = &counts};
    free(p->bytes);
    p->bytes = NULL;
    batchnorm_status status = bn_part_changes(&p->plan, &w, types, true, why);
    if (status)
        bn_model_fail(message, status, "%s", why);
    else
        status = emit(p, &splices, count, message);
    *bytes = p->bytes;
    free(w.names);
    bn_splices_free(&splices);
    return status;
}
