/* SPDX-License-Identifier: MIT */
#include "rng.h"

nn_rng nn_rng_create(uint64_t seed, uint64_t stream) {
    nn_rng rng = {.state = 0, .increment = stream << 1 | 1}; /* the increment must be odd */
    nn_rng_next(&rng);
    rng.state += seed;
    nn_rng_next(&rng);
    return rng;
}

uint32_t nn_rng_next(nn_rng *rng) {
    const uint64_t old = rng->state;
    const uint32_t mixed = (uint32_t)((old >> 18 ^ old) >> 27);
    const unsigned turn = (unsigned)(old >> 59);
    rng->state = old * UINT64_C(6364136223846793005) + rng->increment;
    return mixed >> turn | mixed << (-turn & 31);
}

uint32_t nn_rng_below(nn_rng *rng, uint32_t bound) {
    const uint32_t surplus = -bound % bound; /* 2^32 mod bound: this many values would be drawn once too often */
    uint32_t value;
    do value = nn_rng_next(rng);
    while (value < surplus);
    return value % bound;
}

float nn_rng_uniform(nn_rng *rng, float low, float high) {
    const float unit = (float)(nn_rng_next(rng) >> 8) * 0x1p-24f; /* 24 bits are what a float holds */
    return low + (high - low) * unit;
}

void nn_rng_shuffle(nn_rng *rng, uint32_t *items, uint32_t count) {
    for (uint32_t left = count; left > 1; left--) {
        const uint32_t pick = nn_rng_below(rng, left);
        const uint32_t item = items[pick];
        items[pick] = items[left - 1];
        items[left - 1] = item;
    }
}
