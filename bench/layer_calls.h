/* SPDX-License-Identifier: MIT */
/* A layer's arrays in F32, and training forward or backward on them, for programs that time the same call in variants. */
#ifndef BENCH_LAYER_CALLS_H
#define BENCH_LAYER_CALLS_H

#include <stdlib.h>

#include <batchnorm/batchnorm.h>

struct layer {
    size_t n, c, s;
    float *x, *dy, *y;
    double *save;
    batchnorm_exec exec;
};

/* Makes arrays of so many elements, and saved statistics of so many channels; returns 0 if there is no memory for them. */
static inline int make_layer(struct layer *l, size_t elements, size_t channels, int threads) {
    *l = (struct layer){.x = malloc(elements * sizeof *l->x),
                        .dy = malloc(elements * sizeof *l->dy),
                        .y = malloc(elements * sizeof *l->y),
                        .save = calloc(2 * channels, sizeof *l->save),
                        .exec = {.size = sizeof l->exec, .threads = threads}};
    if (!l->x || !l->dy || !l->y || !l->save) return 0;
    for (size_t i = 0; i < elements; i++) {
        l->x[i] = (float)(i * 2654435761u % 1000) / 1000;
        l->dy[i] = (float)(i * 40503u % 1000) / 1000 - 0.5f;
    }
    return 1;
}

static inline void run_layer(const struct layer *l, int rows, int backward, size_t grain, batchnorm_mask mask) {
    const batchnorm_shape shape = {l->n, l->c, l->s, BATCHNORM_F32};
    const batchnorm_strides s = rows ? batchnorm_channels_last(shape) : batchnorm_planar(shape);
    const batchnorm_forward_call forward = {.size = sizeof forward,
                                            .shape = shape,
                                            .x = {l->x, s},
                                            .y = {l->y, s},
                                            .save_mean = l->save,
                                            .save_rstd = l->save + l->c,
                                            .grain = grain,
                                            .mask = mask};
    const batchnorm_backward_call back = {.size = sizeof back,
                                          .shape = shape,
                                          .x = {l->x, s},
                                          .dy = {l->dy, s},
                                          .dx = {l->y, s},
                                          .save_mean = l->save,
                                          .save_rstd = l->save + l->c,
                                          .grain = grain,
                                          .mask = mask};
    const batchnorm_status status = backward ? batchnorm_backward(&back, &l->exec) : batchnorm_forward(&forward, &l->exec);
    if (status) exit(EXIT_FAILURE);
}

#endif
