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

/* Whether every value is what it should be; NaN is not. */
static bool near(batchnorm_tensor vector, double expected) {
    const float *values = vector.data;
    for (int c = 0; c < C; c++)
        if (!(fabs((double)values[c] - expected) <= 1e-3)) return false;
    return true;
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
    bool right = near(mean, 0.1 * 0.5) && near(var, 0.9 + 0.1 / 12);
    batchnorm_layer_destroy(layer);
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
