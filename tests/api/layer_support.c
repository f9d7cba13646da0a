/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "layer_support.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/layer.h"
#include "tests/support/test.h"

static void release_layer(void *layer) { batchnorm_layer_destroy(layer); }

static void release_saved(void *saved) { batchnorm_saved_destroy(saved); }

void keep_layer(batchnorm_layer *layer) { keep(layer, release_layer); }

void keep_saved(batchnorm_saved *saved) { keep(saved, release_saved); }

batchnorm_tensor box(batchnorm_dtype dtype, int rank, const int64_t *shape, uint64_t seed) {
    batchnorm_tensor t = batchnorm_tensor_contiguous(NULL, dtype, rank, shape);
    const int64_t elements = batchnorm_tensor_elements(&t);
    t.data = keep(calloc((size_t)elements + 1, batchnorm_dtype_bytes(dtype)), free);
    for (int64_t i = 0; i < elements && seed != 0 && dtype != BATCHNORM_I64; i++)
        element_set(dtype, t.data, i, random_normal(&seed) * 2 + 3);
    return t;
}

batchnorm_tensor box_like(batchnorm_tensor t) { return box(t.dtype, t.rank, t.shape, 0); }

int64_t box_inner(batchnorm_tensor t) {
    int64_t inner = 1;
    for (int d = 2; d < t.rank; d++) inner *= t.shape[d];
    return inner;
}

static ptrdiff_t index_of(batchnorm_tensor t, int64_t n, int64_t c, int64_t s) {
    return (ptrdiff_t)((n * t.shape[1] + c) * box_inner(t) + s);
}

double box_at(batchnorm_tensor t, int64_t n, int64_t c, int64_t s) {
    return element_get(t.dtype, t.data, index_of(t, n, c, s));
}

void box_set(batchnorm_tensor t, int64_t n, int64_t c, int64_t s, double value) {
    element_set(t.dtype, t.data, index_of(t, n, c, s), value);
}

size_t box_bytes(batchnorm_tensor t) { return (size_t)batchnorm_tensor_elements(&t) * batchnorm_dtype_bytes(t.dtype); }

double value_of(batchnorm_tensor t, int64_t c, double absent) {
    return t.data == NULL ? absent : element_get(t.dtype, t.data, (ptrdiff_t)c);
}

void set_value(batchnorm_tensor t, int64_t c, double value) { element_set(t.dtype, t.data, (ptrdiff_t)c, value); }

struct moments moments_of(batchnorm_tensor x, int64_t c) {
    struct moments m = {0, 0, (double)(x.shape[0] * box_inner(x))};
    for (int64_t n = 0; n < x.shape[0]; n++)
        for (int64_t s = 0; s < box_inner(x); s++) m.mean += box_at(x, n, c, s) / m.count;
    for (int64_t n = 0; n < x.shape[0]; n++)
        for (int64_t s = 0; s < box_inner(x); s++) m.var += pow(box_at(x, n, c, s) - m.mean, 2) / m.count;
    return m;
}

void expect_near(double got, double wanted) {
    if (isnan(got) && isnan(wanted)) return;
    if (got != wanted && !(fabs(got - wanted) <= 1e-12 * fmax(1, fabs(wanted)))) fail_msg("%.17g is not %.17g", got, wanted);
}

void expect_normalized(batchnorm_tensor x, batchnorm_tensor y, int64_t c, double mean, double var, double eps, double weight,
                       double bias) {
    for (int64_t n = 0; n < x.shape[0]; n++)
        for (int64_t s = 0; s < box_inner(x); s++)
            expect_near(box_at(y, n, c, s), (box_at(x, n, c, s) - mean) / sqrt(var + eps) * weight + bias);
}

batchnorm_layer *make_layer_of(batchnorm_layer_options options) {
    batchnorm_layer *layer = NULL;
    assert_int_equal(batchnorm_layer_create(&options, &layer), BATCHNORM_OK);
    keep_layer(layer);
    return layer;
}

batchnorm_saved *make_saved(batchnorm_layer *layer) {
    batchnorm_saved *saved = NULL;
    assert_int_equal(batchnorm_saved_create(layer, &saved), BATCHNORM_OK);
    keep_saved(saved);
    return saved;
}

batchnorm_layer *make_layer(int dims, int64_t channels, batchnorm_dtype dtype) {
    batchnorm_layer_options options = batchnorm_layer_defaults(dims, channels);
    options.dtype = dtype;
    return make_layer_of(options);
}

static void scramble_array(batchnorm_tensor t, double start) {
    for (int64_t c = 0; t.data != NULL && c < t.shape[0]; c++) set_value(t, c, start + 0.25 * (double)(c + 1));
}

void scramble(batchnorm_layer *layer) {
    batchnorm_parameter *const parameters[] = {batchnorm_layer_weight(layer), batchnorm_layer_bias(layer)};
    for (int i = 0; i < 2; i++) {
        if (parameters[i] == NULL) continue;
        scramble_array(parameters[i]->value, 1 - 2 * i);
        scramble_array(parameters[i]->grad, 5 + i);
    }
    scramble_array(batchnorm_layer_running_mean(layer), 2);
    scramble_array(batchnorm_layer_running_var(layer), 3);
    if (batchnorm_layer_num_batches_tracked(layer) != NULL) *batchnorm_layer_num_batches_tracked(layer) = 41;
}

