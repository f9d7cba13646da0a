/* SPDX-License-Identifier: MIT */
/* Runs calls on inputs whose strides are not those of the other arrays, and calls on copies that it makes of them, for odd.sh,
 * which counts the instructions of each run_case(). Prints the instruction set, and a line for each two. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/batchnorm.h"
#include "plan/tuning.h"

enum { N = 32, C = 48, S = 7 * 7, COUNT = N * C * S };

static float input[2 * COUNT], other[COUNT], copy[COUNT], out[COUNT], running_mean[C], running_var[C], dweight[C], dbias[C];
static double mean[C], rstd[C];
static const batchnorm_exec exec = {.size = sizeof(batchnorm_exec), .threads = 1};
static const batchnorm_shape shape = {N, C, S, BATCHNORM_F32};

/* What a verb gets: x and dy, of which one is the input. */
struct data {
    batchnorm_input x, dy;
    batchnorm_strides strides; /* of the others */
};

static batchnorm_status train(const struct data *d) {
    const batchnorm_forward_call call = {.size = sizeof call,
                                         .shape = shape,
                                         .x = d->x,
                                         .y = {out, d->strides},
                                         .running_mean = running_mean,
                                         .running_var = running_var};
    return batchnorm_forward(&call, &exec);
}

static batchnorm_status eval(const struct data *d) {
    const batchnorm_infer_call call = {
        .size = sizeof call, .shape = shape, .x = d->x, .y = {out, d->strides}, .mean = running_mean, .var = running_var};
    return batchnorm_infer(&call, &exec);
}

static batchnorm_status backward(const struct data *d) {
    const batchnorm_backward_call call = {.size = sizeof call,
                                          .shape = shape,
                                          .x = d->x,
                                          .dy = d->dy,
                                          .dx = {out, d->strides},
                                          .save_mean = mean,
                                          .save_rstd = rstd,
                                          .dweight = dweight,
                                          .dbias = dbias};
    return batchnorm_backward(&call, &exec);
}

static const struct {
    const char *name;
    batchnorm_status (*run)(const struct data *d);
    bool takes_dy; /* as the input */
} verbs[] = {{"train", train, false}, {"eval", eval, false}, {"backward", backward, false}, {"backward_dy", backward, true}};

/* Of samples, channels and positions; `first` is where the first element is. */
static const struct {
    const char *name;
    size_t first;
    batchnorm_strides strides;
} inputs[] = {{"over_positions", 0, {C, 1, 0}},
              {"over_samples", 0, {0, S, 1}},
              {"over_channels", 0, {S, 0, 1}},
              {"one_number", 0, {0, 0, 0}},
              {"planar", 0, {C * S, S, 1}},
              {"rows", 0, {C * S, 1, C}},
              {"samples_last", 0, {1, N *S, N}},
              {"positions_first", 0, {C, 1, N *C}},
              {"every_second_position", 0, {2 * C * S, 2 * S, 2}},
              {"slice_of_positions", 0, {C * (S + 8), S + 8, 1}},
              {"slice_of_channels", 0, {(C + 8) * S, 1, C + 8}},
              {"backwards", COUNT - 1, {-C * S, -S, -1}}};

enum { VERBS = sizeof verbs / sizeof *verbs, INPUTS = sizeof inputs / sizeof *inputs };

/* Copies as a user would: in the order of the copy, and whole runs at once. */
static void copy_input(const float *from, batchnorm_strides s, bool rows) {
    float *to = copy;
    for (size_t n = 0; n < N; n++)
        for (size_t a = 0; a < (rows ? S : C); a++) {
            const float *p = from + (ptrdiff_t)n * s.outer + (ptrdiff_t)a * (rows ? s.inner : s.channel);
            const ptrdiff_t step = rows ? s.channel : s.inner;
            const size_t count = rows ? C : S;
            if (step == 1)
                memcpy(to, p, count * sizeof *to);
            else
                for (size_t i = 0; i < count; i++) to[i] = p[(ptrdiff_t)i * step];
            to += count;
        }
}

__attribute__((noinline)) batchnorm_status run_case(int v, int i, bool rows, bool copies);

/* On the input, or on a copy of it. */
batchnorm_status run_case(int v, int i, bool rows, bool copies) {
    const batchnorm_strides usual = rows ? batchnorm_channels_last(shape) : batchnorm_planar(shape);
    const float *at = input + inputs[i].first;
    if (copies) copy_input(at, inputs[i].strides, rows);
    const batchnorm_input given = {copies ? copy : at, copies ? usual : inputs[i].strides}, plain = {other, usual};
    const struct data d = {verbs[v].takes_dy ? plain : given, verbs[v].takes_dy ? given : plain, usual};
    return verbs[v].run(&d);
}

int main(void) {
    for (size_t i = 0; i < sizeof input / sizeof *input; i++) input[i] = (float)(i * 37 % 101) / 8;
    for (int i = 0; i < COUNT; i++) other[i] = (float)(i * 29 % 97) / 8;
    for (int c = 0; c < C; c++) running_var[c] = 1, rstd[c] = 1;
    bn_tuning.l2_bytes = (size_t)1 << 20;
    bn_tuning.llc_bytes = (size_t)32 << 20;
    printf("%s\n", batchnorm_isa());
    for (int v = 0; v < VERBS; v++)
        for (int i = 0; i < INPUTS; i++)
            for (int rows = 0; rows < 2; rows++) {
                if (run_case(v, i, rows, false) || run_case(v, i, rows, true)) return EXIT_FAILURE;
                printf("%s %s %s\n", verbs[v].name, rows ? "rows" : "planar", inputs[i].name);
            }
    return EXIT_SUCCESS;
}
