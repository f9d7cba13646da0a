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
enum { N = 8, C = 48, S = 29 * 29, COUNT = N * C * S };

static float floats[3][COUNT], weight[C], bias[C], dweight[C], dbias[C], running_mean[C], running_var[C];
static uint16_t halves[3][COUNT];
static double mean[C], rstd[C];
static batchnorm_stat stats[C];
static const batchnorm_exec exec = {.size = sizeof(batchnorm_exec), .threads = 1};

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

static void make(void) {
    uint32_t state = 1;
    for (int a = 0; a < 2; a++)
        for (int i = 0; i < COUNT; i++) {
            uint32_t bits;
            floats[a][i] = next(&state);
            memcpy(&bits, &floats[a][i], sizeof bits);
            halves[a][i] = (uint16_t)(bits >> 16);
        }
    for (int c = 0; c < C; c++) {
        weight[c] = 1 + next(&state);
        bias[c] = next(&state);
        mean[c] = running_mean[c] = 4;
        rstd[c] = running_var[c] = 1;
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
                                         .weight = weight,
                                         .bias = bias,
                                         .running_mean = running_mean,
                                         .running_var = running_var,
                                         .save_mean = mean,
                                         .save_rstd = rstd};
    return batchnorm_forward(&call, &exec);
}

static batchnorm_status eval(const struct data *d) {
    const batchnorm_infer_call call = {.size = sizeof call,
                                       .shape = d->shape,
                                       .x = {d->x, d->strides},
                                       .y = {d->out, d->strides},
                                       .weight = weight,
                                       .bias = bias,
                                       .mean = running_mean,
                                       .var = running_var};
    return batchnorm_infer(&call, &exec);
}

static batchnorm_status backward(const struct data *d) {
    const batchnorm_backward_call call = {.size = sizeof call,
                                          .shape = d->shape,
                                          .x = {d->x, d->strides},
                                          .dy = {d->dy, d->strides},
                                          .dx = {d->out, d->strides},
                                          .weight = weight,
                                          .save_mean = mean,
                                          .save_rstd = rstd,
                                          .dweight = dweight,
                                          .dbias = dbias};
    return batchnorm_backward(&call, &exec);
}

static batchnorm_status statistics(const struct data *d) {
    const batchnorm_stats_call call = {.size = sizeof call, .shape = d->shape, .x = {d->x, d->strides}, .stats = stats};
    return batchnorm_stats_accumulate(&call, &exec);
}

/* eval and stats of bf16 are what train is made of. */
static const struct {
    const char *name;
    batchnorm_status (*run)(const struct data *d);
    batchnorm_dtype dtype;
    bool rows;
} cases[] = {{"nothing", nothing, BATCHNORM_F32, false},
             {"train.planar.f32", train, BATCHNORM_F32, false},
             {"train.rows.f32", train, BATCHNORM_F32, true},
             {"train.planar.bf16", train, BATCHNORM_BF16, false},
             {"train.rows.bf16", train, BATCHNORM_BF16, true},
             {"eval.planar.f32", eval, BATCHNORM_F32, false},
             {"eval.rows.f32", eval, BATCHNORM_F32, true},
             {"backward.planar.f32", backward, BATCHNORM_F32, false},
             {"backward.rows.f32", backward, BATCHNORM_F32, true},
             {"backward.planar.bf16", backward, BATCHNORM_BF16, false},
             {"backward.rows.bf16", backward, BATCHNORM_BF16, true},
             {"stats.planar.f32", statistics, BATCHNORM_F32, false},
             {"stats.rows.f32", statistics, BATCHNORM_F32, true}};

int main(int argc, char **argv) {
    /* Caches of a fixed size, whatever this machine has: blocks of channels are cut by them. */
    bn_tuning.l2_bytes = (size_t)1 << 20;
    bn_tuning.llc_bytes = (size_t)32 << 20;
    make();
    printf("gcc %s, %s\n", __VERSION__, batchnorm_isa());
    for (size_t i = 0; i < sizeof cases / sizeof *cases && argc == 2; i++) {
        if (strcmp(argv[1], cases[i].name) != 0) continue;
        bool f32 = cases[i].dtype == BATCHNORM_F32;
        const batchnorm_shape shape = {N, C, S, cases[i].dtype};
        struct data d = {.shape = shape,
                         .strides = cases[i].rows ? batchnorm_channels_last(shape) : batchnorm_planar(shape),
                         .x = f32 ? (void *)floats[0] : (void *)halves[0],
                         .dy = f32 ? (void *)floats[1] : (void *)halves[1],
                         .out = f32 ? (void *)floats[2] : (void *)halves[2]};
        return cases[i].run(&d) == BATCHNORM_OK ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    fprintf(stderr, "count: name one case\n");
    return EXIT_FAILURE;
}
