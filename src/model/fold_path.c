/* SPDX-License-Identifier: MIT */
/* The way from a batch norm to what is linear, through nodes that do to every channel the same. A node on the way must have no
 * other user: it would see other numbers. Longer than 300 lines, because what may stand on the way up and on the way down is
 * one set of rules. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/fold.h"

/* Nodes on a way at most. */
enum { WAY_MAX = 64 };

struct bn_affine bn_affine_copy(const struct bn_affine *a) {
    const size_t bytes = (a->channels ? a->channels : 1) * sizeof(double);
    struct bn_affine copy = {a->channels, malloc(bytes), malloc(bytes)};
    if (!copy.k || !copy.b) {
        bn_affine_free(&copy);
        return copy;
    }
    memcpy(copy.k, a->k, a->channels * sizeof(double));
    memcpy(copy.b, a->b, a->channels * sizeof(double));
    return copy;
}

void bn_affine_free(struct bn_affine *a) {
    free(a->k);
    free(a->b);
    a->k = a->b = NULL;
}

__attribute__((format(printf, 2, 3))) static bool refuse(char *why, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, BN_NORM_TEXT, format, arguments);
    va_end(arguments);
    return false;
}

static int op_bytes(const struct bn_onnx_node *n) {
    const size_t bytes = n->op.end - n->op.at;
    return bytes < 40 ? (int)bytes : 40;
}
static const char *op_text(const struct bn_onnx *o, const struct bn_onnx_node *n) {
    return (const char *)o->map->base + n->op.at;
}

static bool is_any(const struct bn_onnx *o, const struct bn_onnx_node *n, const char *const *ops) {
    for (; *ops; ops++)
        if (bn_is_op(o, n, *ops)) return true;
    return false;
}

/* Returns an axis, counted from the front; below 0 if the file does not tell. */
static int64_t axis_of(const struct bn_onnx *o, const struct bn_onnx_node *n, uint32_t value, int64_t absent) {
    const int64_t axis = bn_onnx_integer(o, n, "axis", absent);
    const int rank = bn_rank_of(o, value);
    return axis >= 0 || rank < 0 ? axis : axis + rank;
}

/* Returns whether the axes of a Squeeze or Unsqueeze all lie behind the channels. */
static bool leaves_channels(const struct bn_onnx *o, const struct bn_onnx_node *n) {
    struct bn_constant axes;
    char why[BN_ONNX_BYTES];
    const bool squeezes = bn_is_op(o, n, "Squeeze");
    const int rank = bn_rank_of(o, o->uses[n->input].value);
    if (bn_axes_read(o, n, &axes, why)) return false;
    bool ok = true;
    for (size_t i = 0; i < axes.count; i++) {
        double axis = axes.at[i];
        if (axis < 0 && rank < 0) ok = false;
        if (axis < 0) axis += squeezes ? rank : rank + (double)axes.count;
        ok = ok && axis >= 2;
    }
    free(axes.at);
    return ok;
}

static bool is_dropout_off(const struct bn_onnx *o, const struct bn_onnx_node *n) {
    struct bn_constant mode;
    char why[BN_ONNX_BYTES];
    if (bn_opset_of(o, n->graph) < 7) return bn_onnx_integer(o, n, "is_test", 0) != 0;
    if (n->inputs < 3 || o->uses[n->input + 2].name.at == o->uses[n->input + 2].name.end) return true;
    if (n->inputs > 3 || bn_constant_read(o, o->uses[n->input + 2].value, &mode, why)) return false;
    const bool off = mode.count == 1 && mode.at[0] == 0;
    free(mode.at);
    return off;
}

/* Returns whether every average is over elements alone, not over zeros around them. */
static bool averages_elements(const struct bn_onnx *o, const struct bn_onnx_node *n) {
    return bn_onnx_integer(o, n, "count_include_pad", 0) == 0 && bn_opset_of(o, n->graph) >= 7;
}

static bool is_any_negative(const struct bn_affine *a) {
    for (size_t c = 0; c < a->channels; c++)
        if (!(a->k[c] >= 0)) return true;
    return false;
}

static bool has_shift(const struct bn_affine *a) {
    for (size_t c = 0; c < a->channels; c++)
        if (a->b[c] != 0) return true;
    return false;
}

