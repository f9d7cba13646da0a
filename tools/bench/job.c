/* SPDX-License-Identifier: MIT */
#include "job.h"

#include <string.h>

#include "batchnorm/stats.h"
#include "tools/shared/convert.h"

/* Of every array: a page, as for large arrays from malloc. */
enum { ALIGNMENT = 4096 };
enum { PARAMETERS = 9 };
/* An odd number of made-up elements, repeated, so that no channel gets always the same. */
enum { PATTERN = 65521 };

static size_t rounded(size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static batchnorm_shape call_shape(const struct bench_case *c) {
    const size_t n = (size_t)c->shape.size[0], channels = (size_t)c->shape.size[1], s = bench_inner(&c->shape);
    return c->layout == BENCH_NHWC ? batchnorm_channels_last(c->dtype, n, channels, s)
                                   : batchnorm_planar(c->dtype, n, channels, s);
}

static size_t workspace_bytes(const struct bench_case *c) {
    static const batchnorm_operation operations[BENCH_OPERATIONS] = {
        [BENCH_TRAIN] = BATCHNORM_OP_FORWARD,
        [BENCH_EVAL] = BATCHNORM_OP_INFER,
        [BENCH_BACKWARD] = BATCHNORM_OP_BACKWARD,
        [BENCH_STATS] = BATCHNORM_OP_STATS,
    };
    const batchnorm_shape shape = call_shape(c);
    return batchnorm_workspace_bytes(&shape, operations[c->operation]);
}

static size_t parameter_bytes(const struct bench_case *c) { return rounded((size_t)c->shape.size[1] * sizeof(batchnorm_stat)); }

/* Whether that, times PARAMETERS, fits: a channel of a small type may have more bytes of parameters than of elements. */
static bool parameters_fit(const struct bench_case *c) {
    return (size_t)c->shape.size[1] <= (SIZE_MAX / PARAMETERS - ALIGNMENT) / sizeof(batchnorm_stat);
}

size_t bench_job_bytes(const struct bench_case *c) {
    const size_t array = bench_array_bytes(&c->shape, c->dtype);
    const size_t arrays = (size_t)bench_reads(c) + (size_t)bench_writes(c);
    if (array == 0 || !parameters_fit(c)) return 0;
    const size_t parts[] = {arrays * rounded(array), PARAMETERS * parameter_bytes(c), rounded(workspace_bytes(c))};
    size_t bytes = ALIGNMENT;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (bytes > SIZE_MAX - parts[i]) return 0;
        bytes += parts[i];
    }
    return bytes;
}

/* Numbers from -2 to 2. */
static void fill(void *array, batchnorm_dtype dtype, size_t bytes, uint64_t seed) {
    const size_t element = batchnorm_dtype_bytes(dtype), wanted = PATTERN * element, first = bytes < wanted ? bytes : wanted;
    static double numbers[PATTERN];
    for (size_t i = 0; i < PATTERN; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        numbers[i] = (double)(seed >> 40) / (1 << 22) - 2;
    }
    convert_elements(BATCHNORM_F64, numbers, dtype, array, first / element);
    for (size_t done = first; done < bytes; done += first) {
        memcpy((char *)array + done, array, bytes - done < first ? bytes - done : first);
    }
}

static void fill_parameter(void *parameter, batchnorm_dtype dtype, size_t channels, double least) {
    for (size_t c = 0; c < channels; c++) {
        const double value = least + (double)(c % 8) / 8;
        if (dtype == BATCHNORM_F64)
            ((double *)parameter)[c] = value;
        else
            ((float *)parameter)[c] = (float)value;
    }
}

/* Give every array its place, from `at` on. */
static void lay_out(struct bench_job *job, unsigned char *at) {
    const struct bench_case *c = &job->what;
    struct bench_streams *s = &job->streams;
    const size_t array = rounded(s->bytes), parameter = parameter_bytes(c);
    for (int i = 0; i < s->reads; i++, at += array) s->in[i] = at;
    for (int i = 0; i < s->writes; i++, at += array) s->out[i] = at;
    void **const parameters[] = {&job->weight, &job->bias, &job->mean, &job->var, &job->dweight, &job->dbias, &job->stats};
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++, at += parameter) *parameters[i] = at;
    job->save_mean = (double *)at;
    job->save_rstd = (double *)(at + parameter);
    job->exec.workspace = at + 2 * parameter;
}

