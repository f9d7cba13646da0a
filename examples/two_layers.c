/* SPDX-License-Identifier: MIT */
/* A network of two layers, trained by hand: linear 2 -> 16, BatchNorm1d(16), ReLU, linear 16 -> 1. It learns which of two moons
 * a point belongs to. Training uses the statistics of each batch, the test those that running_mean and running_var have
 * gathered. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <batchnorm/layer.h>

enum { N = 512, BATCH = 64, C = 16, EPOCHS = 40 };

static float points[N][2], moon[N]; /* the data: a point, and 0 or 1 */
static float w1[C][2], w2[C], b2;   /* no bias before batch norm: the mean would take it out */
static float h[BATCH][C], v[BATCH][C], dv[BATCH][C], dh[BATCH][C], out[BATCH]; /* h = w1 x, v = bn(h), out = w2 relu(v) + b2 */

static void check(batchnorm_status status, const char *what) {
    if (status == BATCHNORM_OK) return;
    fprintf(stderr, "two_layers: %s: %s\n", what, batchnorm_status_string(status));
    exit(EXIT_FAILURE);
}

/* Between -size and size; the same numbers with every libc. */
static float noise(float size) {
    static uint32_t state = 1;
    state = state * 1664525 + 1013904223;
    return size * ((float)(state >> 8) / 0x1p23f - 1);
}

static void make_moons(void) {
    for (int i = 0; i < N; i++) {
        float t = 1.5708f * (1 + noise(1)), which = moon[i] = (float)(i % 2);
        points[i][0] = (which == 0 ? cosf(t) : 1 - cosf(t)) + noise(0.2f);
        points[i][1] = (which == 0 ? sinf(t) : 0.5f - sinf(t)) + noise(0.2f);
    }
}

static batchnorm_tensor view(float (*data)[C], int rows) {
    return batchnorm_tensor_contiguous(data, BATCHNORM_F32, 2, (const int64_t[]){rows, C});
}

static void forward(batchnorm_layer *layer, float (*x)[2], int rows) {
    for (int i = 0; i < rows; i++)
        for (int c = 0; c < C; c++) h[i][c] = w1[c][0] * x[i][0] + w1[c][1] * x[i][1];
    check(batchnorm_layer_forward(layer, view(h, rows), view(v, rows), NULL, 0, NULL), "forward");
    for (int i = 0; i < rows; i++) {
        out[i] = b2;
        for (int c = 0; c < C; c++) out[i] += w2[c] * fmaxf(v[i][c], 0);
    }
}

/* One step of gradient descent on a batch; returns the mean of the logistic loss. */
static double step(batchnorm_layer *layer, float (*x)[2], const float *target, float rate) {
    float dw1[C][2] = {0}, dw2[C] = {0}, db2 = 0;
    double loss = 0;
    forward(layer, x, BATCH);
    for (int i = 0; i < BATCH; i++) {
        float sign = target[i] == 1 ? 1 : -1, dout = -sign / (1 + expf(sign * out[i])) / BATCH;
        loss += log1p(exp(-(double)(sign * out[i]))) / BATCH;
        db2 += dout;
        for (int c = 0; c < C; c++) {
            dw2[c] += dout * fmaxf(v[i][c], 0);
            dv[i][c] = v[i][c] > 0 ? dout * w2[c] : 0;
        }
    }
    check(batchnorm_layer_backward(layer, NULL, view(h, BATCH), view(dv, BATCH), view(dh, BATCH), 0, NULL), "backward");
    for (int i = 0; i < BATCH; i++)
        for (int c = 0; c < C; c++)
            for (int k = 0; k < 2; k++) dw1[c][k] += dh[i][c] * x[i][k];
    batchnorm_parameter *weight = batchnorm_layer_weight(layer), *bias = batchnorm_layer_bias(layer);
    for (int c = 0; c < C; c++) {
        for (int k = 0; k < 2; k++) w1[c][k] -= rate * dw1[c][k];
        w2[c] -= rate * dw2[c];
        ((float *)weight->value.data)[c] -= rate * ((float *)weight->grad.data)[c];
        ((float *)bias->value.data)[c] -= rate * ((float *)bias->grad.data)[c];
    }
    b2 -= rate * db2;
    return loss;
}

int main(void) {
    batchnorm_layer_options options = batchnorm_layer_defaults(1, C);
    batchnorm_layer *layer;
    check(batchnorm_layer_create(&options, &layer), "create");
    for (int c = 0; c < C; c++) w1[c][0] = noise(0.7f), w1[c][1] = noise(0.7f), w2[c] = noise(0.25f);
    make_moons();
    for (int epoch = 1; epoch <= EPOCHS; epoch++) {
        double loss = 0;
        for (int i = 0; i < N; i += BATCH) loss += step(layer, points + i, moon + i, 0.5f) * BATCH / N;
        if (epoch == 1 || epoch % 10 == 0) printf("epoch %2d: loss %.4f\n", epoch, loss);
    }
    make_moons(); /* points that it has not seen, */
    batchnorm_layer_eval(layer);
    int right = 0; /* one at a time: in evaluation mode a point's result does not depend on the others */
    for (int i = 0; i < N; i++) forward(layer, points + i, 1), right += (out[0] > 0) == (moon[i] == 1);
    printf("evaluation mode: %d of %d right\n", right, N);
    batchnorm_layer_destroy(layer);
    return right > N * 97 / 100 ? EXIT_SUCCESS : EXIT_FAILURE;
}