static void show_bytes(FILE *file, const char *name, const void *data, size_t bytes) {
    fprintf(file, "%s:", name);
    for (size_t i = 0; data != NULL && i < bytes; i++) fprintf(file, " %02x", ((const unsigned char *)data)[i]);
    fprintf(file, "\n");
}

static void show_saved(FILE *file, const char *name, const batchnorm_saved *saved) {
    fprintf(file, "%s: filled %d empty %d frozen %d weight %d bias %d residual %d act %d dtype %d channels %zu rank %d\n", name,
            saved->layer != NULL, saved->empty, saved->frozen, saved->has_weight, saved->has_bias, saved->has_z,
            (int)saved->activation.kind, (int)saved->dtype, saved->channels, saved->rank);
    show_bytes(file, "shape", saved->shape, sizeof saved->shape);
    if (saved->layer != NULL && !saved->empty)
        show_bytes(file, "numbers", saved->buffer.data, bn_saved_bytes(saved->channels) / 4 * 2);
    if (saved->layer != NULL && !saved->empty && saved->has_weight)
        show_bytes(file, "weight", bn_saved_array(saved, saved->channels, 2),
                   saved->channels * batchnorm_dtype_bytes(saved->layer->options.dtype));
    if (saved->layer != NULL && !saved->empty && saved->has_bias)
        show_bytes(file, "bias", bn_saved_array(saved, saved->channels, 3),
                   saved->channels * batchnorm_dtype_bytes(saved->layer->options.dtype));
}

char *picture(const batchnorm_layer *layer, const batchnorm_saved *saved) {
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    assert_non_null(file);
    assert_int_equal(batchnorm_layer_print(layer, file), BATCHNORM_OK);
    const batchnorm_layer_options *o = &layer->options;
    fprintf(file, "%d %" PRId64 " %a %a %d %d %d %d %d %d %d %d %d %d\n", o->dims, o->num_features, o->convention.eps,
            o->convention.momentum, (int)o->convention.momentum_rule, (int)o->convention.running_variance,
            o->convention.allow_one_value, o->convention.require_finite, o->cumulative, o->affine, o->bias,
            o->track_running_stats, o->lazy, (int)o->dtype);
    show_bytes(file, "block", layer->block, bn_block_bytes(layer, bn_layer_channels(layer)));
    fprintf(file, "count %" PRId64 " held %d %" PRId64 "\n", layer->count, layer->held.is_there,
            layer->held.is_there ? layer->held.count : 0);
    if (layer->held.is_there) show_bytes(file, "held", layer->held.buffer.data, layer->held.buffer.bytes);
    show_saved(file, "own", &layer->own);
    if (saved != NULL) show_saved(file, "saved", saved);
    fclose(file);
    return keep(text, free);
}

void expect_same_picture(const char *before, const batchnorm_layer *layer, const batchnorm_saved *saved) {
    assert_string_equal(before, picture(layer, saved));
}

batchnorm_status run_forward(batchnorm_layer *layer, batchnorm_dtype dtype, int rank, const int64_t *shape, unsigned flags) {
    const batchnorm_tensor x = box(dtype, rank, shape, 7), y = box_like(x);
    return batchnorm_layer_forward(layer, x, y, NULL, flags, NULL);
}

void forward_refuses_these(batchnorm_layer *layer, batchnorm_tensor x, batchnorm_tensor y, unsigned flags,
                           batchnorm_status status, const char *message) {
    const char *before = picture(layer, NULL);
    unsigned char kept[64]; /* every y here has that many bytes, or none */
    if (y.data != NULL) memcpy(kept, y.data, sizeof kept);
    assert_int_equal(batchnorm_layer_forward(layer, x, y, NULL, flags, NULL), status);
    assert_string_equal(batchnorm_layer_message(layer), message);
    if (y.data != NULL) assert_memory_equal(y.data, kept, sizeof kept);
    expect_same_picture(before, layer, NULL);
}

void forward_refuses(batchnorm_layer *layer, batchnorm_dtype dtype, int rank, const int64_t *shape, batchnorm_status status,
                     const char *message) {
    const batchnorm_tensor x = box(dtype, rank, shape, 7);
    static double space[64];
    memset(space, 0x3c, sizeof space);
    forward_refuses_these(layer, x, batchnorm_tensor_contiguous(space, dtype, rank, shape), 0, status, message);
}

static void *ledger_allocate(void *user, size_t bytes) {
    struct ledger *ledger = user;
    if (++ledger->calls == ledger->fail_at) return NULL;
    if (bytes == 0) return NULL; /* as malloc may */
    void *memory = malloc(bytes);
    if (memory != NULL) memset(memory, 0xa5, bytes); /* nobody may count on zeros */
    ledger->live += memory != NULL;
    return memory;
}

static void ledger_release(void *user, void *memory) {
    struct ledger *ledger = user;
    assert_non_null(memory);
    ledger->live--;
    free(memory);
}

static void ledger_close(void *ledger) {
    const long live = ((struct ledger *)ledger)->live;
    free(ledger);
    assert_int_equal(live, 0);
}

struct ledger *make_ledger(void) {
    struct ledger *ledger = keep(calloc(1, sizeof *ledger), ledger_close);
    ledger->allocator = (batchnorm_allocator){ledger_allocate, ledger_release, ledger};
    return ledger;
}
