/* SPDX-License-Identifier: MIT */
#include "plan/sweep.h"

#include "plan/narrow.h"

void bn_sweep_prepare(struct bn_sweep *s) {
    bool plane = s->view.layout == BN_PLANE;
    s->unit = plane ? bn_plane_unit : bn_rows_unit;
    s->slot_channel = plane ? s->view.pieces : 1;
    s->slot_piece = plane ? 1 : bn_padded(s->view.channels);
    s->repeat = bn_narrow_repeat(&s->view);
}

int bn_number_count(enum bn_verb verb, bool active) {
    if (verb == BN_AFFINE) return BNK_AFFINE_NUMBERS;
    return active ? (int)BNK_GATED_NUMBERS : (int)BNK_BLEND_NUMBERS;
}
