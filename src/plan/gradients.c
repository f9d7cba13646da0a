/* SPDX-License-Identifier: MIT */
/* Backward, forward-mode derivatives, and backward of backward: sums by `dots`, outputs by `blend`. With frozen statistics the
 * same formulas lose the terms that come from the statistics; where x then plays no part, it is not read. Longer than 300
 * lines, because the derivatives of all three share their tables of sweeps. */
#include <string.h>

#include "plan/pass.h"

static bool is_frozen(unsigned flags) { return (flags & BATCHNORM_FROZEN) != 0; }

static unsigned fact(bool holds, unsigned fact) { return holds ? fact : 0; }

/* Facts on which the tables depend: the statistics are constants; sums are needed; what the arrays are there; and of a backward
 * that is gated, by what: the forward's y, or dy itself where the activation is the identity, whose derivative is 1 wherever v
 * lies; else v is computed again from x and z. From y: y takes the role of x. Other: where a mask is 0, dx is another, that of
 * frozen statistics. */
enum {
    FROZEN = 1,
    SUMS = 2,
    X = 4,
    DX = 8,
    GATED = 16,
    BY_Y = 32,
    BY_DY = 64,
    OUTPUT = 128,
    VX = 256,
    GX = 512,
    GDY = 1024,
    FROM_Y = 2048,
    OTHER = 4096
};

/* backward */

/* clang-format off */
static const struct bn_entry backward[] = {
    /* needs, unless, verb, active, arrays */
    {SUMS | X,     GATED,          BNK_DOTS,   false, 2, {{BN_DY, BNK_DY}, {BN_X, BNK_X}}},
    {SUMS,         GATED | X | FROM_Y, BNK_DOTS,   false, 2, {{BN_DY, BNK_DY}, {BN_DY, BNK_X}}},
    {SUMS | BY_Y,  0,              BNK_DOTS,   true,  3, {{BN_DY, BNK_DY}, {BN_X, BNK_X}, {BN_Y, BNK_Y}}},
    {SUMS | BY_DY, 0,              BNK_DOTS,   true,  3, {{BN_DY, BNK_DY}, {BN_X, BNK_X}, {BN_DY, BNK_Y}}},
    {SUMS | GATED, BY_Y | BY_DY | FROM_Y, BNK_DOTS,   true,  3, {{BN_DY, BNK_DY}, {BN_X, BNK_X}, {BN_Z, BNK_Z}}},
    {DX | FROZEN,  GATED,          BNK_AFFINE, false, 2, {{BN_DY, BNK_X}, {BN_DX, BNK_OUT}}},
    {DX,           FROZEN | GATED | FROM_Y, BNK_BLEND,  false, 3, {{BN_DY, BNK_DY}, {BN_X, BNK_X}, {BN_DX, BNK_OUT}}},
    {OUTPUT | BY_Y,  0,            BNK_BLEND,  true,  5, {{BN_DY, BNK_DY}, {BN_X, BNK_X}, {BN_Y, BNK_Y},
                                                          {BN_DX, BNK_OUT}, {BN_DZ, BNK_DZ}}},
    {OUTPUT | BY_DY, 0,            BNK_BLEND,  true,  5, {{BN_DY, BNK_DY}, {BN_X, BNK_X}, {BN_DY, BNK_Y},
                                                          {BN_DX, BNK_OUT}, {BN_DZ, BNK_DZ}}},
    {OUTPUT | GATED, BY_Y | BY_DY | FROM_Y, BNK_BLEND,  true,  5, {{BN_DY, BNK_DY}, {BN_X, BNK_X}, {BN_Z, BNK_Z},
                                                          {BN_DX, BNK_OUT}, {BN_DZ, BNK_DZ}}},
    {FROM_Y | SUMS,         GATED, BNK_DOTS,   false, 2, {{BN_DY, BNK_DY}, {BN_Y, BNK_X}}},
    {FROM_Y | SUMS | GATED, 0,     BNK_DOTS,   true,  2, {{BN_DY, BNK_DY}, {BN_Y, BNK_X}}},
    {FROM_Y | DX, FROZEN | GATED,  BNK_BLEND,  false, 3, {{BN_DY, BNK_DY}, {BN_Y, BNK_X}, {BN_DX, BNK_OUT}}},
    {FROM_Y | DX | GATED,   0,     BNK_BLEND,  true,  3, {{BN_DY, BNK_DY}, {BN_Y, BNK_X}, {BN_DX, BNK_OUT}}},
    {OTHER,          GATED,         BNK_AFFINE, false, 2, {{BN_DY, BNK_X}, {BN_DX, BNK_OUT}}},
    {OTHER | BY_Y,   0,             BNK_BLEND,  true,  5, {{BN_DY, BNK_DY}, {BN_X, BNK_X}, {BN_Y, BNK_Y},
                                                          {BN_DX, BNK_OUT}, {BN_DZ, BNK_DZ}}},
    {OTHER | BY_DY,  0,             BNK_BLEND,  true,  5, {{BN_DY, BNK_DY}, {BN_X, BNK_X}, {BN_DY, BNK_Y},
                                                          {BN_DX, BNK_OUT}, {BN_DZ, BNK_DZ}}},
    {OTHER | GATED,  BY_Y | BY_DY,  BNK_BLEND,  true,  5, {{BN_DY, BNK_DY}, {BN_X, BNK_X}, {BN_Z, BNK_Z},
                                                          {BN_DX, BNK_OUT}, {BN_DZ, BNK_DZ}}},
};
/* clang-format on */

