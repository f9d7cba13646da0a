/* SPDX-License-Identifier: MIT */
/* What several tests need: random numbers, elements of every type, a long double oracle for one channel, and memory with
 * forbidden pages around it. It shares no code with the library. */
#ifndef TESTS_SUPPORT_SUPPORT_H
#define TESTS_SUPPORT_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batchnorm/batchnorm.h"

/* Random numbers that are the same everywhere. The state is any number. */
uint64_t random_bits(uint64_t *state);
double random_uniform(uint64_t *state); /* [0, 1) */
double random_normal(uint64_t *state);

/* Elements. element_set() rounds once, from double, to the nearest, ties to even. */
double element_get(batchnorm_dtype dtype, const void *data, ptrdiff_t index);
void element_set(batchnorm_dtype dtype, void *data, ptrdiff_t index, double value);
double element_round(batchnorm_dtype dtype, double value);
const char *dtype_name(batchnorm_dtype dtype);
batchnorm_dtype parameter_dtype(batchnorm_dtype dtype);
extern const batchnorm_dtype all_dtypes[4];

/* The distance from |value| to the next larger number of the type; the smallest subnormal for 0. */
long double ulp_of(batchnorm_dtype dtype, long double value);
/* Half the distance between neighbours of the type just above 1: 2^-24, 2^-53, 2^-8, 2^-11. */
double unit_roundoff(batchnorm_dtype dtype);

/* The oracle works on the m values of one channel. Mean and variance are computed in two passes with corrections, so they are
 * good to a few 2^-64 where long double has that many bits. */
struct oracle {
    size_t m;
    const long double *x;
    long double mean, var, rstd;
    long double blur; /* what a rounding of the mean does to xhat, in roundings: counted by oracle_dx_scale() */
};
struct oracle oracle_batch(size_t m, const long double *x, double eps);
struct oracle oracle_given(size_t m, const long double *x, long double mean, long double rstd);

/* Sums over a channel; xhat = (x - mean) * rstd. */
long double oracle_sum(size_t m, const long double *v);
long double oracle_dot(size_t m, const long double *v, const long double *w);
long double oracle_xhat(const struct oracle *o, size_t i);
long double oracle_sum_xhat(const struct oracle *o, const long double *v);

/* dx (or ty: the map is its own adjoint) at i, given sum = S[dy] and dot = S[dy * xhat]; and the sum of its terms' magnitudes,
 * to which its rounding errors are proportional. frozen: the statistics did not depend on x. */
long double oracle_dx(const struct oracle *o, const long double *dy, size_t i, long double sum, long double dot,
                      long double weight, bool frozen);
long double oracle_dx_scale(const struct oracle *o, const long double *dy, size_t i, long double sum, long double dot,
                            long double weight, bool frozen);

/* `bytes` bytes with a page on each side that faults when touched: they end at the upper page, or begin at the lower one. */
struct guarded {
    void *data, *map;
    size_t map_bytes;
};
struct guarded guarded_alloc(size_t bytes, bool at_end);
void guarded_free(struct guarded *memory);

/* Two arrays hold the same values: NaN equals NaN whatever its bits, and 0 does not equal -0. Returns the first index that
 * differs, or -1. */
ptrdiff_t first_difference(batchnorm_dtype dtype, const void *a, const void *b, size_t count);

/* Callbacks for batchnorm_exec: `user` is a uint64_t seed for shuffled, and NULL for reversed. */
batchnorm_parallel_for shuffled_for;
batchnorm_parallel_for reversed_for;

#endif
