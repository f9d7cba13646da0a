/* SPDX-License-Identifier: MIT */
/* Convolutions and matrix products: what they are made of, and whether and how their weights can take over a batch norm. Longer
 * than 300 lines, because what is read of such a node is what a fold checks and changes. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/fold.h"
#include "model/round.h"

static bool refuse(char *why, const char *what) {
    snprintf(why, BN_NORM_TEXT, "%s", what);
    return false;
}

/* Reads weights or a bias that may be changed. */
static bool read_parameter(struct bn_fold *f, uint32_t use, const char *what, struct bn_constant *c, char *why) {
    const struct bn_onnx *o = f->onnx;
    char reason[BN_ONNX_BYTES];
    const struct bn_origin origin = bn_origin_of(o, o->uses[use].value);
    const struct bn_onnx_value *v = origin.value == BN_NONE ? NULL : &o->values[origin.value];
    const bool is_quantized = v && v->node != BN_NONE && bn_onnx_is(o, o->nodes[v->node].op, "DequantizeLinear");
    if (origin.is_runtime) {
        snprintf(why, BN_NORM_TEXT, is_quantized ? "the %s of the node are quantized" : "the %s of the node are no constant",
                 what);
        return false;
    }
    if (origin.is_override && !f->options.assume_constant) {
        snprintf(why, BN_NORM_TEXT, "the %s of the node are an input of the graph, which may be replaced (--assume-constant)",
                 what);
        return false;
    }
    const batchnorm_status status = bn_constant_view(o, o->uses[use].value, c, reason);
    if (status == BATCHNORM_NO_MEMORY) f->no_memory = true;
    if (status) snprintf(why, BN_NORM_TEXT, "the %s of the node: %.100s", what, reason);
    return !status;
}

static double number(const struct bn_onnx *o, const struct bn_onnx_node *n, const char *name, double absent) {
    const struct bn_onnx_attribute *a = bn_onnx_attribute(o, n, name);
    return a && a->has_f ? a->f : absent;
}

static bool kind_of(const struct bn_onnx *o, const struct bn_onnx_node *n, enum bn_linear_kind *kind) {
    static const char *const ops[] = {"Conv", "ConvTranspose", "Gemm", "MatMul"};
    for (int i = 0; i < 4; i++) {
        if (!bn_is_op(o, n, ops[i])) continue;
        *kind = (enum bn_linear_kind)i;
        return true;
    }
    return false;
}

/* Sets the counts of channels from the sizes of the weights. */
static bool set_sizes(struct bn_linear *l, const struct bn_onnx *o, const struct bn_onnx_node *n, char *why) {
    const struct bn_constant *w = &l->weight;
    const bool is_convolution = l->kind == BN_CONV || l->kind == BN_CONV_TRANSPOSE;
    const int64_t groups = is_convolution ? bn_onnx_integer(o, n, "group", 1) : 1;
    if (is_convolution ? w->rank < 2 : w->rank != 2) return refuse(why, "its weights have another number of dimensions");
    l->transposed = l->kind == BN_GEMM && bn_onnx_integer(o, n, "transB", 0) != 0;
    const size_t first = (size_t)w->dims[0], second = (size_t)w->dims[1];
    if (groups < 1 || first % (size_t)groups != 0) return refuse(why, "its groups do not divide its channels");
    l->groups = (size_t)groups;
    l->taps = first && second ? w->count / first / second : 0;
    const bool outs_first = l->kind == BN_CONV || l->transposed;
    l->outs = outs_first ? first : second * l->groups;
    l->ins = outs_first ? second * l->groups : first;
    return w->count > 0 || refuse(why, "its weights have no element");
}

/* Spreads a bias over the channels; false if it does not lie along them. */
static bool spread_bias(struct bn_linear *l, const struct bn_constant *c, char *why) {
    const bool lies = c->count == 1 || (c->count == l->outs && (c->rank == 1 || (c->rank == 2 && c->dims[0] == 1)));
    if (!lies || (l->kind != BN_GEMM && c->count != l->outs)) return refuse(why, "its bias does not lie along its channels");
    for (size_t i = 0; i < l->outs; i++) l->out_shift[i] = l->beta * bn_constant_element(c, c->count == 1 ? 0 : i);
    return true;
}