static void put(struct bn_output v, size_t c, size_t count, const double *values, unsigned flags) {
    double sum[BN_SOME];
    if (!v.data) return;
    if (flags & BATCHNORM_ACCUMULATE) {
        bn_vector_read((struct bn_vector){v.data, v.dtype}, c, count, 0, sum);
        for (size_t i = 0; i < count; i++) sum[i] = values[i] + sum[i];
        values = sum;
    }
    bn_vector_write(v, c, count, values);
}

/* Of at most BN_SOME channels. */
static void put_gradients(const struct bn_backward *j, size_t c, size_t count, const double *sum, const double *dot) {
    double dweight[BN_SOME];
    for (size_t i = 0; i < count; i++) dweight[i] = dot[i] * j->rstd[c + i];
    put(j->dbias, c, count, sum, j->flags);
    put(j->dweight, c, count, dweight, j->flags);
}

/* The sums of some channels, and the values that they are of. */
struct some_sums {
    double sum[BN_SOME], dot[BN_SOME], m[BN_SOME];
};

static void read_given(const struct bn_backward *j, size_t c, size_t count, struct some_sums *s) {
    for (size_t i = 0; i < count; i++) {
        s->sum[i] = j->given[c + i].dy;
        s->dot[i] = j->given[c + i].dy_d;
        s->m[i] = j->given[c + i].count;
    }
}

void bn_backward_numbers(const struct bn_backward *j, size_t channels) {
    struct some_sums s;
    for (size_t c = 0, count; c < channels; c += count) {
        count = bn_least(channels - c, BN_SOME);
        read_given(j, c, count, &s);
        put_gradients(j, c, count, s.sum, s.dot);
    }
}

/* From y: act^-1(y) - bias = s (x - mean), with s = weight rstd. So what is subtracted is the bias, the sum S[g (x - mean)] is
 * S[g (act^-1(y) - bias)] / s, and the factor of the difference in dx is that of x - mean, divided by s. */
static void set_bias(struct bn_pass *p) {
    const struct bn_backward *j = p->job;
    double *bias = p->own, *scale = bias + p->channels;
    for (size_t c = 0; c < p->channels; c++) {
        bias[c] = bn_vector_get(j->bias, c, 0);
        scale[c] = bn_vector_get(j->weight, c, 1) * j->rstd[c];
    }
    p->dot_unit = scale;
}

