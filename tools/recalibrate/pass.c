/* SPDX-License-Identifier: MIT */
#include "pass.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"
#include "tools/shared/array.h"

/* A part that runs. */
struct running {
    struct pass *pass;
    struct store *store;
    batchnorm_part *part;
    struct runtime_session session;
    int64_t first, last;
    struct runtime_array *inputs;
    batchnorm_part_value *takes; /* of the inputs */
    size_t count;
};

static bool no_memory(const struct pass *p) { return nn_wrong(p->message, p->request->data, NN_NO_MEMORY); }

bool pass_input(struct runtime *runtime, const char *path, struct runtime_array **inputs, size_t *count, char *message) {
    struct runtime_session session;
    char why[RUNTIME_MESSAGE] = "";
    const bool ok = runtime_load(runtime, path, &session, why) && runtime_inputs(&session, inputs, count, why);
    if (!ok) nn_wrong(message, path, "ONNX Runtime %s does not run it: %s", runtime->version, why);
    if (ok && *count != 1)
        nn_wrong(message, path, "has %zu inputs; models with one input are recalibrated (--instrument does others)", *count);
    runtime_unload(&session);
    return ok && *count == 1;
}

/* Adds what arrives at a layer. */
static bool accumulate(const struct pass *p, struct layer *l, const struct runtime_array *x) {
    size_t inner = 1;
    batchnorm_stats_call call = {.size = sizeof call, .stats = l->stats};
    if (!runtime_is_float(x->type, &call.shape.dtype) || x->rank < 2 || (size_t)x->shape[1] != l->channels)
        return nn_wrong(p->message, p->request->files.at[0],
                        "what arrives at \"%.200s\" is not of the shape (N, %zu, ...) of floats", l->key, l->channels);
    for (int d = 2; d < x->rank; d++) inner *= (size_t)x->shape[d];
    call.shape = (batchnorm_shape){(size_t)x->shape[0], l->channels, inner, call.shape.dtype};
    call.x = (batchnorm_input){x->data, batchnorm_planar(call.shape)};
    const batchnorm_exec exec = {.size = sizeof exec};
    l->is_taken = true;
    return !batchnorm_stats_accumulate(&call, &exec) || no_memory(p);
}

/* Returns the array of a name among inputs and outputs. */
static struct runtime_array *array_of(const char *name, struct runtime_array *inputs, size_t input_count,
                                      struct runtime_array *outputs, size_t output_count) {
    for (size_t i = 0; i < output_count; i++)
        if (strcmp(outputs[i].name, name) == 0) return &outputs[i];
    for (size_t i = 0; i < input_count; i++)
        if (strcmp(inputs[i].name, name) == 0) return &inputs[i];
    return NULL;
}

static bool look_at_layers(const struct running *r, size_t batch, struct runtime_array *outputs, size_t output_count,
                           struct runtime_array *given) {
    const struct pass *p = r->pass;
    for (size_t i = 0; i < p->layers->count; i++) {
        struct layer *l = &p->layers->at[i];
        char why[BATCHNORM_MODEL_MESSAGE], where[NN_MESSAGE_BYTES];
        if (l->depth <= r->first || l->depth > r->last) continue;
        const struct runtime_array *x = array_of(l->input, given, given->data ? 1 : 0, outputs, output_count);
        if (!x) return nn_wrong(p->message, p->request->files.at[0], "what arrives at \"%.200s\" is not there", l->key);
        if (!accumulate(p, l, x)) return false;
        if (layer_is_finite(l, why)) continue;
        samples_describe(p->samples, batch, where);
        return nn_wrong(p->message, p->request->files.at[0], "%s, with %.4000s", why, where);
    }
    return true;
}

/* Keeps what later parts take. */
static bool keep(const struct running *r, size_t batch, struct runtime_array *outputs, size_t output_count,
                 struct runtime_array *given) {
    char why[RUNTIME_MESSAGE];
    batchnorm_part_value v;
    bool ok = true;
    for (size_t i = 0; ok && batchnorm_part_output_at(r->part, i, &v); i++) {
        struct runtime_array *a = array_of(v.name, NULL, 0, outputs, output_count);
        if (a && v.last_use >= r->last) ok = store_put(r->store, v.name, v.last_use, batch, a, why);
    }
    return ok || nn_wrong(r->pass->message, given->name, "%s", why);
}

/* Fills the inputs of the part; the data among them are `given`. */
static bool gather(const struct running *r, size_t batch, const struct runtime_array *given) {
    char why[RUNTIME_MESSAGE];
    for (size_t i = 0; i < r->count; i++) {
        struct runtime_array *a = &r->inputs[i];
        char *const name = a->name;
        if (r->takes[i].is_given)
            *a = *given;
        else if (!store_get(r->store, r->takes[i].name, batch, a, why))
            return nn_wrong(r->pass->message, r->takes[i].name, "%s", why);
        a->name = name;
    }
    return true;
}

static void let_go(const struct running *r, size_t batch) {
    for (size_t i = 0; i < r->count; i++) {
        if (!r->takes[i].is_given) store_done(r->store, r->takes[i].name, batch, &r->inputs[i]);
        r->inputs[i].data = NULL;
    }
}

