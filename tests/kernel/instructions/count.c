/* SPDX-License-Identifier: MIT */
/* count CASE: runs one fixed case for instructions.sh, which counts its instructions. Prints the compiler and the instruction
 * set. The data are made for every case alike, also for `nothing`, whose count is subtracted from the others'. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/stats.h"
#include "plan/tuning.h"

/* Not a multiple of a step, so that partial steps are counted, too; 48 channels are three steps of the kernels. */
enum { N = 8, C = 48, S = 29 * 29, COUNT = N * C * S, MANY = 1000 };

static float floats[3][COUNT];
static double doubles[3][COUNT];
static uint16_t halves[3][COUNT];
static double mean[MANY], rstd[MANY];
static batchnorm_stat stats[MANY];
static const batchnorm_exec exec = {.size = sizeof(batchnorm_exec), .threads = 1};

/* Parameters, of which doubles have both halves of a number and floats the first. */
static union parameters {
    float f[MANY];
    double d[MANY];
} weight, bias, dweight, dbias, running_mean, running_var;

/* What a case works on. */
struct data {
    batchnorm_shape shape;
    batchnorm_strides strides;
    const void *x, *dy;
    void *out;
};

/* A float in [0, 8) of few bits, which bf16 has, too. */
static float next(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 26) / 8;
}

static void set(union parameters *p, batchnorm_dtype dtype, int c, float value) {
    if (dtype == BATCHNORM_F64)
        p->d[c] = (double)value;
    else
        p->f[c] = value;
}

static void make(batchnorm_dtype dtype) {
    uint32_t state = 1;
    for (int a = 0; a < 2; a++)
        for (int i = 0; i < COUNT; i++) {
            uint32_t bits;
            floats[a][i] = next(&state);
            doubles[a][i] = (double)floats[a][i];
            memcpy(&bits, &floats[a][i], sizeof bits);
            halves[a][i] = (uint16_t)(bits >> 16);
        }
    for (int c = 0; c < MANY; c++) {
        set(&weight, dtype, c, 1 + next(&state));
        set(&bias, dtype, c, next(&state));
        set(&running_mean, dtype, c, 4);
        set(&running_var, dtype, c, 1);
        mean[c] = 4;
        rstd[c] = 1;
    }
}

static batchnorm_status nothing(const struct data *d) {
    (void)d;
    return BATCHNORM_OK;
}

static batchnorm_status train(const struct data *d) {
    const batchnorm_forward_call call = {.size = sizeof call,
                                         .shape = d->shape,
                                         .x = {d->x, d->strides},
                                         .y = {d->out, d->strides},
                                         .weight = &weight,
                                         .bias = &bias,
                                         .running_mean = &running_mean,
                                         .running_var = &running_var,
                                         .save_mean = mean,
                                         .save_rstd = rstd};
    return batchnorm_forward(&call, &exec);
}

static batchnorm_infer_call infer_call(const struct data *d) {
    return (batchnorm_infer_call){.size = sizeof(batchnorm_infer_call),
                                  .shape = d->shape,
                                  .x = {d->x, d->strides},
                                  .y = {d->out, d->strides},
                                  .weight = &weight,
                                  .bias = &bias,
                                  .mean = &running_mean,
                                  .var = &running_var};
}

static batchnorm_status eval(const struct data *d) {
    const batchnorm_infer_call call = infer_call(d);
    return batchnorm_infer(&call, &exec);
}

static batchnorm_status eval_relu(const struct data *d) {
    batchnorm_infer_call call = infer_call(d);
    call.activation.kind = BATCHNORM_RELU;
    return batchnorm_infer(&call, &exec);
}

static batchnorm_backward_call backward_call(const struct data *d) {
    return (batchnorm_backward_call){.size = sizeof(batchnorm_backward_call),
                                     .shape = d->shape,
                                     .x = {d->x, d->strides},
                                     .dy = {d->dy, d->strides},
                                     .dx = {d->out, d->strides},
                                     .weight = &weight,
                                     .save_mean = mean,
                                     .save_rstd = rstd,
                                     .dweight = &dweight,
                                     .dbias = &dbias};
}

static batchnorm_status backward(const struct data *d) {
    const batchnorm_backward_call call = backward_call(d);
    return batchnorm_backward(&call, &exec);
}

/* Gated by y, as a network has it that kept what came out of its ReLU. The y is x, whose signs are as good as any. */
static batchnorm_status gated(const struct data *d) {
    batchnorm_backward_call call = backward_call(d);
    call.y = call.x;
    call.activation.kind = BATCHNORM_RELU;
    return batchnorm_backward(&call, &exec);
}

/* Gated by a v that is computed again. */
static batchnorm_status gated_by_v(const struct data *d) {
    batchnorm_backward_call call = backward_call(d);
    call.bias = &bias;
    call.activation.kind = BATCHNORM_RELU;
    return batchnorm_backward(&call, &exec);
}