static const double zeros[BN_SOME];

/* Sets the coefficients of dx = scale * g. */
static void set_frozen(const struct bn_backward *j, struct bn_coefficients k, size_t c, size_t count, const double *scale) {
    if (j->gated)
        bn_set_blends(k, c, count, (struct bnk_blends){zeros, scale, zeros, zeros});
    else
        bn_set_affines(k, c, count, (struct bnk_affines){zeros, scale, zeros, NULL});
}

/* Sets the coefficients of dx = scale * (g - S[g]/m - (x - mean) rstd^2 S[g (x - mean)]/m). */
static void set_whole(const struct bn_pass *p, size_t c, size_t count, const double *mean, const double *scale,
                      const struct some_sums *s, bool from_y) {
    const double *rstd = ((const struct bn_backward *)p->job)->rstd + c;
    double pivot[BN_SOME], q[BN_SOME], addend[BN_SOME];
    bnk_table()->numbers->gradients(&(struct bnk_gradients){mean, scale, rstd, s->m, s->sum, s->dot, from_y}, count, pivot, q,
                                    addend);
    bn_set_blends(p->coefficients[0], c, count, (struct bnk_blends){pivot, scale, q, addend});
}

static void backward_some(const struct bn_pass *p, const struct bn_backward *j, size_t c, size_t count) {
    double scale[BN_SOME];
    struct some_sums s;
    bn_vector_read(j->weight, c, count, 1, scale);
    for (size_t i = 0; i < count; i++) {
        scale[i] *= j->rstd[c + i];
        s.m[i] = p->valid;
        s.sum[i] = s.dot[i] = 0;
    }
    if (p->reduces) bn_pass_read(p, 0, c, count, s.sum, s.dot);
    if (j->given) read_given(j, c, count, &s);
    for (size_t i = 0; i < count && j->sums; i++) {
        j->sums[c + i].count += s.m[i];
        j->sums[c + i].dy += s.sum[i];
        j->sums[c + i].dy_d += s.dot[i];
    }
    if (p->reduces || j->given) put_gradients(j, c, count, s.sum, s.dot);
    if (!p->writes) return;
    if (p->writes > 1) set_frozen(j, p->coefficients[1], c, count, scale);
    if (!is_frozen(j->flags) && (j->from_y || j->mean)) /* dz alone needs no mean */
        set_whole(p, c, count, j->from_y ? p->own + c : j->mean + c, scale, &s, j->from_y);
    else if (p->write[0].verb == BNK_BLEND)
        bn_set_blends(p->coefficients[0], c, count, (struct bnk_blends){zeros, scale, zeros, zeros});
    else
        set_frozen(j, p->coefficients[0], c, count, scale);
}

static void backward_coefficients(const struct bn_pass *p, size_t channel, size_t channels) {
    for (size_t c = channel, end = channel + channels; c < end; c += BN_SOME)
        backward_some(p, p->job, c, bn_least(end - c, BN_SOME));
}

/* Sets the coefficients with which v is computed again: those of the forward. */
static void backward_gates(const struct bn_pass *p, size_t channel, size_t channels) {
    const struct bn_backward *j = p->job;
    for (size_t c = channel; c < channel + channels; c++) {
        double scale = bn_vector_get(j->weight, c, 1) * j->rstd[c];
        bn_set_gate(p->coefficients[0], c, j->mean[c], scale, bn_vector_get(j->bias, c, 0));
        if (p->writes > 1) bn_set_gate(p->coefficients[1], c, j->mean[c], scale, bn_vector_get(j->bias, c, 0));
    }
}

/* Makes the first write go by the mask, and the other by what is left. That one writes dx = scale * g, without x, which may be
 * anything where it does not count. */