/* Returns whether k v + b may be done before a node as well as after it. */
static bool commutes(const struct bn_onnx *o, const struct bn_onnx_node *n, const struct bn_affine *a, char *why) {
    static const char *const free_ones[] = {"Identity", "GlobalAveragePool", NULL};
    if (is_any(o, n, free_ones)) return true;
    if (bn_is_op(o, n, "Flatten")) return axis_of(o, n, o->uses[n->input].value, 1) == 1; /* the channels are counted later */
    if (bn_is_op(o, n, "Dropout")) return is_dropout_off(o, n) || refuse(why, "a Dropout of training is between");
    if (bn_is_op(o, n, "Squeeze") || bn_is_op(o, n, "Unsqueeze"))
        return leaves_channels(o, n) || refuse(why, "a %.*s between moves its channels", op_bytes(n), op_text(o, n));
    if (bn_is_op(o, n, "AveragePool"))
        return averages_elements(o, n) || !has_shift(a) || refuse(why, "an AveragePool between counts zeros around its input");
    if (bn_is_op(o, n, "MaxPool") && n->outputs > 1 && o->uses[n->output + 1].value != BN_NONE)
        return refuse(why, "a MaxPool between that tells where its maxima are, which rounding may move");
    if (bn_is_op(o, n, "MaxPool") || bn_is_op(o, n, "GlobalMaxPool"))
        return !is_any_negative(a) || refuse(why, "a %.*s between, and a scale is negative", op_bytes(n), op_text(o, n));
    return false;
}

/* A Mul, Add, Sub or Div by constants of each channel: v becomes m v + c. */
struct step {
    uint32_t input; /* the use that is no constant */
    struct bn_affine by;
};

/* Returns whether a constant lies along the channels of a value of that rank. */
static bool lies_along_channels(const struct bn_onnx *o, const struct bn_onnx_node *n, const struct bn_constant *c, int rank,
                                size_t channels) {
    if (bn_opset_of(o, n->graph) < 7 &&
        !(c->rank == 1 && bn_onnx_integer(o, n, "broadcast", 0) != 0 && bn_onnx_integer(o, n, "axis", -1) == 1))
        return c->count == 1 && bn_onnx_integer(o, n, "broadcast", 0) != 0;
    if (bn_opset_of(o, n->graph) < 7) return c->count == channels;
    if (c->count == 1 && (c->rank == 0 || (rank >= 0 && c->rank <= rank))) return true;
    if (rank < 0 || c->rank > rank || c->count != channels) return false;
    for (int d = 0; d < c->rank; d++)
        if (c->dims[d] != 1 && rank - c->rank + d != 1) return false;
    return true;
}

/* Sets m and c from the constant and the operator. */
static bool set_step(const struct bn_onnx *o, const struct bn_onnx_node *n, const struct bn_constant *c, bool is_first,
                     struct bn_affine *by) {
    const bool is_add = bn_is_op(o, n, "Add"), is_sub = bn_is_op(o, n, "Sub"), is_div = bn_is_op(o, n, "Div");
    if (is_div && is_first) return false; /* constant / v */
    for (size_t i = 0; i < by->channels; i++) {
        const double number = c->at[c->count == 1 ? 0 : i];
        by->k[i] = is_add ? 1 : is_sub ? (is_first ? -1 : 1) : is_div ? 1 / number : number;
        by->b[i] = is_add ? number : is_sub ? (is_first ? number : -number) : 0;
        if (!isfinite(by->k[i]) || !isfinite(by->b[i])) return false;
    }
    return true;
}

/* Returns whether a node is such a step for so many channels. Free step->by then. */
static bool is_step(struct bn_fold *f, const struct bn_onnx_node *n, size_t channels, struct step *step) {
    static const char *const ops[] = {"Mul", "Add", "Sub", "Div", NULL};
    const struct bn_onnx *o = f->onnx;
    if (!is_any(o, n, ops) || n->inputs != 2 || n->outputs != 1) return false;
    for (uint32_t i = 0; i < 2; i++) {
        const uint32_t other = n->input + 1 - i, constant = n->input + i;
        const struct bn_origin origin = bn_origin_of(o, o->uses[constant].value);
        struct bn_constant c;
        char why[BN_ONNX_BYTES];
        if (origin.is_runtime || (origin.is_override && !f->options.assume_constant)) continue;
        if (bn_constant_read(o, o->uses[constant].value, &c, why)) continue;
        step->input = other;
        step->by =
            (struct bn_affine){channels, malloc((channels + 1) * sizeof(double)), malloc((channels + 1) * sizeof(double))};
        f->no_memory = f->no_memory || !step->by.k || !step->by.b;
        const bool ok = step->by.k && step->by.b &&
                        lies_along_channels(o, n, &c, bn_rank_of(o, o->uses[other].value), channels) &&
                        set_step(o, n, &c, i == 0, &step->by);
        free(c.at);
        if (ok) return true;
        bn_affine_free(&step->by);
    }
    return false;
}

