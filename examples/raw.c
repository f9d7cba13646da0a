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

/* The most that any of the calls below needs. */
static size_t workspace_bytes(const batchnorm_shape *shape) {
    const batchnorm_operation operations[] = {BATCHNORM_OP_FORWARD, BATCHNORM_OP_BACKWARD, BATCHNORM_OP_INFER};
    size_t most = 0;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        size_t bytes = batchnorm_workspace_bytes(shape, operations[i]);
        if (bytes > most) most = bytes;
    }
    return most;
}

int main(void) {
    for (int i = 0; i < N * C * S; i++) {
        x[i] = (float)((double)rand() / RAND_MAX);
        dy[i] = (float)((double)rand() / RAND_MAX);
    }
    batchnorm_shape shape = batchnorm_planar(BATCHNORM_F32, N, C, S);
    batchnorm_exec exec = {.size = sizeof(batchnorm_exec), .threads = 1, .workspace_bytes = workspace_bytes(&shape)};
    exec.workspace = malloc(exec.workspace_bytes); /* once, outside the loop */
    if (!exec.workspace) return EXIT_FAILURE;

    for (int step = 0; step < 3; step++) {
        check(batchnorm_forward(&shape, x, weight, bias, y, running_mean, running_var, save_mean, save_rstd, NULL, &exec),
              "forward");
        check(batchnorm_backward(&shape, x, dy, weight, save_mean, save_rstd, dx, dweight, dbias, 0, &exec), "backward");
        printf("step %d: running_mean %.4f %.4f %.4f\n", step, (double)running_mean[0], (double)running_mean[1],
               (double)running_mean[2]);
    }
    /* The sum of dx over a channel is zero, because y does not change when all of x moves by a constant. */
    double sum = 0;
    for (int n = 0; n < N; n++)
        for (int s = 0; s < S; s++) sum += (double)dx[n * C * S + s];
    printf("sum of dx in channel 0: %.1e\n", sum);

    /* Inference, in place: y may be x. */
    check(batchnorm_infer(&shape, x, weight, bias, running_mean, running_var, x, NULL, NULL, NULL, &exec), "infer");
    printf("x[0] normalized in place: %.4f\n", (double)x[0]);
    free(exec.workspace);
    return sum < 1e-3 && sum > -1e-3 ? EXIT_SUCCESS : EXIT_FAILURE;
}
