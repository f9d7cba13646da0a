/* SPDX-License-Identifier: MIT */
/* Convolution as a matrix product ("im2col"), for machines without oneDNN.
 *
 * The neighbourhood of every pixel, kernel x kernel x channels, becomes one row of a matrix; multiplied with the weights,
 * [out][kernel * kernel * channels], it gives all outputs of the pixel at once. One image is one matrix, small enough for
 * the second-level cache.
 *
 * The images of a batch are cut into CHUNKS, whatever the number of threads, and each chunk has memory of its own. So sums
 * over images are taken in one order, and any number of threads gives the same bits. */
#include "backend.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "floats.h"
#include "machine.h"

enum { CHUNKS = 16, GEMM_ROWS = 32 };

struct nn_backend {
    int threads;
};

struct nn_conv {
    nn_conv_shape shape;
    size_t row;       /* length of a neighbourhood: kernel * kernel * in */
    size_t pixels;    /* of one image of y */
    float *columns;   /* [CHUNKS][pixels][row] */
    float *gradients; /* [CHUNKS][out][row]: dweight, each chunk's share */
};

/* OpenBLAS has threads of its own; they would fight with ours. Weak: other libraries do not know the function. */
extern void openblas_set_num_threads(int threads) __attribute__((weak));

const char *nn_backend_name(void) { return "CBLAS"; }

nn_error nn_backend_create(int threads, nn_backend **backend) {
    *backend = malloc(sizeof **backend);
    if (!*backend) return NN_NO_MEMORY;
    (*backend)->threads = threads;
    nn_set_threads(threads);
    if (openblas_set_num_threads) openblas_set_num_threads(1);
    return NULL;
}

void nn_backend_destroy(nn_backend *backend) { free(backend); }

nn_error nn_conv_create(nn_backend *backend, const nn_conv_shape *shape, nn_conv **conv) {
    (void)backend;
    *conv = calloc(1, sizeof **conv);
    if (!*conv) return NN_NO_MEMORY;
    (*conv)->shape = *shape;
    (*conv)->row = shape->kernel * shape->kernel * shape->in;
    (*conv)->pixels = nn_conv_out_height(shape) * nn_conv_out_width(shape);
    (*conv)->columns = calloc(CHUNKS * (*conv)->row, (*conv)->pixels * sizeof(float)); /* the whole product may not fit */
    (*conv)->gradients = calloc(CHUNKS * shape->out * (*conv)->row, sizeof(float));
    if ((*conv)->columns && (*conv)->gradients) return NULL;
    nn_conv_destroy(*conv);
    *conv = NULL;
    return NN_NO_MEMORY;
}

void nn_conv_destroy(nn_conv *conv) {
    if (!conv) return;
    free(conv->columns);
    free(conv->gradients);
    free(conv);
}

/* C = op(A) op(B) + beta C; lda is the length of a row of A as it lies in memory. */
static void product(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const float *a, size_t lda,
                    const float *b, float beta, float *c) {
    cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans, (int)m, (int)n,
                (int)k, 1.0f, a, (int)lda, b, (int)(transpose_b ? k : n), beta, c, (int)n);
}

/* Whether tap t of the window around pixel p of y falls into the image; if so, the pixel it falls on. */
static bool neighbour(const nn_conv_shape *s, size_t p, size_t t, size_t *q) {
    const size_t width = nn_conv_out_width(s), before = s->kernel / 2;
    const size_t h = p / width * s->stride + t / s->kernel,
                 w = p % width * s->stride + t % s->kernel; /* too large by `before` */
    *q = (h - before) * s->width + (w - before);
    return h >= before && h - before < s->height && w >= before && w - before < s->width;
}

static void image_to_columns(const nn_conv *conv, const float *image, float *columns) {
    const nn_conv_shape *s = &conv->shape;
    for (size_t p = 0; p < conv->pixels; p++) {
        for (size_t t = 0; t < s->kernel * s->kernel; t++, columns += s->in) {
            size_t q;
            if (neighbour(s, p, t, &q))
                memcpy(columns, image + q * s->in, s->in * sizeof *columns);
            else
                memset(columns, 0, s->in * sizeof *columns);
        }
    }
}

