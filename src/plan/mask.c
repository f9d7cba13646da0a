/* SPDX-License-Identifier: MIT */
#include "plan/mask.h"

#include <string.h>

#include "plan/view.h"

/* Eight bytes at a time: the order of bytes in a word plays no part. */
static uint64_t word_at(const unsigned char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

size_t bn_mask_ones(const unsigned char *packed, size_t n) {
    size_t ones = 0, i = 0;
    for (; i + 8 <= n; i += 8) ones += (size_t)(word_at(packed + i) * UINT64_C(0x0101010101010101) >> 56);
    for (; i < n; i++) ones += packed[i];
    return ones;
}

size_t bn_mask_find(const unsigned char *packed, size_t at, size_t n, unsigned char value) {
    if (at >= n) return n;
    const unsigned char *found = memchr(packed + at, value, n - at);
    return found ? (size_t)(found - packed) : n;
}

size_t bn_mask_place(const unsigned char *packed, size_t n, size_t rank) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const size_t ones = bn_mask_ones(packed + i, 8);
        if (ones > rank) break;
        rank -= ones;
    }
    for (; i < n; i++)
        if (packed[i] && rank-- == 0) return i;
    return 0;
}

bool bn_mask_has_long_runs(const unsigned char *packed, size_t n, size_t least) {
    const size_t most = n / least + 1;
    size_t runs = 0;
    for (size_t at = 0; at < n && runs <= most; runs++) at = bn_mask_find(packed, at, n, !packed[at]);
    return runs <= most;
}

/* Writes n bytes that are `step` apart as 0 or 1. */
static void pack_bytes(const unsigned char *from, ptrdiff_t step, size_t n, unsigned char *to) {
    size_t i = 0;
    for (; step == 1 && i + 8 <= n; i += 8) {
        uint64_t w = word_at(from + i);
        w = (w | w >> 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
        w = (w | w >> 2) & UINT64_C(0x0303030303030303);
        w = (w | w >> 1) & UINT64_C(0x0101010101010101);
        memcpy(to + i, &w, sizeof w);
    }
    if (step == 0)
        memset(to, *from != 0, n);
    else
        for (; i < n; i++) to[i] = from[(ptrdiff_t)i * step] != 0;
}

/* The same of lengths, along dim `inner`, from the indices that are given. A geometry of one dim has one position a sample. */
static void pack_lengths(const struct bn_geometry *g, const size_t *index, int inner, size_t n, unsigned char *to) {
    const int last = g->dims - 1;
    if (inner > 0 && inner == last) {
        const size_t length = g->mask.lengths[index[0]];
        memset(to, 1, length < n ? length : n);
        memset(to + (length < n ? length : n), 0, length < n ? n - length : 0);
    } else if (inner == 0) {
        for (size_t i = 0; i < n; i++) to[i] = (last ? index[last] : 0) < g->mask.lengths[i];
    } else {
        memset(to, index[last] < g->mask.lengths[index[0]], n);
    }
}

void bn_mask_pack(const struct bn_geometry *g, int array, unsigned char *packed) {
    int order[BN_MAX_DIMS];
    size_t index[BN_MAX_DIMS] = {0};
    const int dims = bn_view_order(g, array, order), inner = dims ? order[dims - 1] : 0;
    const size_t n = g->extent[inner];
    for (size_t done = 0; done < g->count; done += n) {
        if (g->mask.lengths) {
            pack_lengths(g, index, inner, n, packed + done);
        } else {
            ptrdiff_t offset = 0;
            for (int d = 0; d < g->dims; d++) offset += (ptrdiff_t)index[d] * g->mask.stride[d];
            pack_bytes(g->mask.data + offset, g->mask.stride[inner], n, packed + done);
        }
        for (int d = dims - 2; d >= 0 && ++index[order[d]] == g->extent[order[d]]; d--) index[order[d]] = 0;
    }
}