void bn_linear_unload(const struct bn_onnx *o, struct bn_linear *l) {
    if (l->weight.raw) bn_map_forget(o->map, l->weight.raw, l->weight.count * bn_onnx_type_bytes(l->weight.type));
    free(l->weight.at);
    l->weight.at = NULL;
    l->weight.raw = NULL;
}

bool bn_linear_load(struct bn_fold *f, struct bn_linear *l) {
    char why[BN_ONNX_BYTES];
    const uint32_t value = f->onnx->uses[f->onnx->nodes[l->node].input + 1].value;
    const bool is_loaded = l->weight.at || l->weight.raw;
    if (!is_loaded && bn_constant_view(f->onnx, value, &l->weight, why)) f->no_memory = true;
    return l->weight.at || l->weight.raw;
}

static double *filled(size_t count, double value) {
    double *at = malloc((count ? count : 1) * sizeof *at);
    for (size_t i = 0; at && i < count; i++) at[i] = value;
    return at;
}

static bool read_linear(struct bn_fold *f, struct bn_linear *l, char *why) {
    const struct bn_onnx *o = f->onnx;
    const struct bn_onnx_node *n = &o->nodes[l->node];
    if (n->inputs < 2) return refuse(why, "it lacks an input");
    if (!read_parameter(f, n->input + 1, "weights", &l->weight, why)) return false;
    bn_linear_unload(o, l); /* its sizes are enough for now */
    if (!bn_is_float(l->weight.type)) return refuse(why, "its weights are no floats");
    if (!set_sizes(l, o, n, why)) return false;
    l->alpha = l->kind == BN_GEMM ? number(o, n, "alpha", 1) : 1;
    l->beta = l->kind == BN_GEMM ? number(o, n, "beta", 1) : 1;
    if (l->beta == 0) return refuse(why, "its beta is 0, so that it can have no bias");
    l->out_scale = filled(l->outs, 1);
    l->out_shift = filled(l->outs, 0);
    l->in_scale = filled(l->ins, 1);
    l->in_shift = filled(l->ins, 0);
    f->no_memory = f->no_memory || !l->out_scale || !l->out_shift || !l->in_scale || !l->in_shift;
    if (f->no_memory) return refuse(why, "no memory");
    const bool has_bias = n->inputs > 2 && o->uses[n->input + 2].name.at != o->uses[n->input + 2].name.end;
    if (!has_bias || l->kind == BN_MATMUL) return true;
    return read_parameter(f, n->input + 2, "biases", &l->bias, why) && spread_bias(l, &l->bias, why);
}

void bn_linear_free(struct bn_linear *l) {
    free(l->weight.at);
    free(l->bias.at);
    free(l->out_scale);
    free(l->out_shift);
    free(l->in_scale);
    free(l->in_shift);
}

struct bn_linear *bn_linear_of(struct bn_fold *f, uint32_t node, char *why) {
    struct bn_linear l = {.node = node};
    if (f->linear_of[node] != BN_NONE) return &f->linears[f->linear_of[node]];
    if (!kind_of(f->onnx, &f->onnx->nodes[node], &l.kind)) return NULL;
    if (f->linear_count == f->linear_room) {
        const size_t room = f->linear_room ? 2 * f->linear_room : 64;
        struct bn_linear *more = realloc(f->linears, room * sizeof *more);
        f->no_memory = f->no_memory || !more;
        if (!more) return refuse(why, "no memory"), NULL;
        f->linears = more;
        f->linear_room = room;
    }
    if (!read_linear(f, &l, why)) {
        bn_linear_free(&l);
        return NULL;
    }
    f->linears[f->linear_count] = l;
    f->linear_of[node] = (uint32_t)f->linear_count;
    return &f->linears[f->linear_count++];
}

/* The channels that an element of the weights joins, by its first two indices. */
struct bn_pair {
    size_t out, in;
};
static struct bn_pair pair_of(const struct bn_linear *l, size_t a, size_t b) {
    const size_t second = (size_t)l->weight.dims[1];
    if (l->kind == BN_CONV) return (struct bn_pair){a, a / (l->outs / l->groups) * second + b};
    if (l->kind == BN_CONV_TRANSPOSE) return (struct bn_pair){a / (l->ins / l->groups) * second + b, a};
    return l->transposed ? (struct bn_pair){a, b} : (struct bn_pair){b, a};
}

