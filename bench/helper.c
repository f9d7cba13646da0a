/* SPDX-License-Identifier: MIT */
/* The contenders that need no other library: batchnorm, and the copies that say how fast memory is. Also the clock. It is
 * compiled for the processor it runs on, so that the copies use the widest vectors there are. */
#define _POSIX_C_SOURCE 199309L
#include <omp.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#if defined __SSE2__
#include <immintrin.h>
#endif

#include "helper.h"

/* Seconds of one call, or -1 where a call failed. */
double bench_seconds(bench_run *run, void *data, long calls) {
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (long i = 0; i < calls; i++) {
        if (run(data) != 0) return -1;
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    return ((double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec)) / (double)calls;
}

/* For the oneDNN that asks OpenMP how many threads there are. */
void bench_threads(int threads) { omp_set_num_threads(threads); }

static batchnorm_shape shape_of(const struct bench_data *d) {
    return (batchnorm_shape){d->n, d->c, d->h * d->w, (batchnorm_dtype)d->dtype};
}

static batchnorm_strides strides_of(const struct bench_data *d, batchnorm_shape shape) {
    return d->layout == BENCH_ROWS ? batchnorm_channels_last(shape) : batchnorm_planar(shape);
}

static batchnorm_activation activation_of(const struct bench_data *d) {
    return d->fused ? batchnorm_relu() : (batchnorm_activation){.kind = BATCHNORM_IDENTITY};
}

static batchnorm_forward_call train_call(const struct bench_data *d, batchnorm_shape shape, batchnorm_strides strides) {
    return (batchnorm_forward_call){.size = sizeof(batchnorm_forward_call),
                                    .shape = shape,
                                    .x = {d->x, strides},
                                    .z = {d->z, strides},
                                    .y = {d->y, strides},
                                    .weight = d->weight,
                                    .bias = d->bias,
                                    .running_mean = d->running_mean,
                                    .running_var = d->running_var,
                                    .save_mean = d->save_mean,
                                    .save_rstd = d->save_rstd,
                                    .activation = activation_of(d)};
}

static batchnorm_infer_call eval_call(const struct bench_data *d, batchnorm_shape shape, batchnorm_strides strides) {
    return (batchnorm_infer_call){.size = sizeof(batchnorm_infer_call),
                                  .shape = shape,
                                  .x = {d->x, strides},
                                  .z = {d->z, strides},
                                  .y = {d->y, strides},
                                  .weight = d->weight,
                                  .bias = d->bias,
                                  .mean = d->running_mean,
                                  .var = d->running_var,
                                  .activation = activation_of(d)};
}

static batchnorm_backward_call backward_call(const struct bench_data *d, batchnorm_shape shape, batchnorm_strides strides) {
    return (batchnorm_backward_call){.size = sizeof(batchnorm_backward_call),
                                     .shape = shape,
                                     .x = {d->x, strides},
                                     .y = {d->fused ? d->y : NULL, strides},
                                     .dy = {d->dy, strides},
                                     .dx = {d->dx, strides},
                                     .dz = {d->dz, strides},
                                     .weight = d->weight,
                                     .save_mean = d->save_mean,
                                     .save_rstd = d->save_rstd,
                                     .dweight = d->dweight,
                                     .dbias = d->dbias,
                                     .activation = activation_of(d)};
}

int bench_ours(void *data) {
    const struct bench_data *d = data;
    const batchnorm_shape shape = shape_of(d);
    const batchnorm_strides strides = strides_of(d, shape);
    switch (d->op) {
    case BENCH_TRAIN: {
        const batchnorm_forward_call call = train_call(d, shape, strides);
        return batchnorm_forward(&call, d->exec);
    }
    case BENCH_EVAL: {
        const batchnorm_infer_call call = eval_call(d, shape, strides);
        return batchnorm_infer(&call, d->exec);
    }
    default: {
        const batchnorm_backward_call call = backward_call(d, shape, strides);
        return batchnorm_backward(&call, d->exec);
    }
    }
}

/* Copies the call to `call`, unless that is NULL, and returns its bytes: for who makes it from another language. */
size_t bench_call(const struct bench_data *d, void *call) {
    const batchnorm_shape shape = shape_of(d);
    const batchnorm_strides strides = strides_of(d, shape);
    const batchnorm_forward_call train = train_call(d, shape, strides);
    const batchnorm_infer_call eval = eval_call(d, shape, strides);
    const batchnorm_backward_call backward = backward_call(d, shape, strides);
    const void *const calls[] = {[BENCH_TRAIN] = &train, [BENCH_EVAL] = &eval, [BENCH_BACKWARD] = &backward};
    const size_t bytes[] = {[BENCH_TRAIN] = sizeof train, [BENCH_EVAL] = sizeof eval, [BENCH_BACKWARD] = sizeof backward};
    if (call) memcpy(call, calls[d->op], bytes[d->op]);
    return bytes[d->op];
}

/* The most scratch that a call of any kind takes. */
size_t bench_workspace(const struct bench_data *d) {
    const batchnorm_shape shape = shape_of(d);
    const batchnorm_strides strides = strides_of(d, shape);
    const batchnorm_forward_call train = train_call(d, shape, strides);
    const batchnorm_infer_call eval = eval_call(d, shape, strides);
    const batchnorm_backward_call backward = backward_call(d, shape, strides);
    const size_t bytes[] = {batchnorm_forward_workspace_bytes(&train), batchnorm_infer_workspace_bytes(&eval),
                            batchnorm_backward_workspace_bytes(&backward)};
    size_t most = bytes[0];
    for (int i = 1; i < 3; i++) most = bytes[i] > most ? bytes[i] : most;
    return most;
}

#if defined __AVX512F__
enum { VECTOR = 64 };
#elif defined __AVX__
enum { VECTOR = 32 };
#else
enum { VECTOR = 16 };
#endif
/* Integers, because bits are moved and not numbers: no type of element is slow. */
typedef uint64_t vector __attribute__((vector_size(VECTOR), may_alias));

/* A store that does not read the line first and leaves it out of the caches. */
static inline void store_streaming(vector *to, vector value) {
#if defined __AVX512F__
    _mm512_stream_si512((void *)to, (__m512i)value);
#elif defined __AVX__
    _mm256_stream_si256((void *)to, (__m256i)value);
#elif defined __SSE2__
    _mm_stream_si128((void *)to, (__m128i)value);
#elif defined __clang__
    __builtin_nontemporal_store(value, to);
#else
    *to = value;
#endif
}

static inline void store(vector *to, vector value, int streaming) {
    if (streaming)
        store_streaming(to, value);
    else
        *to = value;
}

/* to = a, or with b: to = a ^ b, the least that a backward pass must move. Arrays begin at a multiple of 64 bytes. */
static inline void move(void *to, const void *a, const void *b, size_t bytes, int streaming) {
    vector *o = to;
    const vector *v = a, *w = b;
    const size_t vectors = bytes / VECTOR;
    const vector none = {0};
    size_t i = 0;
    for (; i + 4 <= vectors; i += 4) {
        vector part[4];
        for (int k = 0; k < 4; k++) part[k] = v[i + k] ^ (b ? w[i + k] : none);
        for (int k = 0; k < 4; k++) store(&o[i + k], part[k], streaming);
    }
    for (; i < vectors; i++) store(&o[i], v[i] ^ (b ? w[i] : none), streaming);
    for (size_t k = vectors * VECTOR; k < bytes; k++)
        ((char *)to)[k] = (char)(((const char *)a)[k] ^ (b ? ((const char *)b)[k] : 0));
#if defined __SSE2__
    if (streaming) _mm_sfence();
#endif
}

static void move_backward(const struct bench_data *d, size_t from, size_t bytes, int streaming) {
    move((char *)d->dx + from, (const char *)d->dy + from, (const char *)d->x + from, bytes, streaming);
}

static void move_forward(const struct bench_data *d, size_t from, size_t bytes, int streaming) {
    move((char *)d->y + from, (const char *)d->x + from, NULL, bytes, streaming);
}

/* Each thread moves one run of whole cache lines. Threads cost more than they bring below 256 KB. */
static inline int copy(const struct bench_data *d, int streaming) {
    const int threads = d->bytes < 262144 ? 1 : d->threads;
    const size_t share = (d->bytes / 64 / (size_t)threads + 1) * 64;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int i = 0; i < threads; i++) {
        const size_t from = share * (size_t)i < d->bytes ? share * (size_t)i : d->bytes;
        const size_t bytes = share < d->bytes - from ? share : d->bytes - from;
        if (d->op == BENCH_BACKWARD)
            move_backward(d, from, bytes, streaming);
        else
            move_forward(d, from, bytes, streaming);
    }
    return 0;
}

int bench_copy(void *data) { return copy(data, 0); }
int bench_copy_streaming(void *data) { return copy(data, 1); }
