/* SPDX-License-Identifier: MIT */
/* nn.BatchNorm1d: one training step moves the running statistics towards those of the batch. In Python:
 *
 *     layer = torch.nn.BatchNorm1d(16)
 *     y = layer(torch.rand(100, 16, 784))
 *     print(layer.running_mean, layer.running_var)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <batchnorm/layer.h>

enum { N = 100, C = 16, L = 784 };

static float x[N * C * L], y[N * C * L];

static void check(batchnorm_status status, const char *what) {
    if (status == BATCHNORM_OK) return;
    fprintf(stderr, "batchnorm1d: %s: %s\n", what, batchnorm_status_string(status));
    exit(EXIT_FAILURE);
}

static void print_vector(const char *name, batchnorm_tensor vector) {
    const float *values = vector.data;
    printf("%s:", name);
    for (int c = 0; c < C; c++) printf(" %.4f", (double)values[c]);
    printf("\n");
}

/* The largest distance of a value from what it should be. */
static double worst(batchnorm_tensor vector, double expected) {
    const float *values = vector.data;
    double most = 0;
    for (int c = 0; c < C; c++) most = fmax(most, fabs((double)values[c] - expected));
    return most;
}

int main(void) {
    for (size_t i = 0; i < N * C * L; i++) x[i] = (float)((double)rand() / RAND_MAX);

    batchnorm_layer_options options = batchnorm_layer_defaults(1, C);
    batchnorm_layer *layer;
    check(batchnorm_layer_create(&options, &layer), "create");

    const int64_t sizes[] = {N, C, L};
    batchnorm_tensor in = batchnorm_tensor_contiguous(x, BATCHNORM_F32, 3, sizes);
    batchnorm_tensor out = batchnorm_tensor_contiguous(y, BATCHNORM_F32, 3, sizes);
    check(batchnorm_layer_forward(layer, in, out, NULL, 0, NULL), "forward");

    batchnorm_tensor mean = batchnorm_layer_running_mean(layer), var = batchnorm_layer_running_var(layer);
    print_vector("running_mean", mean);
    print_vector("running_var", var);

    /* Uniform numbers have mean 1/2 and variance 1/12; a tenth of the way from (0, 1) to there. */
    int far_off = worst(mean, 0.1 * 0.5) > 1e-3 || worst(var, 0.9 + 0.1 / 12) > 1e-3;
    batchnorm_layer_destroy(layer);
    return far_off ? EXIT_FAILURE : EXIT_SUCCESS;
}