static void fill_all(struct bench_job *job) {
    const struct bench_case *c = &job->what;
    const struct bench_streams *s = &job->streams;
    const size_t channels = job->shape.channels;
    for (int i = 0; i < s->reads; i++) fill((void *)s->in[i], c->dtype, s->bytes, (uint64_t)i + 1);
    for (int i = 0; i < s->writes; i++) memset(s->out[i], 0, s->bytes);
    fill_parameter(job->weight, c->dtype, channels, 0.5);
    fill_parameter(job->bias, c->dtype, channels, -0.5);
    fill_parameter(job->mean, c->dtype, channels, -0.5);
    fill_parameter(job->var, c->dtype, channels, 1);
    batchnorm_stats_clear(job->stats, channels);
}

/* The statistics that a forward would have saved. */
static batchnorm_status prepare_backward(struct bench_job *job) {
    const batchnorm_status status = batchnorm_stats_accumulate(&job->shape, job->streams.in[0], job->stats, NULL);
    if (status != BATCHNORM_OK) return status;
    batchnorm_stats_finish(job->stats, job->shape.channels, 0, 1e-5, job->save_mean, NULL, job->save_rstd);
    return BATCHNORM_OK;
}

batchnorm_status bench_job_prepare(struct bench_job *job, const struct bench_case *c, void *memory) {
    *job = (struct bench_job){.what = *c, .shape = call_shape(c), .status = BATCHNORM_OK};
    job->exec = (batchnorm_exec){.size = sizeof(batchnorm_exec), .threads = c->threads, .workspace_bytes = workspace_bytes(c)};
    job->streams.reads = bench_reads(c);
    job->streams.writes = bench_writes(c);
    job->streams.bytes = bench_array_bytes(&c->shape, c->dtype);
    lay_out(job, (unsigned char *)memory + (ALIGNMENT - (uintptr_t)memory % ALIGNMENT) % ALIGNMENT);
    fill_all(job);
    if (c->operation == BENCH_BACKWARD) job->status = prepare_backward(job);
    if (job->status == BATCHNORM_OK) bench_job_run(job);
    return job->status;
}

static void run_plain(struct bench_job *job) {
    const struct bench_streams *s = &job->streams;
    const batchnorm_shape *shape = &job->shape;
    switch (job->what.operation) {
    case BENCH_TRAIN:
        job->status = batchnorm_forward(shape, s->in[0], job->weight, job->bias, s->out[0], job->mean, job->var, job->save_mean,
                                        job->save_rstd, NULL, &job->exec);
        return;
    case BENCH_EVAL:
        job->status = batchnorm_infer(shape, s->in[0], job->weight, job->bias, job->mean, job->var, s->out[0], NULL, NULL, NULL,
                                      &job->exec);
        return;
    case BENCH_BACKWARD:
        job->status = batchnorm_backward(shape, s->in[0], s->in[1], job->weight, job->save_mean, job->save_rstd, s->out[0],
                                         job->dweight, job->dbias, 0, &job->exec);
        return;
    default:
        job->status = batchnorm_stats_accumulate(shape, s->in[0], job->stats, &job->exec);
    }
}

/* Backward is not given y, so that an activation's gradient needs no more than the x and z that are there anyway. */
static void run_fused(struct bench_job *job, batchnorm_activation act) {
    const struct bench_streams *s = &job->streams;
    const batchnorm_shape *shape = &job->shape;
    const void *z = s->reads > 1 ? s->in[1] : NULL;
    switch (job->what.operation) {
    case BENCH_TRAIN:
        job->status = batchnorm_forward_fused(shape, s->in[0], z, job->weight, job->bias, s->out[0], job->mean, job->var,
                                              job->save_mean, job->save_rstd, act, NULL, &job->exec);
        return;
    case BENCH_EVAL:
        job->status = batchnorm_infer_fused(shape, s->in[0], z, job->weight, job->bias, job->mean, job->var, s->out[0], NULL,
                                            NULL, act, NULL, &job->exec);
        return;
    default:
        z = s->reads > 2 ? s->in[2] : NULL;
        job->status =
            batchnorm_backward_fused(shape, s->in[0], z, NULL, s->in[1], job->weight, job->bias, job->save_mean, job->save_rstd,
                                     s->out[0], s->writes > 1 ? s->out[1] : NULL, job->dweight, job->dbias, act, 0, &job->exec);
    }
}

void bench_job_run(struct bench_job *job) {
    static const batchnorm_activation activations[BENCH_ACTIVATIONS] = {
        [BENCH_NONE] = {BATCHNORM_IDENTITY, 0},
        [BENCH_RELU] = {BATCHNORM_RELU, 0},
        [BENCH_LEAKY] = {BATCHNORM_LEAKY_RELU, 0.01},
        [BENCH_CLIPPED] = {BATCHNORM_CLIPPED_RELU, 6},
    };
    if (job->what.activation == BENCH_NONE && !job->what.residual)
        run_plain(job);
    else
        run_fused(job, activations[job->what.activation]);
}
