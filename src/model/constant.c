/* SPDX-License-Identifier: MIT */
/* Constants, and the operators that compute one from others. Longer than 300 lines, because each of them is a function here. */
#include "model/constant.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Operators after each other that compute a constant, at most: each may have two inputs that are computed, too. */
enum { STEPS_MAX = 8 };

static const struct bn_onnx_node *maker(const struct bn_onnx *o, uint32_t value) {
    return o->values[value].node == BN_NONE ? NULL : &o->nodes[o->values[value].node];
}

bool bn_is_op(const struct bn_onnx *o, const struct bn_onnx_node *n, const char *op) {
    return !n->refers && bn_is_op_of(o, n, op);
}

bool bn_is_op_of(const struct bn_onnx *o, const struct bn_onnx_node *n, const char *op) {
    return bn_onnx_is(o, n->op, op) && (n->domain.at == n->domain.end || bn_onnx_is(o, n->domain, "ai.onnx"));
}

/* Returns whether an operator computes a constant from constants. */
static bool computes(const struct bn_onnx *o, const struct bn_onnx_node *n) {
    static const char *const ops[] = {"Unsqueeze", "Squeeze", "Reshape", "Flatten",         "Cast",  "CastLike", "Mul",
                                      "Add",       "Sub",     "Div",     "ConstantOfShape", "Expand"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (bn_is_op(o, n, ops[i])) return true;
    return false;
}

static struct bn_origin origin_within(const struct bn_onnx *o, uint32_t value, int steps) {
    const struct bn_origin unknown = {.tensor = BN_NONE, .value = value, .is_runtime = true};
    if (value == BN_NONE || steps == 0 || o->values[value].is_doubtful) return unknown;
    const struct bn_onnx_value *v = &o->values[value];
    const struct bn_onnx_node *n = maker(o, value);
    if (v->tensor != BN_NONE)
        return (struct bn_origin){.tensor = v->tensor, .value = value, .is_override = v->is_input && o->ir_version >= 4};
    if (!n || v->is_input) return unknown;
    if (bn_is_op(o, n, "Constant")) {
        const struct bn_onnx_attribute *a = bn_onnx_attribute(o, n, "value");
        return (struct bn_origin){.tensor = a ? a->tensor : BN_NONE, .value = value};
    }
    if (bn_is_op(o, n, "Identity") && n->inputs == 1) return origin_within(o, o->uses[n->input].value, steps - 1);
    if (!computes(o, n)) return unknown;
    struct bn_origin all = {.tensor = BN_NONE, .value = value};
    const uint32_t inputs = bn_is_op(o, n, "CastLike") ? 1 : n->inputs; /* of the other it takes the type alone */
    for (uint32_t i = 0; i < inputs; i++) {
        const struct bn_origin one = origin_within(o, o->uses[n->input + i].value, steps - 1);
        if (one.is_runtime) return unknown;
        all.is_override = all.is_override || one.is_override;
    }
    return all;
}

struct bn_origin bn_origin_of(const struct bn_onnx *o, uint32_t value) {
    return origin_within(o, value, STEPS_MAX);
}

static batchnorm_status refuse(char *why, batchnorm_status status, const char *what) {
    snprintf(why, BN_ONNX_BYTES, "%s", what);
    return status;
}

/* Takes memory for so many elements, and sets them all. */
static batchnorm_status fill(struct bn_constant *c, uint64_t count, double value, char *why) {
    c->at = count < SIZE_MAX / sizeof *c->at ? malloc((count ? (size_t)count : 1) * sizeof *c->at) : NULL;
    if (!c->at) return refuse(why, BATCHNORM_NO_MEMORY, "no memory for a constant");
    c->count = (size_t)count;
    for (size_t i = 0; i < c->count; i++) c->at[i] = value;
    return BATCHNORM_OK;
}

static batchnorm_status read_tensor(const struct bn_onnx *o, uint32_t tensor, struct bn_constant *c, char *why) {
    const struct bn_onnx_tensor *t = &o->tensors[tensor];
    c->type = t->type;
    c->rank = t->rank;
    memcpy(c->dims, t->dims, sizeof c->dims);
    return bn_onnx_read(o, t, &c->at, &c->count, why);
}

/* Reads the numbers of an attribute value_float, value_floats, value_int or value_ints. */
static batchnorm_status read_attribute(const struct bn_onnx *o, const struct bn_onnx_node *n, struct bn_constant *c,
                                       char *why) {
    static const struct {
        const char *name;
        bool is_float, is_row;
    } kinds[] = {
        {"value_float", true, false}, {"value_floats", true, true}, {"value_int", false, false}, {"value_ints", false, true}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const struct bn_onnx_attribute *a = bn_onnx_attribute(o, n, kinds[k].name);
        if (!a) continue;
        c->type = kinds[k].is_float ? BN_ONNX_FLOAT : BN_ONNX_INT64;
        c->rank = kinds[k].is_row;
        if (!kinds[k].is_row) return fill(c, 1, kinds[k].is_float ? a->f : (double)a->i, why);
        const batchnorm_status status = bn_onnx_numbers(o, a, kinds[k].is_float, &c->at, &c->count, why);
        c->dims[0] = (int64_t)c->count;
        return status;
    }
    return refuse(why, BATCHNORM_BAD_OPTION, "a Constant without numbers");
}

/* ConstantOfShape: a shape of int64, and one value, which is a float of 0 if it is not there. Light copies of models have their
 * weights in this form. No more elements than this: the file has none of them. */
#define ELEMENTS_MAX ((uint64_t)1 << 28)

static batchnorm_status read_shape(const struct bn_onnx *o, const struct bn_onnx_node *n, struct bn_constant *c, char *why) {
    struct bn_constant shape = {0}, value = {0};
    const struct bn_onnx_attribute *a = bn_onnx_attribute(o, n, "value");
    batchnorm_status status = bn_constant_read(o, o->uses[n->input].value, &shape, why);
    if (!status && a && a->tensor != BN_NONE) status = read_tensor(o, a->tensor, &value, why);
    uint64_t count = 1;
    for (size_t d = 0; !status && d < shape.count; d++) {
        if (d >= BN_ONNX_RANK || !(shape.at[d] >= 0 && shape.at[d] <= (double)ELEMENTS_MAX)) count = UINT64_MAX;
        if (count > ELEMENTS_MAX) break;
        c->dims[d] = (int64_t)shape.at[d];
        count *= (uint64_t)shape.at[d];
    }
    if (!status && count > ELEMENTS_MAX) status = refuse(why, BATCHNORM_TOO_LARGE, "a ConstantOfShape that is too large");
    c->rank = (int)shape.count;
    c->type = value.at ? value.type : BN_ONNX_FLOAT;
    if (!status) status = fill(c, count, value.at && value.count ? value.at[0] : 0, why);
    free(shape.at);
    free(value.at);
    return status;
}

/* Gives a constant other sizes: those of Unsqueeze, Squeeze, Reshape or Flatten. */
static batchnorm_status reshape(const struct bn_onnx *o, const struct bn_onnx_node *n, struct bn_constant *c, char *why) {
    struct bn_constant sizes = {0};
    int64_t dims[BN_ONNX_RANK];
    int rank = 0;
    bool ok = true;
    batchnorm_status status = BATCHNORM_OK;
    if (bn_is_op(o, n, "Flatten")) return refuse(why, BATCHNORM_BAD_OPTION, "a constant behind Flatten");
    const bool shape = bn_is_op(o, n, "Reshape"), grows = bn_is_op(o, n, "Unsqueeze");
    if (shape && n->inputs != 2) return refuse(why, BATCHNORM_BAD_OPTION, "a constant behind a Reshape of old times");
    status = shape ? bn_constant_read(o, o->uses[n->input + 1].value, &sizes, why) : bn_axes_read(o, n, &sizes, why);
    if (status) return status;
    const int all = shape ? (int)sizes.count : grows ? c->rank + (int)sizes.count : c->rank;
    ok = all <= BN_ONNX_RANK && sizes.count <= BN_ONNX_RANK;
    int64_t known = 1, open = -1;
    for (int d = 0, from = 0; ok && d < all; d++) {
        bool listed = false;
        for (size_t i = 0; i < sizes.count && !shape; i++) listed = listed || sizes.at[i] == d || sizes.at[i] == d - all;
        if (shape) {
            dims[rank] = sizes.at[d] == 0 && d < c->rank ? c->dims[d] : (int64_t)sizes.at[d];
            if (dims[rank] < 0)
                open = rank;
            else
                ok = !__builtin_mul_overflow(known, dims[rank], &known);
            rank++;
        } else if (listed && grows) {
            dims[rank++] = 1;
        } else if (!listed) {
            ok = from < c->rank || !grows;
            if (ok) dims[rank++] = grows ? c->dims[from++] : c->dims[d];
        }
    }
    if (ok && open >= 0) dims[open] = known ? (int64_t)c->count / known : 0;
    if (ok && open >= 0) known *= dims[open];
    free(sizes.at);
    if (!ok || (shape && known != (int64_t)c->count))
        return refuse(why, BATCHNORM_BAD_FILE, "a constant that gets sizes that do not fit it");
    c->rank = rank;
    memcpy(c->dims, dims, (size_t)rank * sizeof *dims);
    return BATCHNORM_OK;
}

/* Rounds to another type, or to that of another value. */
static batchnorm_status cast(const struct bn_onnx *o, const struct bn_onnx_node *n, struct bn_constant *c, char *why) {
    const struct bn_onnx_attribute *to = bn_onnx_attribute(o, n, "to");
    const uint32_t like = n->inputs > 1 ? o->uses[n->input + 1].value : BN_NONE;
    const int32_t type = like == BN_NONE                     ? 0
                         : o->values[like].tensor == BN_NONE ? o->values[like].type
                                                             : o->tensors[o->values[like].tensor].type;
    c->type = bn_is_op(o, n, "CastLike") ? type : to ? (int32_t)to->i : 0;
    if (c->type == BN_ONNX_DOUBLE) return BATCHNORM_OK;
    if (c->type != BN_ONNX_FLOAT)
        return refuse(why, BATCHNORM_BAD_OPTION, "a constant that is cast to a type that is not evaluated");
    for (size_t i = 0; i < c->count; i++) c->at[i] = (double)(float)c->at[i];
    return BATCHNORM_OK;
}

/* Where element i of a result lies in an operand that is spread over it. */
static size_t spread(const struct bn_constant *to, const struct bn_constant *from, size_t i) {
    size_t at = 0, step = 1;
    for (int d = from->rank - 1, e = to->rank - 1; d >= 0; d--, e--) {
        const size_t index = i % (size_t)to->dims[e];
        i /= (size_t)to->dims[e];
        if (from->dims[d] != 1) at += index * step;
        step *= (size_t)from->dims[d];
    }
    return at;
}

static double compute(const struct bn_onnx *o, const struct bn_onnx_node *n, double a, double b) {
    if (bn_is_op(o, n, "Mul")) return a * b;
    if (bn_is_op(o, n, "Add")) return a + b;
    return bn_is_op(o, n, "Sub") ? a - b : a / b;
}

/* Sets the sizes of what two operands are both spread over; false if there is no such, or it is too large. */
static bool spread_over(const struct bn_constant *a, const struct bn_constant *b, struct bn_constant *y, uint64_t *count) {
    *count = 1;
    y->rank = a->rank > b->rank ? a->rank : b->rank;
    for (int d = 0; d < y->rank; d++) {
        const int ad = d - y->rank + a->rank, bd = d - y->rank + b->rank;
        const int64_t as = ad < 0 ? 1 : a->dims[ad], bs = bd < 0 ? 1 : b->dims[bd];
        if (as != bs && as != 1 && bs != 1) return false;
        y->dims[d] = as == 1 ? bs : as;
        if (__builtin_mul_overflow(*count, (uint64_t)y->dims[d], count) || *count > ELEMENTS_MAX) return false;
    }
    return true;
}

static batchnorm_status operate(const struct bn_onnx *o, const struct bn_onnx_node *n, struct bn_constant *a, char *why) {
    struct bn_constant b = {0}, y = {.type = a->type};
    batchnorm_status status = n->inputs == 2 ? bn_constant_read(o, o->uses[n->input + 1].value, &b, why) : BATCHNORM_BAD_FILE;
    uint64_t count = 1;
    const bool ok = !status && (bn_opset_of(o, n->graph) >= 7) && (a->type == BN_ONNX_FLOAT || a->type == BN_ONNX_DOUBLE) &&
                    a->type == b.type && spread_over(a, &b, &y, &count);
    if (!status && !ok)
        status = refuse(why, BATCHNORM_BAD_OPTION, "a constant that is computed in a way that is not evaluated");
    if (!status) status = fill(&y, count, 0, why);
    for (size_t i = 0; !status && i < y.count; i++) y.at[i] = compute(o, n, a->at[spread(&y, a, i)], b.at[spread(&y, &b, i)]);
    free(b.at);
    if (status) return status;
    free(a->at);
    *a = y;
    return BATCHNORM_OK;
}

/* Expand: spreads a constant over a shape. */
static batchnorm_status expand(const struct bn_onnx *o, const struct bn_onnx_node *n, struct bn_constant *c, char *why) {
    struct bn_constant shape = {0}, over = {0}, y = {.type = c->type};
    uint64_t count = 1;
    batchnorm_status status =
        n->inputs == 2 ? bn_constant_read(o, o->uses[n->input + 1].value, &shape, why) : BATCHNORM_BAD_FILE;
    if (status) return status;
    bool ok = shape.count <= BN_ONNX_RANK;
    over.rank = (int)shape.count;
    for (size_t d = 0; ok && d < shape.count; d++) {
        ok = shape.at[d] >= 0 && shape.at[d] <= (double)ELEMENTS_MAX;
        over.dims[d] = ok ? (int64_t)shape.at[d] : 0;
    }
    free(shape.at);
    if (!ok || !spread_over(c, &over, &y, &count))
        return refuse(why, BATCHNORM_BAD_OPTION, "a constant that is expanded in a way that is not evaluated");
    status = fill(&y, count, 0, why);
    for (size_t i = 0; !status && i < y.count; i++) y.at[i] = c->at[spread(&y, c, i)];
    if (status) return status;
    free(c->at);
    *c = y;
    return BATCHNORM_OK;
}

/* Evaluates a node, of whose first input the value is in *c, and becomes the result. */
static batchnorm_status evaluate(const struct bn_onnx *o, const struct bn_onnx_node *n, struct bn_constant *c, char *why) {
    if (bn_is_op(o, n, "Identity")) return BATCHNORM_OK;
    if (bn_is_op(o, n, "Cast") || bn_is_op(o, n, "CastLike")) return cast(o, n, c, why);
    if (bn_is_op(o, n, "Expand")) return expand(o, n, c, why);
    const bool operates = bn_is_op(o, n, "Mul") || bn_is_op(o, n, "Add") || bn_is_op(o, n, "Sub") || bn_is_op(o, n, "Div");
    return operates ? operate(o, n, c, why) : reshape(o, n, c, why);
}

batchnorm_status bn_constant_read(const struct bn_onnx *o, uint32_t value, struct bn_constant *c, char *why) {
    *c = (struct bn_constant){0};
    const struct bn_origin origin = bn_origin_of(o, value);
    if (origin.is_runtime) return refuse(why, BATCHNORM_BAD_OPTION, "a value that only a run of the model tells");
    if (origin.tensor != BN_NONE) return read_tensor(o, origin.tensor, c, why);
    const struct bn_onnx_node *n = maker(o, origin.value);
    if (bn_is_op(o, n, "Constant")) return read_attribute(o, n, c, why);
    if (bn_is_op(o, n, "ConstantOfShape")) return read_shape(o, n, c, why);
    batchnorm_status status = bn_constant_read(o, o->uses[n->input].value, c, why);
    if (!status) status = evaluate(o, n, c, why);
    if (status) free(c->at);
    if (status) *c = (struct bn_constant){0};
    return status;
}

batchnorm_status bn_constant_view(const struct bn_onnx *o, uint32_t value, struct bn_constant *c, char *why) {
    const struct bn_origin origin = bn_origin_of(o, value);
    const struct bn_onnx_tensor *t = origin.tensor == BN_NONE || origin.is_runtime ? NULL : &o->tensors[origin.tensor];
    const int64_t elements = t ? bn_onnx_elements(t) : -1;
    const size_t bytes = t ? bn_onnx_type_bytes(t->type) : 0;
    if (!t || t->is_external || !t->has_raw || bytes == 0 || elements < 0 ||
        (t->raw.end - t->raw.at) / bytes != (uint64_t)elements)
        return bn_constant_read(o, value, c, why);
    *c = (struct bn_constant){.raw = o->map->base + t->raw.at, .count = (size_t)elements, .type = t->type, .rank = t->rank};
    memcpy(c->dims, t->dims, sizeof c->dims);
    return BATCHNORM_OK;
}

double bn_constant_element(const struct bn_constant *c, size_t i) {
    if (!c->raw) return c->at[i];
    const size_t bytes = bn_onnx_type_bytes(c->type);
    uint64_t bits = 0;
    for (size_t k = 0; k < bytes; k++) bits |= (uint64_t)c->raw[i * bytes + k] << 8 * k;
    return bn_onnx_value(c->type, bits);
}

void bn_constant_row(const struct bn_constant *c, size_t first, size_t count, double *to) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (c->raw && c->type == BN_ONNX_FLOAT) { /* nearly all weights, of which there are many */
        for (size_t i = 0; i < count; i++) {
            float f32;
            memcpy(&f32, c->raw + (first + i) * sizeof f32, sizeof f32);
            to[i] = (double)f32;
        }
        return;
    }
#endif
    for (size_t i = 0; i < count; i++) to[i] = bn_constant_element(c, first + i);
}

batchnorm_status bn_axes_read(const struct bn_onnx *o, const struct bn_onnx_node *n, struct bn_constant *axes, char *why) {
    const struct bn_onnx_attribute *a = bn_onnx_attribute(o, n, "axes");
    *axes = (struct bn_constant){.type = BN_ONNX_INT64, .rank = 1};
    if (a) return bn_onnx_numbers(o, a, false, &axes->at, &axes->count, why);
    if (n->inputs > 1) return bn_constant_read(o, o->uses[n->input + 1].value, axes, why);
    return refuse(why, BATCHNORM_BAD_OPTION, "axes that are not given");
}
