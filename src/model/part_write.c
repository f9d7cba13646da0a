/* SPDX-License-Identifier: MIT */
/* A part as changes of the file: what is not in it is taken out, and the numbers and nodes that it gets are put in. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/external.h"
#include "model/part.h"

struct taking {
    const struct bn_part_plan *p;
    struct bn_writer *w;
    bool *keeps; /* values that a selected node takes or makes, and inputs */
    char *why;
};

static size_t graph_at(const struct bn_sites *s) { return s->o->graphs[s->graph].message.at; }

static void take_out(const struct taking *t, struct bn_slice field) {
    if (field.end > field.at) bn_splice_add(t->w->splices, field, graph_at(t->p->sites), NULL, 0);
}

/* Adds fields at the end of the graph. */
static void add(const struct taking *t, struct bn_bytes_out *out) {
    const size_t end = t->p->sites->o->graphs[t->p->sites->graph].message.end;
    bn_write_instead(t->w, (struct bn_slice){end, end}, graph_at(t->p->sites), out);
}

static void mark(const struct taking *t) {
    const struct bn_sites *s = t->p->sites;
    for (size_t k = 0; k < s->take_count; k++)
        if (t->p->selected[s->takes[k].node - s->first]) t->keeps[s->takes[k].value] = true;
    for (size_t i = 0; i < t->p->input_count; i++) t->keeps[t->p->inputs[i]] = true;
    for (uint32_t i = s->first; i < s->last; i++)
        for (uint32_t k = 0; t->p->selected[i - s->first] && k < s->o->nodes[i].outputs; k++) {
            const uint32_t value = s->o->uses[s->o->nodes[i].output + k].value;
            if (value != BN_NONE) t->keeps[value] = true;
        }
}

/* Nodes, initializers, inputs, outputs, and what is said of values. */
static void take_out_others(const struct taking *t) {
    const struct bn_sites *s = t->p->sites;
    const struct bn_onnx *o = s->o;
    for (uint32_t i = s->first; i < s->last; i++)
        if (!t->p->selected[i - s->first]) take_out(t, o->nodes[i].field);
    for (uint32_t i = 0; i < o->value_count; i++) {
        const struct bn_onnx_value *v = &o->values[i];
        if (v->graph != s->graph || t->keeps[i]) continue;
        if (v->tensor != BN_NONE) take_out(t, o->tensors[v->tensor].field);
        take_out(t, v->input);
        take_out(t, v->info);
    }
    struct bn_wire w = bn_wire_begin(o->map->base, o->graphs[s->graph].message);
    for (struct bn_field f; bn_wire_next(&w, &f);)
        if (f.number == 12) take_out(t, (struct bn_slice){f.tag, f.value.end});
}

/* Batch norms that take the statistics of their batch leave those of the file unused. */
static void take_out_unused(const struct taking *t) {
    const struct bn_sites *s = t->p->sites;
    uint32_t *taken = calloc(s->o->value_count + 1, sizeof *taken); /* uses that are gone */
    t->w->no_memory = t->w->no_memory || !taken;
    for (size_t i = 0; i < s->norms.count && taken; i++) {
        const struct bn_onnx_node *n = &s->o->nodes[s->norms.at[i].node];
        if (s->at[i].depth == 0 || !t->p->selected[s->norms.at[i].node - s->first]) continue;
        for (uint32_t input = 3; input <= 4; input++) {
            const uint32_t value = s->o->uses[n->input + input].value;
            const struct bn_onnx_value *v = &s->o->values[value];
            if (++taken[value] != v->uses || v->is_output || v->is_doubtful || v->graph != s->graph) continue;
            if (v->tensor != BN_NONE) take_out(t, s->o->tensors[v->tensor].field);
            if (v->tensor != BN_NONE) take_out(t, v->input);
            if (v->node != BN_NONE && s->o->nodes[v->node].outputs == 1) take_out(t, s->o->nodes[v->node].field);
            take_out(t, v->info);
        }
    }
    free(taken);
}

/* Values from before the part become inputs. What was said of them there is said by these now. */
static void add_inputs(const struct taking *t, const int32_t *types) {
    const struct bn_onnx *o = t->p->sites->o;
    for (size_t i = 0; i < t->p->input_count; i++) {
        const struct bn_onnx_value *v = &o->values[t->p->inputs[i]];
        struct bn_bytes_out out = {0};
        if (v->is_input) continue;
        take_out(t, v->info);
        bn_put_info(&out, 11, o->map->base + v->name.at, v->name.end - v->name.at, types ? types[i] : 0, -1, NULL);
        add(t, &out);
    }
}

static void add_outputs(const struct taking *t) {
    const struct bn_onnx *o = t->p->sites->o;
    for (size_t i = 0; i < t->p->output_count; i++) {
        const struct bn_slice name = o->values[t->p->outputs[i]].name;
        struct bn_bytes_out out = {0};
        bn_put_info(&out, 12, o->map->base + name.at, name.end - name.at, 0, -1, NULL); /* the runtime infers its type */
        add(t, &out);
    }
}