static void split_by_mask(struct bn_pass *p) {
    for (int i = 0; i < 2; i++) {
        p->write[i].masked = true;
        p->write[i].when = i == 0;
    }
    p->write[1].without_x = true;
}

/* Without dx the statistics play no part, and count as frozen. */
void bn_build_backward(struct bn_pass *p, const struct bn_geometry *g, const void *job) {
    const struct bn_backward *j = job;
    bool dx = bn_is_there(g, BN_DX), identity = j->activation.kind == BATCHNORM_IDENTITY;
    const bool gathers = j->sums || j->nodes;
    bool sums = j->dweight.data || j->dbias.data || gathers, frozen = is_frozen(j->flags) || !(dx || sums);
    bool by_y = j->gated && !identity && !j->from_y && bn_is_there(g, BN_Y), by_dy = j->gated && identity;
    unsigned facts = fact(frozen, FROZEN) | fact((sums || !frozen) && !j->given, SUMS) | fact(bn_is_there(g, BN_X), X) |
                     fact(dx, DX) | fact(j->gated, GATED) | fact(by_y, BY_Y) | fact(by_dy, BY_DY) |
                     fact(dx || bn_is_there(g, BN_DZ), OUTPUT) | fact(j->from_y, FROM_Y) |
                     fact(dx && !frozen && g->mask.is_there && !g->mask.outputs, OTHER);
    bn_pass_build(p, g, backward, sizeof backward / sizeof *backward, facts, j->activation);
    p->write[0].without_x = frozen || !dx;
    if (p->writes > 1) split_by_mask(p);
    p->mean = j->mean;
    p->nodes = j->nodes;
    p->set_coefficients = backward_coefficients;
    const bool works = p->reduces + p->writes > 0; /* else there is no place for coefficients */
    if (works && j->gated && !by_y && !by_dy && !j->from_y) p->set_gates = backward_gates;
    if (j->from_y) {
        p->own_doubles = 2 * g->channels;
        p->set_mean = set_bias;
    }
    p->job = job;
}

/* forward mode */

static const struct bn_entry jvp[] = {
    {0, FROZEN, BNK_DOTS, false, 2, {{BN_TX, BNK_DY}, {BN_X, BNK_X}}},
    {0, 0, BNK_BLEND, false, 3, {{BN_TX, BNK_DY}, {BN_X, BNK_X}, {BN_TY, BNK_OUT}}},
};

static void jvp_coefficients(const struct bn_pass *p, size_t channel, size_t channels) {
    const struct bn_jvp *j = p->job;
    double m = (double)p->count;
    for (size_t c = channel; c < channel + channels; c++) {
        double rstd = j->rstd[c], scale = bn_vector_get(j->weight, c, 1) * rstd;
        double q = bn_vector_get(j->tweight, c, 0) * rstd, shift = bn_vector_get(j->tbias, c, 0);
        if (p->reduces) {
            struct bn_sums s = bn_pass_dots(p, 0, c);
            q -= scale * rstd * rstd * s.dot / m;
            shift -= scale * s.sum / m;
        }
        bn_set_blend(p->coefficients[0], c, j->mean[c], scale, q, shift);
    }
}

/* Without tweight a frozen tangent does not depend on x: y = tx * scale + tbias. */
static const struct bn_entry jvp_affine[] = {{0, 0, BNK_AFFINE, false, 2, {{BN_TX, BNK_X}, {BN_TY, BNK_OUT}}}};

static void jvp_affine_coefficients(const struct bn_pass *p, size_t channel, size_t channels) {
    const struct bn_jvp *j = p->job;
    for (size_t c = channel; c < channel + channels; c++)
        bn_set_affine(p->coefficients[0], c, 0, bn_vector_get(j->weight, c, 1) * j->rstd[c], bn_vector_get(j->tbias, c, 0));
}

