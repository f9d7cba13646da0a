/* SPDX-License-Identifier: MIT */
#include "plan/sweep.h"

#include "plan/narrow.h"
#include "plan/tuning.h"

void bn_sweep_prepare(struct bn_sweep *s) {
    bool plane = s->view.layout == BN_PLANE;
    s->slot_channel = plane ? s->view.pieces : 1;
    s->slot_piece = plane ? 1 : bn_padded(s->view.channels);
    s->repeat = bn_narrow_repeat(&s->view);
}

int bn_number_count(enum bn_verb verb, bool active) {
    if (verb == BN_AFFINE) return BNK_AFFINE_NUMBERS;
    return active ? (int)BNK_GATED_NUMBERS : (int)BNK_BLEND_NUMBERS;
}

/* Memory is about a hundred nanoseconds away: at its speed, some kilobytes. A block that does not fit the second-level cache is
 * fetched half of that cache ahead, which keeps the reading away from the writing of the block before. */
size_t bn_fetch_bytes(size_t block_bytes) {
    enum { NEAR = 16384 };
    size_t l2 = bn_l2_bytes();
    return block_bytes > l2 && l2 > 2 * NEAR ? l2 / 2 : NEAR;
}

void bn_sweep_unit(const struct bn_sweep *s, size_t block, size_t piece) {
    if (s->view.layout == BN_ROWS) {
        bn_rows_unit(s, block, piece);
        return;
    }
    size_t first = block * s->view.block, left = s->view.channels - first;
    struct bn_block b = {s, first, left < s->view.block ? left : s->view.block, s->view.channels};
    if (bn_sweep_reduces(s))
        bn_plane_piece(NULL, &b, piece);
    else
        bn_plane_piece(&b, NULL, piece);
}
