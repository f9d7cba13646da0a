/* SPDX-License-Identifier: MIT */
/* nn.BatchNorm2d: what a layer holds, and what eval() and train() change. In Python:
 *
 *     layer = torch.nn.BatchNorm2d(16)
 *     x = torch.rand(1, 16, 7, 7)
 *     y = layer(x); print(layer.weight, layer.bias, vars(layer))
 *     layer.eval(); y = layer(x); layer.train(); y = layer(x)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <batchnorm/layer.h>

enum { C = 16, H = 7, W = 7 };

static float x[C * H * W], y[C * H * W];

static void check(batchnorm_status status, const char *what) {
    if (status == BATCHNORM_OK) return;
    fprintf(stderr, "batchnorm2d: %s: %s\n", what, batchnorm_status_string(status));
    exit(EXIT_FAILURE);
}

static void print_parameter(const char *name, const batchnorm_parameter *parameter) {
    const float *values = parameter->value.data;
    printf("%s:", name);
    for (int c = 0; c < C; c++) printf(" %g", (double)values[c]);
    printf("\n");
}

/* Run the layer and print what happened to channel 0; returns the mean of its output. */
static double step(batchnorm_layer *layer) {
    const int64_t sizes[] = {1, C, H, W};
    batchnorm_tensor in = batchnorm_tensor_contiguous(x, BATCHNORM_F32, 4, sizes);
    batchnorm_tensor out = batchnorm_tensor_contiguous(y, BATCHNORM_F32, 4, sizes);
    check(batchnorm_layer_forward(layer, in, out, NULL, 0, NULL), "forward");

    double mean = 0;
    for (int i = 0; i < H * W; i++) mean += (double)y[i] / (H * W);
    const float *running_mean = batchnorm_layer_running_mean(layer).data;
    printf("%s: mean of y in channel 0: %8.5f   running_mean[0]: %.5f   batches: %lld\n",
           batchnorm_layer_is_training(layer) ? "train" : "eval ", mean, (double)running_mean[0],
           (long long)*batchnorm_layer_num_batches_tracked(layer));
    return mean;
}

int main(void) {
    for (size_t i = 0; i < C * H * W; i++) x[i] = (float)((double)rand() / RAND_MAX);

    batchnorm_layer_options options = batchnorm_layer_defaults(2, C);
    batchnorm_layer *layer;
    check(batchnorm_layer_create(&options, &layer), "create");

    print_parameter("weight", batchnorm_layer_weight(layer));
    print_parameter("bias", batchnorm_layer_bias(layer));
    double trained = step(layer);
    check(batchnorm_layer_print(layer, stdout), "print");

    batchnorm_layer_eval(layer); /* y from the running statistics, which stay as they are */
    double evaluated = step(layer), again = step(layer);
    batchnorm_layer_train(layer); /* y from the batch's statistics; the running ones move again */
    double retrained = step(layer);
    int batches = (int)*batchnorm_layer_num_batches_tracked(layer);
    batchnorm_layer_destroy(layer);

    /* written so that NaN is not right */
    bool right = fabs(trained) <= 1e-6 && fabs(retrained) <= 1e-6 && evaluated > 0.1 && evaluated == again && batches == 2;
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
