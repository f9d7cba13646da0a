/* SPDX-License-Identifier: MIT */
/* Gradients, forward-mode derivatives, and gradients of gradients: sums by `dots`, outputs by `blend`. With frozen statistics the
 * same formulas lose the terms that come from the statistics; where x then plays no part, it is not read. */
#include "plan/pass.h"

static const int dy_x[] = {BN_DY, BN_X}, dy_dy[] = {BN_DY, BN_DY}, dy_dx[] = {BN_DY, BN_DX}, dy_x_dx[] = {BN_DY, BN_X, BN_DX};

static bool is_frozen(unsigned flags) { return (flags & BATCHNORM_FROZEN) != 0; }

/* backward */

static void put(struct bn_output v, size_t c, double value, unsigned flags) {
    if (flags & BATCHNORM_ACCUMULATE)
        bn_output_add(v, c, value);
    else
        bn_output_set(v, c, value);
}

static void backward_numbers(const struct bn_pass *p, size_t c) {
    const struct bn_backward *j = p->job;
    double rstd = j->rstd[c], scale = bn_vector_get(j->weight, c, 1) * rstd, m = (double)p->count;
    struct bn_sums s = {0, 0};
    if (p->reduces) {
        s = bn_pass_dots(p, 0, c);
        put(j->dbias, c, s.sum, j->flags);
        put(j->dweight, c, s.dot * rstd, j->flags);
    }
    if (!p->writes) return;
    if (is_frozen(j->flags))
        bn_set_affine(p->table[0], c, 0, scale, 0, false);
    else
        bn_set_blend(p->table[0], c, j->mean[c], scale, -scale * rstd * rstd * s.dot / m, -scale * s.sum / m);
}

/* `x`, `dx`, `sums` say what is there or wanted. */
static void backward_pass(struct bn_pass *p, const struct bn_geometry *g, bool frozen, bool x, bool dx, bool sums) {
    if (sums || !frozen) {
        struct bn_sweep *s = bn_pass_reduce(p, g, BN_DOTS, 2, x ? dy_x : dy_dy);
        s->mean_of_x = x;
    }
    if (dx && frozen) bn_pass_write(p, g, BN_AFFINE, 2, dy_dx);
    if (dx && !frozen) bn_pass_write(p, g, BN_BLEND, 3, dy_x_dx);
    p->numbers = backward_numbers;
}

batchnorm_status bn_run_backward(const struct bn_geometry *g, const struct bn_backward *job, const batchnorm_exec *exec) {
    struct bn_pass p;
    bn_pass_start(&p, g, exec);
    p.mean = job->mean;
    backward_pass(&p, g, is_frozen(job->flags), g->array[BN_X].data != NULL, g->array[BN_DX].data != NULL,
                  job->dweight.data || job->dbias.data);
    p.job = job;
    return bn_pass_all(&p);
}

static size_t backward_bytes(const struct bn_geometry *g) {
    size_t most = 0;
    for (int i = 0; i < 4; i++) {
        struct bn_pass p;
        bn_pass_start(&p, g, NULL);
        backward_pass(&p, g, i & 1, i & 2, true, true);
        size_t bytes = bn_pass_bytes(&p);
        if (bytes > most) most = bytes;
    }
    return most;
}

/* forward mode */

static void jvp_numbers(const struct bn_pass *p, size_t c) {
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

static void jvp_pass(struct bn_pass *p, const struct bn_geometry *g, bool frozen) {
    if (!frozen) bn_pass_reduce(p, g, BN_DOTS, 2, dy_x)->mean_of_x = true;
    bn_pass_write(p, g, BN_BLEND, 3, dy_x_dx);
    p->numbers = jvp_numbers;
}

/* Without tweight a frozen tangent does not depend on x: y = tx * scale + tbias. */
static void jvp_affine_numbers(const struct bn_pass *p, size_t c) {
    const struct bn_jvp *j = p->job;
    bn_set_affine(p->table[0], c, 0, bn_vector_get(j->weight, c, 1) * j->rstd[c], bn_vector_get(j->tbias, c, 0), false);
}

batchnorm_status bn_run_jvp(const struct bn_geometry *g, const struct bn_jvp *job, const batchnorm_exec *exec) {
    struct bn_pass p;
    bn_pass_start(&p, g, exec);
    p.mean = job->mean;
    p.job = job;
    if (is_frozen(job->flags) && !job->tweight.data) {
        bn_pass_write(&p, g, BN_AFFINE, 2, dy_dx);
        p.numbers = jvp_affine_numbers;
    } else {
        jvp_pass(&p, g, is_frozen(job->flags));
    }
    return bn_pass_all(&p);
}

size_t bn_backward_bytes(const struct bn_geometry *g, batchnorm_operation operation) {
    if (operation == BATCHNORM_OP_BACKWARD) return backward_bytes(g);
    struct bn_pass p;
    bn_pass_start(&p, g, NULL);
    jvp_pass(&p, g, false);
    return bn_pass_bytes(&p);
}