void bn_build_jvp(struct bn_pass *p, const struct bn_geometry *g, const void *job) {
    const struct bn_jvp *j = job;
    bool frozen = is_frozen(j->flags), affine = frozen && !j->tweight.data;
    bn_pass_build(p, g, affine ? jvp_affine : jvp, affine ? 1 : 2, fact(frozen, FROZEN), bn_identity);
    p->mean = j->mean;
    p->set_coefficients = affine ? jvp_affine_coefficients : jvp_coefficients;
    p->job = job;
}

/* backward of backward. With S the sums over a channel of M values, d = x - mean, s = weight rstd, and cotangents vx, vweight,
 * vbias:
 *
 *     gdy     = E d + s vx + F, with
 *         E = vweight rstd - s rstd^2 S[vx d]/M
 *         F = vbias - s S[vx]/M
 *     gweight = rstd (S[dy vx] - S[dy]S[vx]/M - rstd^2 S[dy d]S[vx d]/M)
 *     gx      = A d + B dy + C vx + D, with
 *         A = s rstd^2 (S[dy]S[vx]/M - S[dy vx] + 3 rstd^2 S[dy d]S[vx d]/M) / M - vweight rstd^3 S[dy d]/M
 *         B = vweight rstd - s rstd^2 S[vx d]/M
 *         C = -s rstd^2 S[dy d]/M
 *         D = s rstd^2 (S[vx d]S[dy] + S[dy d]S[vx])/M^2 - vweight rstd S[dy]/M
 *
 * gx has three inputs: a blend with an addend, C vx, which is gated by the identity, so that it is rounded once. With frozen
 * statistics the sums over M are no part of the derivatives. */

/* The entries, by what they sum or write. */
enum { DY_D, VX_D, DY_VX, GX_FROZEN, GX_OF_DY, GX_OF_BOTH, GDY_OF_VX, GDY_OF_X };

/* clang-format off */
static const struct bn_entry double_backward[] = {
    [DY_D]       = {0,           FROZEN,      BNK_DOTS,   false, 2, {{BN_DY, BNK_DY}, {BN_X, BNK_X}}},
    [VX_D]       = {VX,          FROZEN,      BNK_DOTS,   false, 2, {{BN_VX, BNK_DY}, {BN_X, BNK_X}}},
    [DY_VX]      = {VX,          0,           BNK_DOTS,   false, 2, {{BN_DY, BNK_DY}, {BN_VX, BNK_X}}},
    [GX_FROZEN]  = {GX | FROZEN, 0,           BNK_AFFINE, false, 2, {{BN_DY, BNK_X}, {BN_GX, BNK_OUT}}},
    [GX_OF_DY]   = {GX,          FROZEN | VX, BNK_BLEND,  false, 3, {{BN_DY, BNK_DY}, {BN_X, BNK_X}, {BN_GX, BNK_OUT}}},
    [GX_OF_BOTH] = {GX | VX,     FROZEN,      BNK_BLEND,  true,  5, {{BN_DY, BNK_DY}, {BN_X, BNK_X}, {BN_DY, BNK_Y},
                                                                     {BN_VX, BNK_Z}, {BN_GX, BNK_OUT}}},
    [GDY_OF_VX]  = {GDY | VX,    0,           BNK_BLEND,  false, 3, {{BN_VX, BNK_DY}, {BN_X, BNK_X}, {BN_GDY, BNK_OUT}}},
    [GDY_OF_X]   = {GDY,         VX,          BNK_AFFINE, false, 2, {{BN_X, BNK_X}, {BN_GDY, BNK_OUT}}},
};
/* clang-format on */

/* The parameters and the sums of one channel; sums that the pass does not have are 0. */
struct channel {
    double m, mean, rstd, s, vweight, vbias;
    struct bn_sums dy, vx; /* sum, and dot with d */
    double dy_vx;
};

static struct bn_sums sums_of(const struct bn_pass *p, int entry, size_t c) {
    return p->at[entry] < 0 ? (struct bn_sums){0, 0} : bn_pass_dots(p, p->at[entry], c);
}

