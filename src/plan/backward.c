/* SPDX-License-Identifier: MIT */
/* Gradients, forward-mode derivatives, and gradients of gradients: sums by `dots`, outputs by `blend`. With frozen statistics
 * the same formulas lose the terms that come from the statistics; where x then plays no part, it is not read. */
#include "plan/pass.h"

static const struct bn_use dy_x[] = {{BN_DY, BN_AS_DY}, {BN_X, BN_AS_X}}, dy_dy[] = {{BN_DY, BN_AS_DY}, {BN_DY, BN_AS_X}};
static const struct bn_use dy_x_dx[] = {{BN_DY, BN_AS_DY}, {BN_X, BN_AS_X}, {BN_DX, BN_AS_OUT}};
static const struct bn_use dy_to_dx[] = {{BN_DY, BN_AS_X}, {BN_DX, BN_AS_OUT}}; /* affine */
static const struct bn_use tx_x[] = {{BN_TX, BN_AS_DY}, {BN_X, BN_AS_X}};
static const struct bn_use tx_x_ty[] = {{BN_TX, BN_AS_DY}, {BN_X, BN_AS_X}, {BN_TY, BN_AS_OUT}};
static const struct bn_use tx_to_ty[] = {{BN_TX, BN_AS_X}, {BN_TY, BN_AS_OUT}}; /* affine */

static bool is_frozen(unsigned flags) { return (flags & BATCHNORM_FROZEN) != 0; }

/* backward */

static void put(struct bn_output v, size_t c, double value, unsigned flags) {
    if (flags & BATCHNORM_ACCUMULATE)
        bn_output_add(v, c, value);
    else
        bn_output_set(v, c, value);
}

static void backward_channel(const struct bn_pass *p, const struct bn_backward *j, size_t c) {
    double rstd = j->rstd[c], scale = bn_vector_get(j->weight, c, 1) * rstd, m = (double)p->count;
    struct bn_sums s = {0, 0};
    if (p->reduces) {
        s = bn_pass_dots(p, 0, c);
        put(j->dbias, c, s.sum, j->flags);
        put(j->dweight, c, s.dot * rstd, j->flags);
    }
    if (!p->writes) return;
    if (!is_frozen(j->flags) && j->mean) /* dz alone needs no mean */
        bn_set_blend(p->table[0], c, j->mean[c], scale, -scale * rstd * rstd * s.dot / m, -scale * s.sum / m);
    else if (j->gated)
        bn_set_blend(p->table[0], c, 0, scale, 0, 0);
    else
        bn_set_affine(p->table[0], c, 0, scale, 0, false);
}

static void backward_numbers(const struct bn_pass *p, size_t channel, size_t channels) {
    const struct bn_backward j = *(const struct bn_backward *)p->job; /* no store can change a copy */
    for (size_t c = channel; c < channel + channels; c++) backward_channel(p, &j, c);
}

/* v is computed again with the numbers of the forward. */
static void backward_gate(const struct bn_pass *p, size_t channel, size_t channels) {
    const struct bn_backward *j = p->job;
    for (size_t c = channel; c < channel + channels; c++) {
        double scale = bn_vector_get(j->weight, c, 1) * j->rstd[c];
        bn_set_gate(p->table[0], c, j->mean[c], scale, bn_vector_get(j->bias, c, 0));
    }
}

/* What is there or wanted. */
struct parts {
    bool frozen, gated, x, y, z, dx, dz, sums;
    bool identity; /* its derivative is 1 wherever v lies: dy, which is read anyway, then stands for y */
};

/* dy, what it is gated with, and x: for a reduction, or if `writes` for a write, which has outputs, too. */
static int gated_use(struct parts h, bool writes, struct bn_use *use) {
    int n = 0;
    use[n++] = (struct bn_use){BN_DY, BN_AS_DY};
    if (h.x) use[n++] = (struct bn_use){BN_X, BN_AS_X};
    if (h.y) use[n++] = (struct bn_use){h.identity ? BN_DY : BN_Y, BN_AS_Y};
    if (h.z && !h.y) use[n++] = (struct bn_use){BN_Z, BN_AS_Z};
    if (h.dx && writes) use[n++] = (struct bn_use){BN_DX, BN_AS_OUT};
    if (h.dz && writes) use[n++] = (struct bn_use){BN_DZ, BN_AS_DZ};
    return n;
}

