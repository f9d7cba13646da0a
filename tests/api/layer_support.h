/* SPDX-License-Identifier: MIT */
/* What the tests of the layer share: tensors with their own memory, plain references, a picture of a layer, and an allocator
 * that fails on demand. All that these functions make is kept until let_go(), the teardown of every test. */
#ifndef TESTS_API_LAYER_SUPPORT_H
#define TESTS_API_LAYER_SUPPORT_H

#include "batchnorm/layer.h"
#include "tests/support/support.h"

/* A contiguous tensor of random numbers with memory of its own; seed 0 or I64: all zeros. */
batchnorm_tensor box(batchnorm_dtype dtype, int rank, const int64_t *shape, uint64_t seed);
/* The same sizes and type, zeros. */
batchnorm_tensor box_like(batchnorm_tensor t);
/* The value at (n, c, s) of a contiguous tensor, s counting through all sizes behind the channels. */
double box_at(batchnorm_tensor t, int64_t n, int64_t c, int64_t s);
void box_set(batchnorm_tensor t, int64_t n, int64_t c, int64_t s, double value);
int64_t box_inner(batchnorm_tensor t);
/* The bytes of a tensor, to see that nothing was written. */
size_t box_bytes(batchnorm_tensor t);

/* Element c of an array of one dimension, or `absent` where there is none. */
double value_of(batchnorm_tensor t, int64_t c, double absent);
void set_value(batchnorm_tensor t, int64_t c, double value);

struct moments {
    double mean, var, count; /* var is the population variance */
};
struct moments moments_of(batchnorm_tensor x, int64_t c);

void expect_near(double got, double wanted);
/* y is x normalized with these numbers, in channel c. */
void expect_normalized(batchnorm_tensor x, batchnorm_tensor y, int64_t c, double mean, double var, double eps, double weight,
                       double bias);

/* A layer with PyTorch's defaults; the test ends if it cannot be made. */
batchnorm_layer *make_layer(int dims, int64_t channels, batchnorm_dtype dtype);
batchnorm_layer *make_layer_of(batchnorm_layer_options options);
batchnorm_saved *make_saved(batchnorm_layer *layer);
/* The same for what batchnorm_layer_create() and batchnorm_saved_create() made. */
void keep_layer(batchnorm_layer *layer);
void keep_saved(batchnorm_saved *saved);
/* weight, bias, running statistics, gradients and the counter get numbers that no default has. */
void scramble(batchnorm_layer *layer);

/* All that a layer and a place for saved statistics hold, every bit, as text. */
char *picture(const batchnorm_layer *layer, const batchnorm_saved *saved);
void expect_same_picture(const char *before, const batchnorm_layer *layer, const batchnorm_saved *saved);

/* One forward on random numbers of these sizes. */
batchnorm_status run_forward(batchnorm_layer *layer, batchnorm_dtype dtype, int rank, const int64_t *shape, unsigned flags);
/* The same, refused with this sentence, while neither the layer nor y changes; with the sizes of any random x, or with these
 * tensors, of which y has at least 64 bytes or none. */
void forward_refuses(batchnorm_layer *layer, batchnorm_dtype dtype, int rank, const int64_t *shape, batchnorm_status status,
                     const char *message);
void forward_refuses_these(batchnorm_layer *layer, batchnorm_tensor x, batchnorm_tensor y, unsigned flags,
                           batchnorm_status status, const char *message);

/* An allocator that counts, and fails at call number fail_at (1 is the first; 0: never). Once all that was made after it is
 * released, nothing may be left of what it gave. */
struct ledger {
    batchnorm_allocator allocator;
    long calls, live, fail_at;
};
struct ledger *make_ledger(void);

#endif