/* The scales of the weights that have the same first index: scale * of[second index]. */
struct scales {
    double scale;
    const double *of;
};
static struct scales scales_of(const struct bn_linear *l, size_t a) {
    const size_t second = (size_t)l->weight.dims[1];
    const bool outs_first = l->kind == BN_CONV || l->transposed;
    const size_t each = (outs_first ? l->outs : l->ins) / l->groups, group = a / each;
    if (outs_first) return (struct scales){l->out_scale[a], l->in_scale + group * second};
    return (struct scales){l->in_scale[a], l->out_scale + group * second};
}

void bn_linear_row(const struct bn_linear *l, size_t first, size_t count, double *to) {
    const size_t second = (size_t)l->weight.dims[1];
    size_t a = first / l->taps / second, b = first / l->taps % second, tap = first % l->taps;
    bn_constant_row(&l->weight, first, count, to);
    for (size_t i = 0; i < count; a++, b = 0) {
        const struct scales s = scales_of(l, a);
        if (l->taps == 1)
            for (; b < second && i < count; b++, i++) to[i] *= s.scale * s.of[b];
        else
            for (; b < second && i < count; b += tap == l->taps, tap = tap == l->taps ? 0 : tap) {
                const double scale = s.scale * s.of[b];
                for (; tap < l->taps && i < count; tap++, i++) to[i] *= scale;
            }
    }
}

enum { ROW = 1024 };

void bn_linear_bias(const struct bn_linear *l, double *bias) {
    const size_t second = (size_t)l->weight.dims[1];
    bool shifts = false;
    double row[ROW];
    for (size_t c = 0; c < l->outs; c++) bias[c] = l->out_shift[c];
    for (size_t c = 0; c < l->ins; c++) shifts = shifts || l->in_shift[c] != 0;
    for (size_t i = 0, n; i < l->weight.count && shifts; i += n) {
        n = l->weight.count - i < ROW ? l->weight.count - i : ROW;
        bn_constant_row(&l->weight, i, n, row);
        for (size_t k = 0; k < n; k++) {
            const struct bn_pair p = pair_of(l, (i + k) / l->taps / second, (i + k) / l->taps % second);
            bias[p.out] += l->alpha * l->out_scale[p.out] * row[k] * l->in_shift[p.in];
        }
    }
    for (size_t c = 0; c < l->outs; c++) bias[c] /= l->beta;
}

/* How much of the weights of each channel, squared, rounding takes away: those that go out, then those that come in. */
struct loss {
    double all, lost;
};

static bool keeps_digits(const struct bn_linear *l, struct loss *loss) {
    const size_t second = (size_t)l->weight.dims[1];
    double row[ROW];
    for (size_t i = 0, n; i < l->weight.count; i += n) {
        n = l->weight.count - i < ROW ? l->weight.count - i : ROW;
        bn_linear_row(l, i, n, row);
        for (size_t k = 0; k < n; k++) {
            const struct bn_pair p = pair_of(l, (i + k) / l->taps / second, (i + k) / l->taps % second);
            const double lost = row[k] - bn_rounded(l->weight.type, row[k]);
            struct loss *const of[] = {&loss[p.out], &loss[l->outs + p.in]};
            for (int side = 0; side < 2; side++) {
                of[side]->all += row[k] * row[k];
                of[side]->lost += lost * lost;
            }
        }
    }
    for (size_t c = 0; c < l->outs + l->ins; c++)
        if (bn_loses_digits(loss[c].all, loss[c].lost)) return false;
    return true;
}

/* Returns whether all weights and biases fit their type. Only those of F16 are often so small that they lose digits. Of other
 * types those that are flushed do; in what comes out that is nothing, but what goes in may be as large as they are small. */