static void set_gx(const struct bn_pass *p, size_t c, const struct channel *k) {
    double r2 = k->rstd * k->rstd, m = k->m, v = k->vweight * k->rstd;
    if (p->at[GX_FROZEN] >= 0) bn_set_affine(p->coefficients[p->at[GX_FROZEN]], c, 0, v, 0);
    int at = p->at[GX_OF_DY] < 0 ? p->at[GX_OF_BOTH] : p->at[GX_OF_DY];
    if (at < 0) return;
    double s_r2 = k->s * k->rstd * k->rstd;
    double inner = k->dy.sum * k->vx.sum / m - k->dy_vx + 3 * r2 * k->dy.dot * k->vx.dot / m;
    double A = s_r2 * inner / m - v * r2 * k->dy.dot / m;
    double B = v - s_r2 * k->vx.dot / m;
    double C = -s_r2 * k->dy.dot / m;
    double D = s_r2 * (k->vx.dot * k->dy.sum + k->dy.dot * k->vx.sum) / (m * m) - v * k->dy.sum / m;
    bn_set_blend(p->coefficients[at], c, k->mean, B, A, D);
    if (p->at[GX_OF_BOTH] >= 0) bn_set_gate(p->coefficients[at], c, 0, C, 0);
}

/* Sets the coefficients of gdy = E d + s vx + F. */
static void set_gdy(const struct bn_pass *p, size_t c, const struct channel *k) {
    double v = k->vweight * k->rstd, r2 = k->rstd * k->rstd;
    bool frozen = p->at[VX_D] < 0;
    if (p->at[GDY_OF_X] >= 0) bn_set_affine(p->coefficients[p->at[GDY_OF_X]], c, k->mean, v, k->vbias);
    if (p->at[GDY_OF_VX] < 0) return;
    double E = frozen ? v : v - k->s * r2 * k->vx.dot / k->m;
    double F = frozen ? k->vbias : k->vbias - k->s * k->vx.sum / k->m;
    bn_set_blend(p->coefficients[p->at[GDY_OF_VX]], c, k->mean, k->s, E, F);
}

static void double_backward_coefficients(const struct bn_pass *p, size_t channel, size_t channels) {
    const struct bn_double_backward *j = p->job;
    for (size_t c = channel; c < channel + channels; c++) {
        struct channel k = {.m = (double)p->count, .mean = j->mean[c], .rstd = j->rstd[c]};
        k.s = bn_vector_get(j->weight, c, 1) * k.rstd;
        k.vweight = bn_vector_get(j->vweight, c, 0);
        k.vbias = bn_vector_get(j->vbias, c, 0);
        k.dy = sums_of(p, DY_D, c);
        k.vx = sums_of(p, VX_D, c);
        k.dy_vx = sums_of(p, DY_VX, c).dot;
        double centred = k.dy_vx;
        if (!is_frozen(j->flags)) centred -= (k.dy.sum * k.vx.sum + k.rstd * k.rstd * k.dy.dot * k.vx.dot) / k.m;
        bn_output_set(j->gweight, c, k.rstd * centred);
        set_gx(p, c, &k);
        set_gdy(p, c, &k);
    }
}

void bn_build_double_backward(struct bn_pass *p, const struct bn_geometry *g, const void *job) {
    const struct bn_double_backward *j = job;
    unsigned facts = fact(is_frozen(j->flags), FROZEN) | fact(bn_is_there(g, BN_VX), VX) | fact(bn_is_there(g, BN_GX), GX) |
                     fact(bn_is_there(g, BN_GDY), GDY);
    bn_pass_build(p, g, double_backward, sizeof double_backward / sizeof *double_backward, facts, bn_identity);
    p->mean = j->mean;
    p->set_coefficients = double_backward_coefficients;
    p->job = job;
}
