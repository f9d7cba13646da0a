/* SPDX-License-Identifier: MIT */
/* Random numbers: PCG32 (M. O'Neill 2014, variant XSH RR 64/32). Small, good, and the same on every machine. */
#ifndef NN_RNG_H
#define NN_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct nn_rng {
    uint64_t state, increment;
} nn_rng;

/* Generators with the same seed and different streams are independent of each other. */
nn_rng nn_rng_create(uint64_t seed, uint64_t stream);
uint32_t nn_rng_next(nn_rng *rng);
/* Uniform in [0, bound) without bias; bound > 0. */
uint32_t nn_rng_below(nn_rng *rng, uint32_t bound);
/* Uniform in [low, high). */
float nn_rng_uniform(nn_rng *rng, float low, float high);
/* A random order of items[0..count). */
void nn_rng_shuffle(nn_rng *rng, uint32_t *items, uint32_t count);

#endif