/* The node is gone, and what computes its input computes its output. */
void bn_fold_bypass_up(struct bn_fold *f, uint32_t node, uint32_t input_use) {
    struct bn_onnx *o = f->onnx;
    const uint32_t in = o->uses[input_use].value, out = o->uses[o->nodes[node].output].value;
    const struct bn_onnx_node *maker = &o->nodes[o->values[in].node];
    for (uint32_t i = maker->output; i < maker->output + maker->outputs; i++)
        if (o->uses[i].value == in) o->uses[i].value = out;
    o->values[out].node = o->values[in].node;
    if (o->values[out].rank < 0) o->values[out].rank = o->values[in].rank;
    o->values[in].node = BN_NONE;
    o->values[in].uses = 0;
    f->gone[node] = true;
}

/* The node is gone, and what takes its output takes its input. */
void bn_fold_bypass_down(struct bn_fold *f, uint32_t node, uint32_t input_use) {
    struct bn_onnx *o = f->onnx;
    const uint32_t in = o->uses[input_use].value, out = o->uses[o->nodes[node].output].value, user = o->values[out].user;
    const struct bn_onnx_node *n = &o->nodes[user];
    for (uint32_t i = n->input; i < n->input + n->inputs; i++)
        if (o->uses[i].value == out) o->uses[i].value = in;
    if (o->values[in].user == node) o->values[in].user = user;
    o->values[out].uses = 0;
    o->values[out].node = BN_NONE;
    f->gone[node] = true;
}

/* Returns whether one node alone sees a value. */
static bool is_private(const struct bn_onnx *o, uint32_t value, uint32_t graph, char *why) {
    const struct bn_onnx_value *v = &o->values[value];
    if (v->is_doubtful) return refuse(why, "a name between is defined twice");
    if (v->is_output) return refuse(why, "a value between is an output of the graph");
    if (v->uses > 1) return refuse(why, "a value between has %u users", v->uses);
    return v->graph == graph || refuse(why, "a value between is of another graph");
}

/* first(second(v)) as one */
static void combine(struct bn_affine *to, const struct bn_affine *first, const struct bn_affine *second) {
    for (size_t c = 0; c < to->channels; c++) {
        const double k = first->k[c] * second->k[c], b = first->k[c] * second->b[c] + first->b[c];
        to->k[c] = k;
        to->b[c] = b;
    }
}

static bool up_within(struct bn_fold *f, uint32_t value, struct bn_affine *a, bool applies, uint32_t *target, int steps,
                      char *why);

/* Channels of a value that a Concat joins: those of the linear node, or of a constant size; 0: unknown. */
static size_t channels_of(struct bn_fold *f, uint32_t value, int steps) {
    const struct bn_onnx *o = f->onnx;
    char why[BN_NORM_TEXT];
    if (value == BN_NONE || steps == 0 || o->values[value].node == BN_NONE) return 0;
    const struct bn_onnx_node *n = &o->nodes[o->values[value].node];
    const struct bn_linear *l = bn_linear_of(f, o->values[value].node, why);
    if (l) return l->outs;
    const uint32_t norm = f->norm_of[o->values[value].node];
    if (norm != BN_NONE) return f->norms.at[norm].channels;
    static const char *const same[] = {"Identity",      "Dropout", "AveragePool", "MaxPool", "GlobalAveragePool",
                                       "GlobalMaxPool", "Relu",    "Clip",        NULL};
    if (is_any(o, n, same) && n->inputs > 0) return channels_of(f, o->uses[n->input].value, steps - 1);
    if (!bn_is_op(o, n, "Concat") || axis_of(o, n, value, -1) != 1) return 0;
    size_t all = 0;
    for (uint32_t i = 0; i < n->inputs; i++) {
        const size_t part = channels_of(f, o->uses[n->input + i].value, steps - 1);
        if (part == 0) return 0;
        all += part;
    }
    return all;
}

