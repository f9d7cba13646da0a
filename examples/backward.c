/* SPDX-License-Identifier: MIT */
/* Backward, and one step of gradient descent on weight and bias. The loss is the mean squared distance of y to a target. */
#include <stdio.h>
#include <stdlib.h>

#include <batchnorm/layer.h>

enum { N = 64, C = 4 };

static float x[N * C], y[N * C], target[N * C], dy[N * C], dx[N * C];

static void check(batchnorm_status status, const char *what) {
    if (status == BATCHNORM_OK) return;
    fprintf(stderr, "backward: %s: %s\n", what, batchnorm_status_string(status));
    exit(EXIT_FAILURE);
}

/* A view of (N, C) numbers. */
static batchnorm_tensor matrix(float *data) {
    const int64_t sizes[] = {N, C};
    return batchnorm_tensor_contiguous(data, BATCHNORM_F32, 2, sizes);
}

/* Forward; the loss, and its gradient in dy. */
static double forward(batchnorm_layer *layer) {
    check(batchnorm_layer_forward(layer, matrix(x), matrix(y), NULL, 0, NULL), "forward");
    double loss = 0;
    for (int i = 0; i < N * C; i++) {
        double distance = (double)y[i] - (double)target[i];
        loss += distance * distance / (N * C);
        dy[i] = (float)(2 * distance / (N * C));
    }
    return loss;
}

static void descend(const batchnorm_parameter *parameter, float rate) {
    float *value = parameter->value.data;
    const float *grad = parameter->grad.data;
    for (int c = 0; c < C; c++) value[c] -= rate * grad[c];
}

int main(void) {
    for (int i = 0; i < N * C; i++) {
        x[i] = (float)((double)rand() / RAND_MAX);
        target[i] = 5 * x[i] + 3; /* within reach of a scale and a shift */
    }
    batchnorm_layer_options options = batchnorm_layer_defaults(1, C);
    batchnorm_layer *layer;
    check(batchnorm_layer_create(&options, &layer), "create");

    double before = forward(layer);
    check(batchnorm_layer_backward(layer, NULL, matrix(x), matrix(dy), matrix(dx), 0, NULL), "backward");
    descend(batchnorm_layer_weight(layer), 1.0f);
    descend(batchnorm_layer_bias(layer), 1.0f);
    double after = forward(layer);
    printf("loss before: %.4f   after one step: %.4f\n", before, after);

    batchnorm_layer_destroy(layer);
    return after < before / 2 ? EXIT_SUCCESS : EXIT_FAILURE;
}
