/* SPDX-License-Identifier: MIT */
/* oneDNN as a contender, through its C interface, which differs between versions 2 and 3 in how a primitive is described. */
#include <dnnl.h>
#include <stdlib.h>

#include "helper.h"

enum { MOST_ARGUMENTS = 9 };

struct onednn_run {
    struct bench_data data;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    const char *implementation;
    int arguments;
    dnnl_exec_arg_t argument[MOST_ARGUMENTS];
};

static const float eps = 1e-5f, momentum = 0.1f;
static const unsigned affine = dnnl_use_scale | dnnl_use_shift;

#if DNNL_VERSION_MAJOR < 3
static int describe(dnnl_memory_desc_t *md, int rank, const dnnl_dims_t sizes, dnnl_format_tag_t tag) {
    return dnnl_memory_desc_init_by_tag(md, rank, sizes, dnnl_f32, tag);
}

static int describe_forward(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_prop_kind_t kind, dnnl_memory_desc_t *md,
                            unsigned flags) {
    dnnl_batch_normalization_desc_t op;
    return dnnl_batch_normalization_forward_desc_init(&op, kind, md, eps, flags) ||
           dnnl_primitive_desc_create(pd, &op, NULL, engine, NULL);
}

static int describe_backward(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_memory_desc_t *md,
                             const_dnnl_primitive_desc_t forward) {
    dnnl_batch_normalization_desc_t op;
    return dnnl_batch_normalization_backward_desc_init(&op, dnnl_backward, md, md, eps, affine) ||
           dnnl_primitive_desc_create(pd, &op, NULL, engine, forward);
}

static int make_memory(dnnl_memory_t *memory, const dnnl_memory_desc_t *md, dnnl_engine_t engine, void *data) {
    return dnnl_memory_create(memory, md, engine, data);
}
#else
static int describe(dnnl_memory_desc_t *md, int rank, const dnnl_dims_t sizes, dnnl_format_tag_t tag) {
    return dnnl_memory_desc_create_with_tag(md, rank, sizes, dnnl_f32, tag);
}

static int describe_forward(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_prop_kind_t kind, dnnl_memory_desc_t *md,
                            unsigned flags) {
    return dnnl_batch_normalization_forward_primitive_desc_create(pd, engine, kind, *md, *md, eps, flags, NULL);
}

static int describe_backward(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_memory_desc_t *md,
                             const_dnnl_primitive_desc_t forward) {
    return dnnl_batch_normalization_backward_primitive_desc_create(pd, engine, dnnl_backward, *md, *md, *md, eps, affine,
                                                                   forward, NULL);
}

static int make_memory(dnnl_memory_t *memory, const dnnl_memory_desc_t *md, dnnl_engine_t engine, void *data) {
    return dnnl_memory_create(memory, *md, engine, data);
}
#endif

static int describe_op(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, int op, dnnl_memory_desc_t *md) {
    dnnl_primitive_desc_t forward;
    switch (op) {
    case BENCH_TRAIN:
        return describe_forward(pd, engine, dnnl_forward_training, md, affine);
    case BENCH_EVAL:
        return describe_forward(pd, engine, dnnl_forward_inference, md, affine | dnnl_use_global_stats);
    default:
        if (describe_forward(&forward, engine, dnnl_forward_training, md, affine)) return 1;
        return describe_backward(pd, engine, md, forward) || dnnl_primitive_desc_destroy(forward);
    }
}

static int add(struct onednn_run *run, int which, const dnnl_memory_desc_t *md, const void *data) {
    dnnl_exec_arg_t *argument = &run->argument[run->arguments++];
    argument->arg = which;
    return make_memory(&argument->memory, md, run->engine, (void *)data);
}

static int add_arguments(struct onednn_run *run, const dnnl_memory_desc_t *full, const dnnl_memory_desc_t *channel) {
    const struct bench_data *d = &run->data;
    const int eval = d->op == BENCH_EVAL;
    if (add(run, DNNL_ARG_SRC, full, d->x) || add(run, DNNL_ARG_SCALE, channel, d->weight) ||
        add(run, DNNL_ARG_SHIFT, channel, d->bias) || /* version 2 wants it backward too */
        add(run, DNNL_ARG_MEAN, channel, eval ? d->running_mean : d->mean) ||
        add(run, DNNL_ARG_VARIANCE, channel, eval ? d->running_var : d->var))
        return 1;
    if (d->op != BENCH_BACKWARD) return add(run, DNNL_ARG_DST, full, d->y);
    return add(run, DNNL_ARG_DIFF_DST, full, d->dy) || add(run, DNNL_ARG_DIFF_SRC, full, d->dx) ||
           add(run, DNNL_ARG_DIFF_SCALE, channel, d->dweight) || add(run, DNNL_ARG_DIFF_SHIFT, channel, d->dbias);
}

static int prepare(struct onednn_run *run) {
    static const dnnl_format_tag_t tags[] = {dnnl_nchw, dnnl_nhwc, dnnl_nChw16c};
    const struct bench_data *d = &run->data;
    const dnnl_dims_t sizes = {(dnnl_dim_t)d->n, (dnnl_dim_t)d->c, (dnnl_dim_t)d->h, (dnnl_dim_t)d->w};
    const dnnl_dims_t channels = {(dnnl_dim_t)d->c};
    dnnl_memory_desc_t full, channel;
    dnnl_primitive_desc_t pd;
    return dnnl_engine_create(&run->engine, dnnl_cpu, 0) ||
           dnnl_stream_create(&run->stream, run->engine, dnnl_stream_default_flags) ||
           describe(&full, 4, sizes, tags[d->layout]) || describe(&channel, 1, channels, dnnl_a) ||
           describe_op(&pd, run->engine, d->op, &full) || dnnl_primitive_create(&run->primitive, pd) ||
           dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&run->implementation) ||
           add_arguments(run, &full, &channel);
}

/* A primitive for the number of threads that OpenMP has now; NULL where oneDNN has none. The few that a benchmark makes are
 * never freed. */
struct onednn_run *onednn_new(const struct bench_data *data) {
    struct onednn_run *run = calloc(1, sizeof *run);
    if (!run) return NULL;
    run->data = *data;
    if (prepare(run) == 0) return run;
    free(run);
    return NULL;
}

const char *onednn_implementation(const struct onednn_run *run) { return run->implementation; }

int onednn_version(void) { return dnnl_version()->major * 10000 + dnnl_version()->minor * 100 + dnnl_version()->patch; }

/* oneDNN leaves the update of the running statistics to the caller. */
static void update(const struct bench_data *d) {
    const float count = (float)(d->n * d->h * d->w), unbiased = count / (count - 1);
    const float *mean = d->mean, *var = d->var;
    float *running_mean = d->running_mean, *running_var = d->running_var;
    for (size_t i = 0; i < d->c; i++) {
        running_mean[i] = (1 - momentum) * running_mean[i] + momentum * mean[i];
        running_var[i] = (1 - momentum) * running_var[i] + momentum * unbiased * var[i];
    }
}

int onednn_execute(void *data) {
    const struct onednn_run *run = data;
    if (dnnl_primitive_execute(run->primitive, run->stream, run->arguments, run->argument) != dnnl_success) return 1;
    if (dnnl_stream_wait(run->stream) != dnnl_success) return 1;
    if (run->data.op == BENCH_TRAIN) update(&run->data);
    return 0;
}
