/* SPDX-License-Identifier: MIT */
/* Gradients of the gradients. With S the sums over a channel of M values, d = x - mean, and cotangents vx, vweight, vbias:
 *
 *     gdy     = scale * (vx - S[vx]/M - rstd^2 d S[vx d]/M) + vweight rstd d + vbias
 *     gweight = rstd * (S[dy vx] - S[dy]S[vx]/M - rstd^2 S[dy d]S[vx d]/M)
 *     gx      = A d + B dy + C vx + D
 *
 * gx has three inputs: a blend with an addend, which is gated by the identity, so that it is rounded once. */
#include "plan/pass.h"

#define USE(array, role)                                                                                                       \
    { array, BN_AS_##role }
static const struct bn_use dy_x[] = {USE(BN_DY, DY), USE(BN_X, X)}, vx_x[] = {USE(BN_VX, DY), USE(BN_X, X)},
                           dy_vx[] = {USE(BN_DY, DY), USE(BN_VX, X)};
static const struct bn_use dy_x_gx[] = {USE(BN_DY, DY), USE(BN_X, X), USE(BN_GX, OUT)},
                           dy_x_vx_gx[] = {USE(BN_DY, DY), USE(BN_X, X), USE(BN_DY, Y), USE(BN_VX, Z), USE(BN_GX, OUT)},
                           vx_x_gdy[] = {USE(BN_VX, DY), USE(BN_X, X), USE(BN_GDY, OUT)};
static const struct bn_use dy_gx[] = {USE(BN_DY, X), USE(BN_GX, OUT)}, x_gdy[] = {USE(BN_X, X), USE(BN_GDY, OUT)};
#undef USE

/* Which arrays are there. */
struct has {
    bool frozen, vx, gx, gdy;
};

/* Where the pass has what; -1 where it has it not. */
struct places {
    int dy_x, vx_x, dy_vx; /* reductions */
    int gx, gdy;           /* writes */
};

struct double_job {
    const struct bn_double_backward *j;
    struct has has;
    struct places at;
};

static int reduce(struct bn_pass *p, const struct bn_geometry *g, const struct bn_use *use, bool mean_of_x) {
    bn_pass_reduce(p, g, BN_DOTS, 2, use)->mean_of_x = mean_of_x;
    return p->reduces - 1;
}

static int write(struct bn_pass *p, const struct bn_geometry *g, enum bn_verb verb, int arrays, const struct bn_use *use) {
    bn_pass_write(p, g, verb, arrays, use);
    return p->writes - 1;
}

static int write_with_addend(struct bn_pass *p, const struct bn_geometry *g) {
    struct bn_sweep *s = bn_pass_write(p, g, BN_BLEND, 5, dy_x_vx_gx);
    s->active = true;
    s->act = bn_act_of((batchnorm_activation){BATCHNORM_IDENTITY, 0});
    return p->writes - 1;
}

static struct places double_pass(struct bn_pass *p, const struct bn_geometry *g, struct has h) {
    struct places at = {-1, -1, -1, -1, -1};
    if (!h.frozen) at.dy_x = reduce(p, g, dy_x, true);
    if (!h.frozen && h.vx) at.vx_x = reduce(p, g, vx_x, true);
    if (h.vx) at.dy_vx = reduce(p, g, dy_vx, false);
    if (h.gx && h.frozen) at.gx = write(p, g, BN_AFFINE, 2, dy_gx);
    if (h.gx && !h.frozen && !h.vx) at.gx = write(p, g, BN_BLEND, 3, dy_x_gx);
    if (h.gx && !h.frozen && h.vx) at.gx = write_with_addend(p, g);
    if (h.gdy && h.vx) at.gdy = write(p, g, BN_BLEND, 3, vx_x_gdy);
    if (h.gdy && !h.vx) at.gdy = write(p, g, BN_AFFINE, 2, x_gdy);
    return at;
}

/* The sums and parameters of one channel. */
struct channel {
    double m, mean, rstd, scale, vweight, vbias;
    struct bn_sums dy, vx; /* sum, and dot with x - mean */
    double dy_vx;
};

static struct bn_sums sums_at(const struct bn_pass *p, int reduction, size_t c) {
    return reduction < 0 ? (struct bn_sums){0, 0} : bn_pass_dots(p, reduction, c);
}

static void set_gx(const struct bn_pass *p, const struct double_job *d, size_t c, const struct channel *k) {
    if (d->at.gx < 0) return;
    double r2 = k->rstd * k->rstd, m = k->m, v = k->vweight * k->rstd;
    if (d->has.frozen) {
        bn_set_affine(p->table[d->at.gx], c, 0, v, 0, false);
        return;
    }
    double s = k->scale * k->rstd; /* weight * rstd^2 */
    double a = k->dy.sum * k->vx.sum / m - k->dy_vx + 3 * r2 * k->dy.dot * k->vx.dot / m;
    double on_d = s * k->rstd * a / m - v * r2 * k->dy.dot / m;
    double on_dy = v - s * k->rstd * k->vx.dot / m;
    double rest = s * k->rstd * (k->vx.dot * k->dy.sum + k->dy.dot * k->vx.sum) / (m * m) - v * k->dy.sum / m;
    bn_set_blend(p->table[d->at.gx], c, k->mean, on_dy, on_d, rest);
    if (d->has.vx) bn_set_gate(p->table[d->at.gx], c, 0, -s * k->rstd * k->dy.dot / m, 0);
}

static void set_gdy(const struct bn_pass *p, const struct double_job *d, size_t c, const struct channel *k) {
    if (d->at.gdy < 0) return;
    double v = k->vweight * k->rstd, r2 = k->rstd * k->rstd;
    if (!d->has.vx) {
        bn_set_affine(p->table[d->at.gdy], c, k->mean, v, k->vbias, false);
        return;
    }
    double q = d->has.frozen ? v : v - k->scale * r2 * k->vx.dot / k->m;
    double s = d->has.frozen ? k->vbias : k->vbias - k->scale * k->vx.sum / k->m;
    bn_set_blend(p->table[d->at.gdy], c, k->mean, k->scale, q, s);
}

static void double_channel(const struct bn_pass *p, size_t c) {
    const struct double_job *d = p->job;
    const struct bn_double_backward *j = d->j;
    struct channel k = {.m = (double)p->count, .mean = j->mean[c], .rstd = j->rstd[c]};
    k.scale = bn_vector_get(j->weight, c, 1) * k.rstd;
    k.vweight = bn_vector_get(j->vweight, c, 0);
    k.vbias = bn_vector_get(j->vbias, c, 0);
    k.dy = sums_at(p, d->at.dy_x, c);
    k.vx = sums_at(p, d->at.vx_x, c);
    k.dy_vx = sums_at(p, d->at.dy_vx, c).dot;
    double centred = k.dy_vx;
    if (!d->has.frozen) centred -= (k.dy.sum * k.vx.sum + k.rstd * k.rstd * k.dy.dot * k.vx.dot) / k.m;
    bn_output_set(j->gweight, c, k.rstd * centred);
    set_gx(p, d, c, &k);
    set_gdy(p, d, c, &k);
}

static void double_numbers(const struct bn_pass *p, size_t channel, size_t channels) {
    for (size_t c = channel; c < channel + channels; c++) double_channel(p, c);
}

static void double_build(struct bn_pass *p, const struct bn_geometry *g, const struct bn_double_backward *job,
                         struct double_job *d) {
    bn_pass_start(p, g);
    d->j = job;
    d->has = (struct has){(job->flags & BATCHNORM_FROZEN) != 0, bn_is_there(g, BN_VX), bn_is_there(g, BN_GX),
                          bn_is_there(g, BN_GDY)};
    d->at = double_pass(p, g, d->has);
    p->mean = job->mean;
    p->numbers = double_numbers;
    p->job = d;
}

size_t bn_double_backward_bytes(const struct bn_geometry *g, const struct bn_double_backward *job) {
    struct double_job d;
    struct bn_pass p;
    double_build(&p, g, job, &d);
    return bn_pass_bytes(&p);
}

batchnorm_status bn_run_double_backward(const struct bn_geometry *g, const struct bn_double_backward *job,
                                        const struct bn_exec *exec) {
    struct double_job d;
    struct bn_pass p;
    double_build(&p, g, job, &d);
    return bn_pass_all(&p, exec);
}