static void columns_to_image(const nn_conv *conv, const float *columns, float *image) {
    const nn_conv_shape *s = &conv->shape;
    memset(image, 0, s->height * s->width * s->in * sizeof *image);
    for (size_t p = 0; p < conv->pixels; p++) {
        for (size_t t = 0; t < s->kernel * s->kernel; t++, columns += s->in) {
            size_t q;
            if (!neighbour(s, p, t, &q)) continue;
            for (size_t c = 0; c < s->in; c++) image[q * s->in + c] += columns[c];
        }
    }
}

/* Floats of one image of x. */
static size_t image_size(const nn_conv *conv) { return conv->shape.height * conv->shape.width * conv->shape.in; }

/* The images [first, last) of a chunk. */
static size_t chunk_begin(const nn_conv *conv, size_t chunk) { return conv->shape.batch * chunk / CHUNKS; }

static float *chunk_columns(const nn_conv *conv, size_t chunk) { return conv->columns + chunk * conv->pixels * conv->row; }

static void forward_chunk(const nn_conv *conv, size_t chunk, const float *x, const float *weight, const float *bias, float *y) {
    const nn_conv_shape *s = &conv->shape;
    float *columns = chunk_columns(conv, chunk);
    for (size_t i = chunk_begin(conv, chunk); i < chunk_begin(conv, chunk + 1); i++) {
        float *image = y + i * conv->pixels * s->out;
        for (size_t p = 0; s->bias && p < conv->pixels; p++) memcpy(image + p * s->out, bias, s->out * sizeof *y);
        image_to_columns(conv, x + i * image_size(conv), columns);
        product(false, true, conv->pixels, s->out, conv->row, columns, conv->row, weight, s->bias ? 1.0f : 0.0f, image);
    }
}

nn_error nn_conv_forward(nn_conv *conv, const float *x, const float *weight, const float *bias, float *y) {
#pragma omp parallel for schedule(dynamic)
    for (size_t chunk = 0; chunk < CHUNKS; chunk++) forward_chunk(conv, chunk, x, weight, bias, y);
    return NULL;
}

static void backward_data_chunk(const nn_conv *conv, size_t chunk, const float *dy, const float *weight, float *dx) {
    const nn_conv_shape *s = &conv->shape;
    float *columns = chunk_columns(conv, chunk);
    for (size_t i = chunk_begin(conv, chunk); i < chunk_begin(conv, chunk + 1); i++) {
        product(false, false, conv->pixels, conv->row, s->out, dy + i * conv->pixels * s->out, s->out, weight, 0.0f, columns);
        columns_to_image(conv, columns, dx + i * image_size(conv));
    }
}

nn_error nn_conv_backward_data(nn_conv *conv, const float *dy, const float *weight, float *dx) {
#pragma omp parallel for schedule(dynamic)
    for (size_t chunk = 0; chunk < CHUNKS; chunk++) backward_data_chunk(conv, chunk, dy, weight, dx);
    return NULL;
}

static void backward_weights_chunk(const nn_conv *conv, size_t chunk, const float *x, const float *dy) {
    const nn_conv_shape *s = &conv->shape;
    float *columns = chunk_columns(conv, chunk), *gradient = conv->gradients + chunk * s->out * conv->row;
    memset(gradient, 0, s->out * conv->row * sizeof *gradient);
    for (size_t i = chunk_begin(conv, chunk); i < chunk_begin(conv, chunk + 1); i++) {
        image_to_columns(conv, x + i * image_size(conv), columns);
        product(true, false, s->out, conv->row, conv->pixels, dy + i * conv->pixels * s->out, s->out, columns, 1.0f, gradient);
    }
}

nn_error nn_conv_backward_weights(nn_conv *conv, const float *x, const float *dy, float *dweight, float *dbias) {
    const nn_conv_shape *s = &conv->shape;
#pragma omp parallel for schedule(dynamic)
    for (size_t chunk = 0; chunk < CHUNKS; chunk++) backward_weights_chunk(conv, chunk, x, dy);
    nn_sum_rows(CHUNKS, s->out * conv->row, conv->gradients, dweight);
    if (s->bias) nn_sum_rows(s->batch * conv->pixels, s->out, dy, dbias);
    return NULL;
}

nn_error nn_gemm(nn_backend *backend, bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const float *a,
                 const float *b, float beta, float *c) {
    (void)backend;
    const size_t lda = transpose_a ? m : k;
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < m; i += GEMM_ROWS) {
        const size_t rows = m - i < GEMM_ROWS ? m - i : GEMM_ROWS;
        product(transpose_a, transpose_b, rows, n, k, a + i * (transpose_a ? 1 : k), lda, b, beta, c + i * n);
    }
    return NULL;
}
