/* SPDX-License-Identifier: MIT */
#include "job.h"

#include <string.h>

#include "batchnorm/stats.h"
#include "nn/choices.h"
#include "tools/shared/convert.h"

/* Of every array: a page, as for large arrays from malloc. */
enum { ALIGNMENT = 4096 };
enum { PARAMETERS = 9 };
/* An odd number of made-up elements, repeated, so that no channel gets always the same. */
enum { PATTERN = 65521 };

static size_t rounded(size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static batchnorm_shape call_shape(const struct bench_case *c) {
    return (batchnorm_shape){(size_t)c->shape.size[0], (size_t)c->shape.size[1], bench_inner(&c->shape), c->dtype};
}

static batchnorm_forward_call train_call(const struct bench_job *job, batchnorm_strides t) {
    const struct bench_streams *s = &job->streams;
    return (batchnorm_forward_call){.size = sizeof(batchnorm_forward_call),
                                    .shape = job->shape,
                                    .x = {s->in[0], t},
                                    .z = {s->reads > 1 ? s->in[1] : NULL, t},
                                    .y = {s->out[0], t},
                                    .weight = job->weight,
                                    .bias = job->bias,
                                    .running_mean = job->mean,
                                    .running_var = job->var,
                                    .save_mean = job->save_mean,
                                    .save_rstd = job->save_rstd,
                                    .activation = nn_usual_activation(job->what.activation)};
}

static batchnorm_infer_call eval_call(const struct bench_job *job, batchnorm_strides t) {
    const struct bench_streams *s = &job->streams;
    return (batchnorm_infer_call){.size = sizeof(batchnorm_infer_call),
                                  .shape = job->shape,
                                  .x = {s->in[0], t},
                                  .z = {s->reads > 1 ? s->in[1] : NULL, t},
                                  .y = {s->out[0], t},
                                  .weight = job->weight,
                                  .bias = job->bias,
                                  .mean = job->mean,
                                  .var = job->var,
                                  .activation = nn_usual_activation(job->what.activation)};
}

/* It is not given y, so that an activation's gradient needs no more than the x and z that are there anyway. */
static batchnorm_backward_call backward_call(const struct bench_job *job, batchnorm_strides t) {
    const struct bench_streams *s = &job->streams;
    return (batchnorm_backward_call){.size = sizeof(batchnorm_backward_call),
                                     .shape = job->shape,
                                     .x = {s->in[0], t},
                                     .z = {s->reads > 2 ? s->in[2] : NULL, t},
                                     .dy = {s->in[1], t},
                                     .dx = {s->out[0], t},
                                     .dz = {s->writes > 1 ? s->out[1] : NULL, t},
                                     .weight = job->weight,
                                     .bias = job->bias,
                                     .save_mean = job->save_mean,
                                     .save_rstd = job->save_rstd,
                                     .dweight = job->dweight,
                                     .dbias = job->dbias,
                                     .activation = nn_usual_activation(job->what.activation)};
}

static batchnorm_stats_call stats_call(const struct bench_job *job, batchnorm_strides t) {
    return (batchnorm_stats_call){
        .size = sizeof(batchnorm_stats_call), .shape = job->shape, .x = {job->streams.in[0], t}, .stats = job->stats};
}

static batchnorm_strides strides_of(const struct bench_job *job) {
    return job->what.layout == BENCH_NHWC ? batchnorm_channels_last(job->shape) : batchnorm_planar(job->shape);
}

/* What is done with the call. Questions go without arrays. */
enum action { RUN, ASK_BYTES, EXPLAIN };
struct text {
    char *at;
    size_t size;
};

#define ACT(function, kind, call)                                                                                              \
    do {                                                                                                                       \
        if (action == ASK_BYTES) return batchnorm_##kind##_workspace_bytes(call);                                              \
        if (action == EXPLAIN) return batchnorm_##kind##_explain(call, &job->exec, text.at, text.size);                        \
        job->status = function(call, &job->exec);                                                                              \
        return 0;                                                                                                              \
    } while (0)

static size_t act(struct bench_job *job, enum action action, struct text text) {
    const batchnorm_strides strides = strides_of(job);
    const batchnorm_forward_call train = train_call(job, strides);
    const batchnorm_infer_call eval = eval_call(job, strides);
    const batchnorm_backward_call backward = backward_call(job, strides);
    const batchnorm_stats_call stats = stats_call(job, strides);
    switch (job->what.operation) {
    case BENCH_TRAIN:
        ACT(batchnorm_forward, forward, &train);
    case BENCH_EVAL:
        ACT(batchnorm_infer, infer, &eval);
    case BENCH_BACKWARD:
        ACT(batchnorm_backward, backward, &backward);
    default:
        ACT(batchnorm_stats_accumulate, stats, &stats);
    }
}
#undef ACT

static const struct text no_text;

void bench_job_run(struct bench_job *job) { act(job, RUN, no_text); }

/* Which arrays there are counts, and that no two are one; not where they are. */
static size_t ask(const struct bench_case *c, enum action action, struct text text) {
    static unsigned char somewhere[2][4];
    struct bench_job job = {.what = *c, .shape = call_shape(c), .dweight = somewhere, .dbias = somewhere};
    job.exec = (batchnorm_exec){.size = sizeof job.exec, .threads = c->threads};
    job.streams.reads = bench_reads(c);
    job.streams.writes = bench_writes(c);
    for (int i = 0; i < job.streams.reads; i++) job.streams.in[i] = &somewhere[0][i];
    for (int i = 0; i < job.streams.writes; i++) job.streams.out[i] = &somewhere[1][i];
    return act(&job, action, text);
}

static size_t workspace_bytes(const struct bench_case *c) { return ask(c, ASK_BYTES, no_text); }

size_t bench_job_explain(const struct bench_case *c, char *text, size_t size) {
    return ask(c, EXPLAIN, (struct text){text, size});
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
    const batchnorm_stats_call call = stats_call(job, strides_of(job));
    const batchnorm_status status = batchnorm_stats_accumulate(&call, NULL);
    if (status) return status;
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
    if (!job->status) bench_job_run(job);
    return job->status;
}