static bool fits(struct bn_fold *f, struct bn_linear *l, bool outside, char *why) {
    const int32_t type = l->weight.type;
    double *bias = filled(l->outs, 0), row[ROW];
    struct loss *loss = calloc(l->outs + l->ins, sizeof *loss);
    bool ok = bias && loss && bn_linear_load(f, l), small = type == BN_ONNX_F16;
    f->no_memory = f->no_memory || !ok;
    if (ok) bn_linear_bias(l, bias);
    for (size_t c = 0; ok && c < l->outs; c++) ok = bn_fits(type, bias[c]);
    for (size_t i = 0, n; ok && i < l->weight.count; i += n) {
        n = l->weight.count - i < ROW ? l->weight.count - i : ROW;
        bn_linear_row(l, i, n, row);
        for (size_t k = 0; k < n; k++) {
            ok &= bn_fits(type, row[k]);
            small |= !outside && bn_is_flushed(type, row[k]);
        }
    }
    const bool is_lossy = ok && small && !keeps_digits(l, loss);
    free(bias);
    free(loss);
    bn_linear_unload(f->onnx, l);
    if (is_lossy) return refuse(why, "the folded weights would be too small for the digits of their type");
    return ok || refuse(why, "the folded weights would not fit their type, or are not finite");
}

/* Multiplies the numbers of a channel, repeated or combined where a Flatten lies between. */
static void apply(double *scale, double *shift, size_t count, const struct bn_affine *a, bool outside) {
    const size_t each = count / a->channels;
    for (size_t i = 0; i < count; i++) {
        const double k = a->k[i / each], b = a->b[i / each];
        if (outside) {
            scale[i] *= k;
            shift[i] = shift[i] * k + b;
        } else { /* scale (k x + b) + shift */
            shift[i] += scale[i] * b;
            scale[i] *= k;
        }
    }
}

/* Tries new numbers and keeps them only if it `applies` and the weights fit. */
static bool change(struct bn_fold *f, struct bn_linear *l, double *scale, double *shift, size_t count,
                   const struct bn_affine *a, bool outside, bool applies, char *why) {
    struct bn_affine old = {count, scale, shift}, kept = bn_affine_copy(&old);
    if (!kept.k) return f->no_memory = true, refuse(why, "no memory");
    apply(scale, shift, count, a, outside);
    const bool ok = applies || fits(f, l, outside, why); /* it was asked before */
    if (!ok || !applies) {
        memcpy(scale, kept.k, count * sizeof *scale);
        memcpy(shift, kept.b, count * sizeof *shift);
    } else {
        l->changes = true;
    }
    bn_affine_free(&kept);
    return ok;
}

bool bn_linear_after(struct bn_fold *f, struct bn_linear *l, const struct bn_affine *a, bool applies, char *why) {
    if (a->channels != l->outs) return refuse(why, "the node before it has another number of channels");
    return change(f, l, l->out_scale, l->out_shift, l->outs, a, true, applies, why);
}

/* Returns whether a convolution surrounds its input with zeros. */
static bool is_padded(const struct bn_onnx *o, const struct bn_onnx_node *n) {
    const struct bn_onnx_attribute *pads = bn_onnx_attribute(o, n, "pads"), *how = bn_onnx_attribute(o, n, "auto_pad");
    double *at;
    size_t count;
    char why[BN_ONNX_BYTES];
    bool padded = how && !bn_onnx_is(o, how->s, "NOTSET") && !bn_onnx_is(o, how->s, "VALID");
    if (!pads) return padded;
    if (bn_onnx_numbers(o, pads, false, &at, &count, why)) return true;
    for (size_t i = 0; i < count; i++) padded = padded || at[i] != 0;
    free(at);
    return padded;
}

bool bn_linear_before(struct bn_fold *f, struct bn_linear *l, const struct bn_affine *a, bool applies, char *why) {
    const struct bn_onnx_node *n = &f->onnx->nodes[l->node];
    const bool is_gemm = l->kind == BN_GEMM || l->kind == BN_MATMUL;
    bool shifts = false;
    if (l->kind == BN_GEMM && bn_onnx_integer(f->onnx, n, "transA", 0) != 0) return refuse(why, "the Gemm after it has transA");
    if (a->channels == 0 || l->ins % a->channels != 0 || (!is_gemm && l->ins != a->channels))
        return refuse(why, "the node after it has another number of channels");
    for (size_t c = 0; c < a->channels; c++) shifts = shifts || a->b[c] != 0;
    if (shifts && l->kind == BN_CONV_TRANSPOSE)
        return refuse(why, "a ConvTranspose after it sums its shift a different number of times at the edges");
    if (shifts && l->kind == BN_CONV && is_padded(f->onnx, n))
        return refuse(why, "the Conv after it has padding, whose zeros do not get its shift");
    return change(f, l, l->in_scale, l->in_shift, l->ins, a, false, applies, why);
}
