/* SPDX-License-Identifier: MIT */
/* NodeProto and AttributeProto, as entries of the index. */
#include <string.h>

#include "model/onnx_build.h"

static batchnorm_status add_attribute(const struct bn_onnx_build *b, const struct bn_field *field) {
    struct bn_onnx *o = b->onnx;
    if (!BN_ONNX_MORE(o->attributes, o->attribute_count, o->attribute_room)) return bn_onnx_no_memory(b);
    struct bn_onnx_attribute *a = &o->attributes[o->attribute_count++];
    *a = (struct bn_onnx_attribute){.message = field->value, .tensor = BN_NONE};
    struct bn_wire w = bn_wire_begin(o->map->base, field->value);
    batchnorm_status status = BATCHNORM_OK;
    for (struct bn_field f; !status && bn_wire_next(&w, &f);) {
        if (f.number == 1) {
            status = bn_onnx_expect(b, &f, BN_BYTES);
            a->name = f.value;
        } else if (f.number == 2) {
            const uint32_t bits = (uint32_t)f.bits;
            float value;
            memcpy(&value, &bits, sizeof value);
            status = bn_onnx_expect(b, &f, BN_FIXED32);
            a->f = (double)value;
            a->has_f = true;
        } else if (f.number == 3) {
            status = bn_onnx_expect(b, &f, BN_VARINT);
            a->i = (int64_t)f.bits;
            a->has_i = true;
        } else if (f.number == 4) {
            status = bn_onnx_expect(b, &f, BN_BYTES);
            a->s = f.value;
        } else if (f.number == 5) {
            status = bn_onnx_expect(b, &f, BN_BYTES);
            if (!status) status = bn_onnx_add_tensor(b, bn_onnx_whole(&f), f.value, &a->tensor);
        } else if (f.number == 21) {
            status = bn_onnx_expect(b, &f, BN_BYTES);
            a->is_reference = f.value.at != f.value.end;
        }
    }
    return status ? status : bn_onnx_walked(b, &w);
}

/* Adds an input or output; what it means is found out later. */
static batchnorm_status add_use(const struct bn_onnx_build *b, const struct bn_field *f) {
    struct bn_onnx *o = b->onnx;
    if (!BN_ONNX_MORE(o->uses, o->use_count, o->use_room)) return bn_onnx_no_memory(b);
    o->uses[o->use_count++] = (struct bn_onnx_use){bn_onnx_whole(f), f->value, BN_NONE};
    return bn_onnx_expect(b, f, BN_BYTES);
}

/* Adds the fields of a node that have this number. Each kind gets a walk of its own, so that they lie side by side. */
static batchnorm_status add_all(const struct bn_onnx_build *b, struct bn_slice message, uint32_t number,
                                batchnorm_status (*add)(const struct bn_onnx_build *b, const struct bn_field *f),
                                uint32_t *count) {
    struct bn_wire w = bn_wire_begin(b->onnx->map->base, message);
    batchnorm_status status = BATCHNORM_OK;
    for (struct bn_field f; !status && bn_wire_next(&w, &f);) {
        if (f.number != number) continue;
        status = bn_onnx_expect(b, &f, BN_BYTES);
        if (!status) status = add(b, &f);
        ++*count;
    }
    return status ? status : bn_onnx_walked(b, &w);
}

batchnorm_status bn_onnx_add_node(const struct bn_onnx_build *b, uint32_t graph, const struct bn_field *field) {
    struct bn_onnx *o = b->onnx;
    struct bn_onnx_node n = {.field = bn_onnx_whole(field), .message = field->value, .graph = graph};
    struct bn_wire w = bn_wire_begin(o->map->base, field->value);
    for (struct bn_field f; bn_wire_next(&w, &f);) {
        struct bn_slice *text = f.number == 3 ? &n.name : f.number == 4 ? &n.op : f.number == 7 ? &n.domain : NULL;
        if (text && f.type != BN_BYTES) return bn_onnx_expect(b, &f, BN_BYTES);
        if (text) *text = f.value;
        if (f.number == 4) n.op_field = bn_onnx_whole(&f);
    }
    batchnorm_status status = bn_onnx_walked(b, &w);
    n.input = o->use_count;
    if (!status) status = add_all(b, n.message, 1, add_use, &n.inputs);
    n.output = o->use_count;
    if (!status) status = add_all(b, n.message, 2, add_use, &n.outputs);
    n.attribute = o->attribute_count;
    if (!status) status = add_all(b, n.message, 5, add_attribute, &n.attributes);
    if (status) return status;
    for (uint32_t i = n.attribute; i < n.attribute + n.attributes; i++) n.refers = n.refers || o->attributes[i].is_reference;
    if (!BN_ONNX_MORE(o->nodes, o->node_count, o->node_room)) return bn_onnx_no_memory(b);
    o->nodes[o->node_count++] = n;
    return BATCHNORM_OK;
}