static void gated_pass(struct bn_pass *p, const struct bn_geometry *g, struct parts h, batchnorm_activation activation) {
    struct bn_use use[BN_VIEW_ARRAYS];
    struct bn_sweep *reduce = NULL, *write = NULL;
    if (h.sums || !h.frozen) reduce = bn_pass_reduce(p, g, BN_DOTS, gated_use(h, false, use), use);
    if (h.dx || h.dz) write = bn_pass_write(p, g, BN_BLEND, gated_use(h, true, use), use);
    if (reduce) reduce->mean_of_x = h.x;
    if (write) write->without_x = h.frozen || !h.dx;
    for (int i = 0; i < 2; i++) {
        struct bn_sweep *s = i ? write : reduce;
        if (!s) continue;
        s->active = true;
        s->act = bn_act_of(activation);
    }
    p->has_gate = true;
    if (!h.y) p->gate = backward_gate;
}

static void backward_build(struct bn_pass *p, const struct bn_geometry *g, const struct bn_backward *job) {
    bn_pass_start(p, g);
    struct parts h = {.frozen = is_frozen(job->flags),
                      .gated = job->gated,
                      .x = bn_is_there(g, BN_X),
                      .y = bn_is_there(g, BN_Y),
                      .z = bn_is_there(g, BN_Z),
                      .dx = bn_is_there(g, BN_DX),
                      .dz = bn_is_there(g, BN_DZ),
                      .sums = job->dweight.data || job->dbias.data,
                      .identity = job->activation.kind == BATCHNORM_IDENTITY};
    h.y = h.y || (h.gated && h.identity);
    /* without dx the statistics play no part */
    if (!h.dx && !h.sums) h.frozen = true;
    p->mean = job->mean;
    p->numbers = backward_numbers;
    p->job = job;
    if (h.gated) {
        gated_pass(p, g, h, job->activation);
        return;
    }
    if (h.sums || !h.frozen) bn_pass_reduce(p, g, BN_DOTS, 2, h.x ? dy_x : dy_dy)->mean_of_x = h.x;
    if (h.dx && h.frozen) bn_pass_write(p, g, BN_AFFINE, 2, dy_to_dx);
    if (h.dx && !h.frozen) bn_pass_write(p, g, BN_BLEND, 3, dy_x_dx);
}

size_t bn_backward_bytes(const struct bn_geometry *g, const struct bn_backward *job) {
    struct bn_pass p;
    backward_build(&p, g, job);
    return bn_pass_bytes(&p);
}

batchnorm_status bn_run_backward(const struct bn_geometry *g, const struct bn_backward *job, const struct bn_exec *exec) {
    struct bn_pass p;
    backward_build(&p, g, job);
    return bn_pass_all(&p, exec);
}

/* forward mode */

static void jvp_channel(const struct bn_pass *p, size_t c) {
    const struct bn_jvp *j = p->job;
    double rstd = j->rstd[c], scale = bn_vector_get(j->weight, c, 1) * rstd, m = (double)p->count;
    double q = bn_vector_get(j->tweight, c, 0) * rstd, shift = bn_vector_get(j->tbias, c, 0);
    if (p->reduces) {
        struct bn_sums s = bn_pass_dots(p, 0, c);
        q -= scale * rstd * rstd * s.dot / m;
        shift -= scale * s.sum / m;
    }
    bn_set_blend(p->table[0], c, j->mean[c], scale, q, shift);
}

static void jvp_numbers(const struct bn_pass *p, size_t channel, size_t channels) {
    for (size_t c = channel; c < channel + channels; c++) jvp_channel(p, c);
}

/* Without tweight a frozen tangent does not depend on x: y = tx * scale + tbias. */
static void jvp_affine_numbers(const struct bn_pass *p, size_t channel, size_t channels) {
    const struct bn_jvp *j = p->job;
    for (size_t c = channel; c < channel + channels; c++)
        bn_set_affine(p->table[0], c, 0, bn_vector_get(j->weight, c, 1) * j->rstd[c], bn_vector_get(j->tbias, c, 0), false);
}

static void jvp_build(struct bn_pass *p, const struct bn_geometry *g, const struct bn_jvp *job) {
    bool frozen = is_frozen(job->flags);
    bn_pass_start(p, g);
    p->mean = job->mean;
    p->job = job;
    if (frozen && !job->tweight.data) {
        bn_pass_write(p, g, BN_AFFINE, 2, tx_to_ty);
        p->numbers = jvp_affine_numbers;
        return;
    }
    if (!frozen) bn_pass_reduce(p, g, BN_DOTS, 2, tx_x)->mean_of_x = true;
    bn_pass_write(p, g, BN_BLEND, 3, tx_x_ty);
    p->numbers = jvp_numbers;
}

size_t bn_jvp_bytes(const struct bn_geometry *g, const struct bn_jvp *job) {
    struct bn_pass p;
    jvp_build(&p, g, job);
    return bn_pass_bytes(&p);
}

batchnorm_status bn_run_jvp(const struct bn_geometry *g, const struct bn_jvp *job, const struct bn_exec *exec) {
    struct bn_pass p;
    jvp_build(&p, g, job);
    return bn_pass_all(&p, exec);
}
