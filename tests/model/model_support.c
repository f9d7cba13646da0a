/* SPDX-License-Identifier: MIT */
#include "model_support.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/files.h"
#include "tests/support/test.h"

void put(struct bytes *b, const void *from, size_t count) {
    assert_true(count <= sizeof b->at - b->count);
    if (count) memcpy(b->at + b->count, from, count);
    b->count += count;
}

void put_text(struct bytes *b, const char *text) { put(b, text, strlen(text)); }

void put_number(struct bytes *b, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) put(b, &(unsigned char){(unsigned char)(i < 8 ? value >> 8 * i : 0)}, 1);
}

void put_varint(struct bytes *b, uint64_t value) {
    for (; value >= 0x80; value >>= 7) put_number(b, value | 0x80, 1);
    put_number(b, value, 1);
}

void put_int(struct bytes *b, uint32_t field, uint64_t value) {
    put_varint(b, (uint64_t)field << 3);
    put_varint(b, value);
}

static void put_field(struct bytes *b, uint32_t field, const void *from, size_t count) {
    put_varint(b, (uint64_t)field << 3 | 2);
    put_varint(b, count);
    put(b, from, count);
}

void put_string(struct bytes *b, uint32_t field, const char *text) { put_field(b, field, text, strlen(text)); }
void put_message(struct bytes *b, uint32_t field, const struct bytes *message) {
    put_field(b, field, message->at, message->count);
}

void pickle_text(struct bytes *b, const char *text) {
    put_text(b, "X");
    put_number(b, strlen(text), 4);
    put_text(b, text);
}

void pickle_global(struct bytes *b, const char *module, const char *name) {
    put_text(b, "c");
    put_text(b, module);
    put_text(b, "\n");
    put_text(b, name);
    put_text(b, "\n");
}

void pickle_int(struct bytes *b, int64_t value) {
    put_text(b, "\x8a");
    put_number(b, 8, 1);
    put_number(b, (uint64_t)value, 8);
}

void pickle_tensor(struct bytes *b, const struct stored *s) { pickle_odd_tensor(b, s, NULL, NULL); }