static bool up_concat(struct bn_fold *f, const struct bn_onnx_node *n, struct bn_affine *a, bool applies, uint32_t *target,
                      int steps, char *why) {
    const struct bn_onnx *o = f->onnx;
    if (axis_of(o, n, o->uses[n->output].value, -1) != 1) return refuse(why, "a Concat between does not join channels");
    size_t first = 0;
    for (uint32_t i = 0; i < n->inputs; i++) {
        const uint32_t value = o->uses[n->input + i].value;
        const size_t part = channels_of(f, value, steps);
        if (part == 0 || part > a->channels - first) return refuse(why, "what a Concat between joins is not linear");
        struct bn_affine some = {part, a->k + first, a->b + first}, own = bn_affine_copy(&some);
        if (!own.k) return f->no_memory = true, refuse(why, "no memory");
        const bool ok = up_within(f, value, &own, applies, target, steps - 1, why);
        bn_affine_free(&own);
        if (!ok) return false;
        first += part;
    }
    *target = (uint32_t)(n - o->nodes);
    return first == a->channels || refuse(why, "a Concat between has another number of channels");
}

/* A step by constants takes part in k v + b, and goes. */
static bool up_step(struct bn_fold *f, uint32_t node, struct step *step, struct bn_affine *a, bool applies, uint32_t *target,
                    int steps, char *why) {
    combine(a, a, &step->by);
    bn_affine_free(&step->by);
    const uint32_t input = step->input;
    if (!up_within(f, f->onnx->uses[input].value, a, applies, target, steps - 1, why)) return false;
    if (applies) bn_fold_bypass_up(f, node, input);
    return true;
}

/* Into the batch norm before. */
static bool up_norm(struct bn_fold *f, uint32_t node, const struct bn_affine *a, bool applies, char *why) {
    const uint32_t i = f->norm_of[node];
    struct bn_norm *n = i == BN_NONE ? NULL : &f->norms.at[i];
    if (!n || n->wrong[0] || n->is_training || n->was_spatial || (n->is_override && !f->options.assume_constant) ||
        n->channels != a->channels)
        return refuse(why, "the batch norm before it cannot be changed");
    for (size_t c = 0; c < n->channels && applies; c++) {
        n->array[BN_SCALE][c] *= a->k[c];
        n->array[BN_SHIFT][c] = n->array[BN_SHIFT][c] * a->k[c] + a->b[c];
    }
    if (applies) f->rescaled[i] = true;
    return true;
}

/* A MatMul that gets a bias becomes a Gemm, which spreads one over its rows from opset 7 on. */
static bool matmul_is_flat(const struct bn_onnx *o, uint32_t value, char *why) {
    const int rank = bn_rank_of(o, value);
    if (bn_opset_of(o, o->values[value].graph) < 7) return refuse(why, "a MatMul of an opset before 7");
    if (rank == 2) return true;
    return rank < 0
               ? refuse(why, "the file does not tell how many dimensions its input has")
               : refuse(why,
                        "a MatMul of %d dimensions has its features in the last one, a batch norm its channels in the second",
                        rank);
}

static bool up_linear(struct bn_fold *f, uint32_t value, uint32_t node, const struct bn_affine *a, bool applies, char *why) {
    why[0] = '\0';
    struct bn_linear *l = bn_linear_of(f, node, why);
    if (!l)
        return why[0] ? false
                      : refuse(why, "a %.*s is before it", op_bytes(&f->onnx->nodes[node]),
                               op_text(f->onnx, &f->onnx->nodes[node]));
    if (l->kind == BN_MATMUL && !matmul_is_flat(f->onnx, value, why)) return false;
    return bn_linear_after(f, l, a, applies, why);
}