static batchnorm_status statistics(const struct data *d) {
    const batchnorm_stats_call call = {.size = sizeof call, .shape = d->shape, .x = {d->x, d->strides}, .stats = stats};
    return batchnorm_stats_accumulate(&call, &exec);
}

/* Small calls are made many times, so that what is found out once, in the first of them, does not count. */
static const struct {
    const char *name;
    batchnorm_status (*run)(const struct data *d);
    batchnorm_shape shape;
    bool rows;
    int calls;
} cases[] = {{"nothing", nothing, {N, C, S, BATCHNORM_F32}, false, 1},
             {"train.planar.f32", train, {N, C, S, BATCHNORM_F32}, false, 1},
             {"train.rows.f32", train, {N, C, S, BATCHNORM_F32}, true, 1},
             {"train.planar.bf16", train, {N, C, S, BATCHNORM_BF16}, false, 1},
             {"train.rows.bf16", train, {N, C, S, BATCHNORM_BF16}, true, 1},
             {"eval.planar.f32", eval, {N, C, S, BATCHNORM_F32}, false, 1},
             {"eval.rows.f32", eval, {N, C, S, BATCHNORM_F32}, true, 1},
             {"backward.planar.f32", backward, {N, C, S, BATCHNORM_F32}, false, 1},
             {"backward.rows.f32", backward, {N, C, S, BATCHNORM_F32}, true, 1},
             {"backward.planar.bf16", backward, {N, C, S, BATCHNORM_BF16}, false, 1},
             {"backward.rows.bf16", backward, {N, C, S, BATCHNORM_BF16}, true, 1},
             {"eval.planar.bf16", eval, {N, C, S, BATCHNORM_BF16}, false, 1},
             {"eval_relu.planar.f32", eval_relu, {N, C, S, BATCHNORM_F32}, false, 1},
             {"gated_by_v.planar.f32", gated_by_v, {N, C, S, BATCHNORM_F32}, false, 1},
             {"gated.planar.f32", gated, {N, C, S, BATCHNORM_F32}, false, 1},
             {"gated.rows.f32", gated, {N, C, S, BATCHNORM_F32}, true, 1},
             {"train.7x7.f32", train, {128, C, 49, BATCHNORM_F32}, false, 1},
             {"train.7x7.bf16", train, {128, C, 49, BATCHNORM_BF16}, false, 1},
             {"backward.7x7.f32", backward, {128, C, 49, BATCHNORM_F32}, false, 1},
             {"backward.7x7.bf16", backward, {128, C, 49, BATCHNORM_BF16}, false, 1},
             {"eval.7x7.f32", eval, {128, C, 49, BATCHNORM_F32}, false, 1},
             {"train.2x2.f64", train, {1024, C, 4, BATCHNORM_F64}, false, 1},
             {"stats.planar.f32", statistics, {N, C, S, BATCHNORM_F32}, false, 1},
             {"stats.rows.f32", statistics, {N, C, S, BATCHNORM_F32}, true, 1},
             {"train.small.f32", train, {1, 16, 49, BATCHNORM_F32}, false, 100},
             {"eval.small.f32", eval, {1, 16, 49, BATCHNORM_F32}, false, 100},
             {"backward.small.f32", backward, {1, 16, 49, BATCHNORM_F32}, false, 100},
             {"train.channels.f32", train, {8, MANY, 1, BATCHNORM_F32}, true, 10},
             {"backward.channels.f32", backward, {8, MANY, 1, BATCHNORM_F32}, true, 10},
             {"train.channels.f64", train, {8, MANY, 1, BATCHNORM_F64}, true, 10},
             {"train.planes.f64", train, {2, 960, 49, BATCHNORM_F64}, false, 10}};

static void *array(batchnorm_dtype dtype, int i) {
    return dtype == BATCHNORM_F32 ? (void *)floats[i] : dtype == BATCHNORM_F64 ? (void *)doubles[i] : (void *)halves[i];
}

static int run(size_t i) {
    const batchnorm_shape shape = cases[i].shape;
    const struct data d = {.shape = shape,
                           .strides = cases[i].rows ? batchnorm_channels_last(shape) : batchnorm_planar(shape),
                           .x = array(shape.dtype, 0),
                           .dy = array(shape.dtype, 1),
                           .out = array(shape.dtype, 2)};
    for (int call = 0; call < cases[i].calls; call++)
        if (cases[i].run(&d) != BATCHNORM_OK) return EXIT_FAILURE;
    return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
    /* Caches of a fixed size, whatever this machine has: blocks of channels are cut by them. */
    bn_tuning.l2_bytes = (size_t)1 << 20;
    bn_tuning.llc_bytes = (size_t)32 << 20;
    printf("gcc %s, %s\n", __VERSION__, batchnorm_isa());
    for (size_t i = 0; i < sizeof cases / sizeof *cases && argc == 2; i++) {
        if (strcmp(argv[1], cases[i].name) != 0) continue;
        make(cases[i].shape.dtype);
        return run(i);
    }
    fprintf(stderr, "count: name one case\n");
    return EXIT_FAILURE;
}