void pickle_odd_tensor(struct bytes *b, const struct stored *s, const char *type, const char *view) {
    pickle_global(b, "torch._utils", type ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2");
    put_text(b, "((");
    pickle_text(b, "storage");
    pickle_global(b, type ? "torch.storage" : "torch", s->type);
    pickle_text(b, s->key);
    pickle_text(b, "cpu");
    pickle_int(b, s->elements);
    if (s->is_legacy) put_text(b, "N");
    put_text(b, "tQ");
    pickle_int(b, s->offset);
    put_text(b, "(");
    for (int d = 0; d < s->rank; d++) pickle_int(b, s->sizes[d]);
    put_text(b, "t(");
    for (int d = 0; d < s->rank; d++) pickle_int(b, s->strides[d]);
    put_text(b, "t\x89");
    pickle_global(b, "collections", "OrderedDict");
    put_text(b, ")R");
    if (type) pickle_global(b, "torch", type);
    if (view) put_text(b, "}");
    if (view) pickle_text(b, view);
    if (view) put_text(b, "\x88s");
    put_text(b, "tR");
}

void zip_add(struct zip_writer *z, const char *name, const void *data, size_t bytes) {
    const size_t at = z->file.count;
    put(&z->file, "PK\3\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 18); /* the checksum is not looked at */
    for (int i = 0; i < 2; i++) put_number(&z->file, bytes, 4);
    put_number(&z->file, strlen(name), 2);
    put_number(&z->file, 0, 2);
    put_text(&z->file, name);
    put(&z->file, data, bytes);
    put(&z->directory, "PK\1\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    for (int i = 0; i < 2; i++) put_number(&z->directory, bytes, 4);
    put_number(&z->directory, strlen(name), 2);
    put_number(&z->directory, 0, 8);
    put_number(&z->directory, 0, 4);
    put_number(&z->directory, at, 4);
    put_text(&z->directory, name);
    z->count++;
}

void zip_end(struct zip_writer *z) {
    const size_t at = z->file.count;
    put(&z->file, z->directory.at, z->directory.count);
    put(&z->file, "PK\5\6\0\0\0\0", 8);
    for (int i = 0; i < 2; i++) put_number(&z->file, (uint64_t)z->count, 2);
    put_number(&z->file, z->directory.count, 4);
    put_number(&z->file, at, 4);
    put_number(&z->file, 0, 2);
}

static void close_model(void *model) { batchnorm_model_close(model); }

batchnorm_model *open_bytes(const struct bytes *b, char *message) {
    batchnorm_model *model;
    const char *path = file_path("model");
    file_put(path, b->at, b->count);
    if (batchnorm_model_open(path, NULL, &model, message) == BATCHNORM_OK) return keep(model, close_model);
    assert_null(model);
    return NULL;
}

/* The sum of all elements that can be read, so that each is looked at. */
static double sum_of(const batchnorm_model *model, size_t index, const batchnorm_model_tensor *t) {
    char message[BATCHNORM_MODEL_MESSAGE];
    size_t count = 1;
    double sum = 0;
    for (int d = 0; d < t->rank; d++)
        if (t->shape[d] < 0 || __builtin_mul_overflow(count, (size_t)t->shape[d], &count)) return 0;
    if (t->rank < 0 || count > 1 << 16) return 0;
    double *values = malloc((count + 1) * sizeof *values);
    assert_non_null(values);
    if (batchnorm_model_tensor_read(model, index, values, count, message) == BATCHNORM_OK)
        for (size_t i = 0; i < count; i++) sum += values[i];
    free(values);
    return sum;
}

/* So that reading is not left out. */
volatile double sink;

/* Statistics for every batch norm that can have others, all alike. */
static const batchnorm_stat **make_statistics(const batchnorm_model *model, const batchnorm_norm_site *sites,
                                              batchnorm_stat *all, size_t room) {
    const size_t count = batchnorm_model_norm_count(model);
    const batchnorm_stat **stats = calloc(count + 1, sizeof *stats);
    assert_non_null(stats);
    for (size_t i = 0; i < room; i++) all[i] = (batchnorm_stat){4, (double)i, 2};
    for (size_t i = 0; i < count; i++)
        if (sites[i].depth > 0 && batchnorm_model_norm_at(model, i)->channels <= (int64_t)room) stats[i] = all;
    return stats;
}

/* Cuts a model into parts, and writes it with other statistics. */
static void look_at_sites(batchnorm_model *model, bool writes) {
    char message[BATCHNORM_MODEL_MESSAGE] = "";
    const batchnorm_norm_site *sites;
    static batchnorm_stat all[64];
    int64_t deepest = 0;
    if (batchnorm_model_sites(model, &sites, message) != BATCHNORM_OK) {
        assert_true(message[0] != '\0');
        return;
    }
    const batchnorm_stat **stats = make_statistics(model, sites, all, sizeof all / sizeof *all);
    for (size_t i = 0; i < batchnorm_model_norm_count(model); i++) {
        assert_true((sites[i].depth == 0) == (sites[i].why != NULL) && sites[i].twin <= i);
        if (sites[i].depth > deepest) deepest = sites[i].depth;
    }
    for (int64_t first = 0; first < deepest; first++) {
        const batchnorm_part_options options = {sizeof options, first, first + 1, first % 2, first % 2, stats};
        batchnorm_part *part;
        const void *bytes;
        size_t count;
        if (batchnorm_part_new(model, &options, &part, message) == BATCHNORM_OK &&
            batchnorm_part_build(part, (const int32_t[64]){0}, &bytes, &count, message) == BATCHNORM_OK)
            for (size_t i = 0; i < count; i++) sink += ((const unsigned char *)bytes)[i];
        batchnorm_part_free(part);
    }
    if (writes) {
        (void)!batchnorm_model_set_statistics(model, stats, false, file_path("renewed"), NULL, message);
        (void)!batchnorm_model_instrument(model, 0, file_path("instrumented"), message);
        (void)!batchnorm_model_instrument(model, 1, file_path("instrumented"), message);
    }
    free(stats);
}

bool look_at(const void *bytes, size_t count, bool folds) {
    char message[BATCHNORM_MODEL_MESSAGE] = "";
    batchnorm_model *model;
    batchnorm_model_tensor t;
    const char *path = file_path("model");
    file_put(path, bytes, count);
    if (batchnorm_model_open(path, NULL, &model, message) != BATCHNORM_OK) {
        assert_null(model);
        assert_true(message[0] != '\0');
        return false;
    }
    for (size_t i = 0; batchnorm_model_tensor_at(model, i, &t); i++) sink += sum_of(model, i, &t) + (double)strlen(t.name);
    for (size_t i = 0; batchnorm_model_skipped(model, i); i++) sink += (double)strlen(batchnorm_model_skipped(model, i));
    for (size_t i = 0; i < batchnorm_model_norm_count(model); i++) {
        const batchnorm_model_norm *n = batchnorm_model_norm_at(model, i);
        sink += (double)strlen(n->name) + (n->why ? (double)strlen(n->why) : 0) + n->eps;
    }
    if (batchnorm_model_get_format(model) == BATCHNORM_MODEL_ONNX) look_at_sites(model, folds);
    if (folds && batchnorm_model_get_format(model) == BATCHNORM_MODEL_ONNX)
        (void)!batchnorm_model_fold(model, file_path("folded"), NULL, message);
    batchnorm_model_close(model);
    return true;
}