/* Brings the data of an external tensor into the model. */
static batchnorm_status bring_in(const struct taking *t, const struct bn_onnx_tensor *tensor, size_t message) {
    const struct bn_onnx *o = t->p->sites->o;
    const int64_t elements = bn_onnx_elements(tensor);
    const size_t each = bn_onnx_type_bytes(tensor->type);
    struct bn_bytes_out head = {0}, out = {0};
    if (elements < 0 || each == 0 || (uint64_t)elements > PTRDIFF_MAX / each)
        return bn_onnx_refuse(t->why, tensor->message.at, "external data of a type or size that is not read");
    const int fd = bn_external_open(o->path, (const char *)o->map->base + tensor->location.at,
                                    tensor->location.end - tensor->location.at, o->follows_links, t->why, BN_ONNX_BYTES);
    if (fd < 0) return BATCHNORM_IO;
    const size_t bytes = (size_t)elements * each;
    bool ok = bn_external_bytes(fd) >= tensor->offset && bn_external_bytes(fd) - tensor->offset >= bytes;
    if (!ok) snprintf(t->why, BN_ONNX_BYTES, "byte %zu: external data that are shorter than the tensor", tensor->message.at);
    struct bn_wire walk = bn_wire_begin(o->map->base, tensor->message);
    for (struct bn_field f; bn_wire_next(&walk, &f);)
        if (f.number != 13 && f.number != 14) bn_put_bytes(&head, o->map->base + f.tag, f.value.end - f.tag);
    unsigned char *to = ok ? bn_put_room(&head, 9, bytes) : NULL;
    if (ok && !to) t->w->no_memory = true;
    ok = ok && to && bn_external_read(fd, tensor->offset, to, bytes, t->why, BN_ONNX_BYTES);
    close(fd);
    if (ok) {
        bn_put_field(&out, 5, head.at, head.count);
        bn_write_instead(t->w, tensor->field, message, &out);
    }
    free(head.at);
    return ok || t->w->no_memory ? BATCHNORM_OK : BATCHNORM_IO;
}

/* Whether a place in the file is in something that was taken out, or gets other numbers. */
static bool is_changed(const struct taking *t, struct bn_slice field) {
    for (size_t i = 0; i < t->w->splices->count; i++) {
        const struct bn_slice old = t->w->splices->at[i].old;
        if (old.at <= field.at && field.end <= old.end) return true;
    }
    return false;
}

static batchnorm_status bring_all_in(const struct taking *t) {
    const struct bn_onnx *o = t->p->sites->o;
    batchnorm_status status = BATCHNORM_OK;
    for (uint32_t i = 0; i < o->value_count && !status; i++) {
        const struct bn_onnx_tensor *tensor = o->values[i].tensor == BN_NONE ? NULL : &o->tensors[o->values[i].tensor];
        if (tensor && tensor->is_external && !is_changed(t, tensor->field))
            status = bring_in(t, tensor, o->graphs[o->values[i].graph].message.at);
    }
    for (uint32_t i = 0; i < o->attribute_count && !status; i++) {
        const struct bn_onnx_tensor *tensor = o->attributes[i].tensor == BN_NONE ? NULL : &o->tensors[o->attributes[i].tensor];
        if (tensor && tensor->is_external && !is_changed(t, tensor->field))
            status = bring_in(t, tensor, o->attributes[i].message.at);
    }
    return status;
}

batchnorm_status bn_part_changes(const struct bn_part_plan *p, struct bn_writer *w, const int32_t *types, bool inlines,
                                 char *why) {
    const struct bn_sites *s = p->sites;
    const struct taking t = {p, w, calloc(s->o->value_count + 1, sizeof(bool)), why};
    batchnorm_status status = t.keeps ? BATCHNORM_OK : BATCHNORM_NO_MEMORY;
    if (!status) {
        mark(&t);
        if (!p->whole) take_out_others(&t);
        if (!p->whole) add_inputs(&t, types);
        add_outputs(&t);
        if (p->normalizes) take_out_unused(&t);
        if (p->stats) bn_statistics_write(w, s, p->stats, p->separate, p->selected);
    }
    for (size_t i = 0; i < s->norms.count && !status; i++) {
        const bool is_inside = s->at[i].depth > 0 && p->selected[s->norms.at[i].node - s->first];
        if ((p->sums && bn_part_has_norm(p, i)) || (p->normalizes && is_inside)) status = bn_sums_write(p, w, i, why);
    }
    if (!status && inlines) status = bring_all_in(&t);
    free(t.keeps);
    if (!status && (w->no_memory || w->splices->no_memory)) status = BATCHNORM_NO_MEMORY;
    if (status == BATCHNORM_NO_MEMORY) snprintf(why, BN_ONNX_BYTES, "no memory for a part of the model");
    return status;
}
