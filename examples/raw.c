/* SPDX-License-Identifier: MIT */
/* Raw buffers, for an engine that keeps its own tensors: no layer object, every array is the caller's, and with a workspace
 * no call allocates memory. */
#include <stdio.h>
#include <stdlib.h>

#include <batchnorm/batchnorm.h>

enum { N = 8, C = 3, S = 10 * 10 };

static float x[N * C * S], y[N * C * S], dy[N * C * S], dx[N * C * S];
static float weight[C] = {1, 1, 1}, bias[C], dweight[C], dbias[C];
static float running_mean[C], running_var[C] = {1, 1, 1};
static double save_mean[C], save_rstd[C];

static void check(batchnorm_status status, const char *what) {
    if (status == BATCHNORM_OK) return;
    fprintf(stderr, "raw: %s: %s\n", what, batchnorm_status_string(status));
    exit(EXIT_FAILURE);
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

int main(void) {
    for (int i = 0; i < N * C * S; i++) {
        x[i] = (float)((double)rand() / RAND_MAX);
        dy[i] = (float)((double)rand() / RAND_MAX);
    }
    const batchnorm_shape shape = {N, C, S, BATCHNORM_F32};
    const batchnorm_strides nchw = batchnorm_planar(shape);
    const batchnorm_forward_call forward = {.size = sizeof forward,
                                            .shape = shape,
                                            .x = {x, nchw},
                                            .y = {y, nchw},
                                            .weight = weight,
                                            .bias = bias,
                                            .running_mean = running_mean,
                                            .running_var = running_var,
                                            .save_mean = save_mean,
                                            .save_rstd = save_rstd};
    const batchnorm_backward_call backward = {.size = sizeof backward,
                                              .shape = shape,
                                              .x = {x, nchw},
                                              .dy = {dy, nchw},
                                              .dx = {dx, nchw},
                                              .weight = weight,
                                              .save_mean = save_mean,
                                              .save_rstd = save_rstd,
                                              .dweight = dweight,
                                              .dbias = dbias};
    /* Inference, in place: y may be x. */
    const batchnorm_infer_call infer = {.size = sizeof infer,
                                        .shape = shape,
                                        .x = {x, nchw},
                                        .y = {x, nchw},
                                        .weight = weight,
                                        .bias = bias,
                                        .mean = running_mean,
                                        .var = running_var};
    batchnorm_exec exec = {.size = sizeof exec, .threads = 1};
    exec.workspace_bytes = larger(larger(batchnorm_workspace_bytes(&forward), batchnorm_workspace_bytes(&backward)),
                                  batchnorm_workspace_bytes(&infer));
    exec.workspace = malloc(exec.workspace_bytes); /* once, outside the loop */
    if (!exec.workspace) return EXIT_FAILURE;

    for (int step = 0; step < 3; step++) {
        check(batchnorm_forward(&forward, &exec), "forward");
        check(batchnorm_backward(&backward, &exec), "backward");
        printf("step %d: running_mean %.4f %.4f %.4f\n", step, (double)running_mean[0], (double)running_mean[1],
               (double)running_mean[2]);
    }
    /* The sum of dx over a channel is zero, because y does not change when all of x moves by a constant. */
    double sum = 0;
    for (int n = 0; n < N; n++)
        for (int s = 0; s < S; s++) sum += (double)dx[n * C * S + s];
    printf("sum of dx in channel 0: %.1e\n", sum);

    check(batchnorm_infer(&infer, &exec), "infer");
    printf("x[0] normalized in place: %.4f\n", (double)x[0]);
    free(exec.workspace);
    return sum < 1e-3 && sum > -1e-3 ? EXIT_SUCCESS : EXIT_FAILURE;
}