static bool up_within(struct bn_fold *f, uint32_t value, struct bn_affine *a, bool applies, uint32_t *target, int steps,
                      char *why) {
    const struct bn_onnx *o = f->onnx;
    struct step step;
    if (value == BN_NONE || steps == 0) return refuse(why, "the way to what is linear is too long");
    const uint32_t node = o->values[value].node;
    if (node == BN_NONE) return refuse(why, "its input is not computed in this graph");
    const struct bn_onnx_node *n = &o->nodes[node];
    if (!is_private(o, value, n->graph, why)) return false;
    if (bn_is_op(o, n, "Concat")) return up_concat(f, n, a, applies, target, steps, why);
    if (bn_is_op(o, n, "BatchNormalization")) {
        *target = node;
        return up_norm(f, node, a, applies, why);
    }
    if (is_step(f, n, a->channels, &step)) return up_step(f, node, &step, a, applies, target, steps, why);
    why[0] = '\0';
    if (n->inputs > 0 && commutes(o, n, a, why))
        return up_within(f, o->uses[n->input].value, a, applies, target, steps - 1, why);
    if (why[0]) return false;
    *target = node;
    return up_linear(f, value, node, a, applies, why);
}

bool bn_fold_up(struct bn_fold *f, uint32_t value, struct bn_affine *a, bool applies, uint32_t *target, char *why) {
    struct bn_affine own = bn_affine_copy(a);
    if (!own.k) return f->no_memory = true, refuse(why, "no memory");
    const bool ok = up_within(f, value, &own, applies, target, WAY_MAX, why);
    bn_affine_free(&own);
    return ok;
}

static bool down_within(struct bn_fold *f, uint32_t value, struct bn_affine *a, bool applies, uint32_t *target, int steps,
                        char *why) {
    const struct bn_onnx *o = f->onnx;
    struct step step;
    if (steps == 0) return refuse(why, "the way to what is linear is too long");
    const struct bn_onnx_value *v = &o->values[value];
    if (v->uses == 0) return refuse(why, v->is_output ? "its output is one of the graph" : "nobody takes its output");
    const uint32_t node = v->user;
    const struct bn_onnx_node *n = &o->nodes[node];
    if (!is_private(o, value, n->graph, why)) return false;
    if (is_step(f, n, a->channels, &step)) {
        combine(a, &step.by, a);
        bn_affine_free(&step.by);
        const uint32_t input = step.input;
        if (!down_within(f, o->uses[n->output].value, a, applies, target, steps - 1, why)) return false;
        if (applies) bn_fold_bypass_down(f, node, input);
        return true;
    }
    if (o->uses[n->input].value != value) return refuse(why, "a %.*s is after it", op_bytes(n), op_text(o, n));
    why[0] = '\0';
    if (n->outputs > 0 && commutes(o, n, a, why))
        return down_within(f, o->uses[n->output].value, a, applies, target, steps - 1, why);
    if (why[0]) return false;
    *target = node;
    struct bn_linear *l = bn_linear_of(f, node, why);
    if (!l) return why[0] ? false : refuse(why, "a %.*s is after it", op_bytes(n), op_text(o, n));
    if (l->kind == BN_MATMUL && !matmul_is_flat(o, value, why)) return false;
    return bn_linear_before(f, l, a, applies, why);
}

bool bn_fold_down(struct bn_fold *f, uint32_t value, struct bn_affine *a, bool applies, uint32_t *target, char *why) {
    struct bn_affine own = bn_affine_copy(a);
    if (!own.k) return f->no_memory = true, refuse(why, "no memory");
    const bool ok = down_within(f, value, &own, applies, target, WAY_MAX, why);
    bn_affine_free(&own);
    return ok;
}

void bn_fold_steps(struct bn_fold *f, size_t norm) {
    struct bn_norm *b = &f->norms.at[norm];
    const struct bn_onnx *o = f->onnx;
    char why[BN_NORM_TEXT];
    for (int steps = 0; steps < WAY_MAX; steps++) {
        const uint32_t value = o->uses[o->nodes[b->node].output].value;
        struct step step;
        if (value == BN_NONE || o->values[value].uses != 1 || !is_private(o, value, o->nodes[b->node].graph, why)) return;
        const uint32_t user = o->values[value].user;
        if (o->nodes[user].graph != o->nodes[b->node].graph || !is_step(f, &o->nodes[user], b->channels, &step)) return;
        for (size_t c = 0; c < b->channels; c++) {
            b->array[BN_SCALE][c] *= step.by.k[c];
            b->array[BN_SHIFT][c] = b->array[BN_SHIFT][c] * step.by.k[c] + step.by.b[c];
        }
        f->rescaled[norm] = true;
        bn_affine_free(&step.by);
        bn_fold_bypass_up(f, user, step.input);
    }
}
