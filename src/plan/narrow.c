/* SPDX-License-Identifier: MIT */
#include "plan/narrow.h"

#include <string.h>

static bool is_packed(const struct bn_view *v) {
    if (v->layout != BN_ROWS || v->dims == 0) return false;
    for (int i = 0; i < v->arrays; i++)
        if (bn_view_pitch(v, i) != (ptrdiff_t)v->channels) return false;
    return true;
}

size_t bn_narrow_repeat(const struct bn_view *v) {
    size_t repeat = 1;
    if (v->layout != BN_ROWS || v->channels > BN_NARROW_LANES) return 1; /* more, times a repeat, might not fit either */
    while (v->channels * repeat % BNK_LANES != 0) repeat *= 2;
    return is_packed(v) && v->channels * repeat <= BN_NARROW_LANES ? repeat : 1;
}

size_t bn_narrow_most(const struct bn_view *v, size_t number_bytes, size_t wide_rows) {
    size_t repeat = bn_narrow_repeat(v), most = BN_NARROW_LANES * sizeof(double) / number_bytes / v->channels;
    if (!is_packed(v) || v->channels * repeat % BNK_LANES != 0) return 1;
    while (repeat * 2 <= most && v->group / repeat >= wide_rows) repeat *= 2;
    return repeat;
}

void bn_narrow_start(struct bn_narrow *n, size_t channels, size_t repeat, const double *shift) {
    n->channels = channels;
    n->lanes = channels * repeat;
    for (size_t r = 0; r < repeat; r++) memcpy(n->shift + r * channels, shift, channels * sizeof(double));
    memset(n->sum, 0, n->lanes * sizeof(double));
    memset(n->dot, 0, n->lanes * sizeof(double));
}

void bn_narrow_finish(const struct bn_narrow *n, double *sum, double *dot) {
    for (size_t i = 0; i < n->lanes; i += n->channels)
        for (size_t c = 0; c < n->channels; c++) {
            sum[c] += n->sum[i + c];
            dot[c] += n->dot[i + c];
        }
}

struct bnk_numbers bn_narrow_numbers(struct bnk_numbers k, int count, size_t channels, size_t repeat, size_t bytes, void *out) {
    size_t pitch = channels * repeat + BNK_LANES;
    for (int i = 0; i < count; i++) {
        const char *from = (const char *)k.numbers + (size_t)i * k.pitch * bytes;
        char *to = (char *)out + (size_t)i * pitch * bytes;
        for (size_t r = 0; r < repeat; r++) memcpy(to + r * channels * bytes, from, channels * bytes);
    }
    return (struct bnk_numbers){out, pitch};
}