/* Whether the data themselves are needed: as an input, or because a batch norm stands at the very beginning. */
static bool needs_data(const struct running *r) {
    bool needs = r->first == 0;
    for (size_t i = 0; i < r->count; i++) needs = needs || r->takes[i].is_given;
    return needs;
}

static bool run_batch(const struct running *r, size_t batch) {
    const struct pass *p = r->pass;
    struct runtime_array given = {.name = p->samples->input.name}, *outputs = NULL;
    size_t output_count = 0;
    char why[RUNTIME_MESSAGE] = "", where[NN_MESSAGE_BYTES];
    bool ok = !needs_data(r) || samples_read(p->samples, batch, &given, p->message);
    given.name = p->samples->input.name;
    ok = ok && gather(r, batch, &given);
    if (ok && r->session.session && !runtime_run(&r->session, r->inputs, r->count, &outputs, &output_count, why)) {
        samples_describe(p->samples, batch, where);
        ok = nn_wrong(p->message, p->request->files.at[0], "ONNX Runtime %s stopped with %.4000s: %s", p->runtime->version,
                      where, why);
    }
    ok = ok && look_at_layers(r, batch, outputs, output_count, &given) && keep(r, batch, outputs, output_count, &given);
    let_go(r, batch);
    store_drop(r->store, r->first, batch);
    runtime_free(outputs, output_count);
    free(given.data);
    return ok;
}

/* Makes the part and loads it. One that has no outputs has no nodes either: a batch norm stands at the very beginning. */
static bool begin(struct running *r, enum pass_kind kind) {
    struct pass *p = r->pass;
    char why[BATCHNORM_MODEL_MESSAGE] = "";
    batchnorm_part_value v;
    const void *bytes;
    size_t size;
    const batchnorm_part_options options = {
        .size = sizeof options,
        .first = r->first,
        .last = r->last,
        .by_batch = kind == PASS_BY_BATCH,
        .separate = p->request->separate,
        .stats = kind == PASS_BY_DEPTH && r->first > 0 ? layers_take(p->layers, r->first, r->last - 1) : NULL};
    if (batchnorm_part_new(p->model, &options, &r->part, why)) return nn_wrong(p->message, p->request->files.at[0], "%s", why);
    while (batchnorm_part_input_at(r->part, r->count, &v)) r->count++;
    r->inputs = calloc(r->count + 1, sizeof *r->inputs);
    r->takes = calloc(r->count + 1, sizeof *r->takes);
    int32_t *types = calloc(r->count + 1, sizeof *types);
    bool ok = (r->inputs && r->takes && types) || no_memory(p);
    for (size_t i = 0; i < r->count && ok; i++) {
        batchnorm_part_input_at(r->part, i, &r->takes[i]);
        r->inputs[i].name = (char *)(uintptr_t)r->takes[i].name;
        types[i] = store_type(r->store, r->takes[i].name);
    }
    if (ok && batchnorm_part_output_at(r->part, 0, &v))
        ok = (!batchnorm_part_build(r->part, types, &bytes, &size, why) &&
              runtime_load_bytes(p->runtime, bytes, size, p->request->threads, &r->session, why)) ||
             nn_wrong(p->message, p->request->files.at[0], "depths %lld to %lld: %s", (long long)r->first, (long long)r->last,
                      why);
    free(types);
    return ok;
}

static void end(struct running *r) {
    runtime_unload(&r->session);
    batchnorm_part_free(r->part);
    free(r->inputs);
    free(r->takes);
}

static bool run_part(struct pass *p, struct store *store, enum pass_kind kind, int64_t first, int64_t last) {
    struct running r = {.pass = p, .store = store, .first = first, .last = last};
    bool ok = begin(&r, kind);
    for (size_t b = 0; b < p->samples->batches && ok; b++) {
        ok = run_batch(&r, b);
        progress_add(p->progress, (double)p->samples->pieces[b].count * (double)(last - first) / (double)p->layers->deepest);
    }
    end(&r);
    store_drop_all(store, first);
    return ok;
}

bool pass_run(struct pass *p, enum pass_kind kind) {
    struct store store;
    const int64_t deepest = p->layers->deepest, step = kind == PASS_BY_DEPTH ? 1 : deepest;
    bool ok = true;
    store_open(&store, p->samples->batches, (uint64_t)p->request->memory << 20);
    for (size_t i = 0; i < p->layers->count; i++) batchnorm_stats_clear(p->layers->at[i].stats, p->layers->at[i].channels);
    for (int64_t first = 0; first < deepest && ok; first += step) {
        if (kind == PASS_BY_DEPTH)
            progress_about(p->progress, "depth %lld of %lld", (long long)(first + 1), (long long)deepest);
        else
            progress_about(p->progress, "%lld depths at once", (long long)deepest);
        ok = run_part(p, &store, kind, first, first + step);
    }
    p->in_files += store.in_files;
    store_close(&store);
    return ok;
}
