/* SPDX-License-Identifier: MIT */
/* Any bytes as a model: refused with a message, or everything that it has can be looked at, and folding it into nowhere is
 * planned. */
#include <stdlib.h>
#include <string.h>

#include "batchnorm/model.h"
#include "tests/fuzz/fuzz.h"

static void read_tensor(const batchnorm_model *model, size_t index, const batchnorm_model_tensor *t) {
    char message[BATCHNORM_MODEL_MESSAGE] = "";
    size_t count = 1;
    for (int d = 0; d < t->rank; d++)
        if (t->shape[d] < 0 || __builtin_mul_overflow(count, (size_t)t->shape[d], &count)) return;
    if (t->rank < 0 || count > 1 << 16) return;
    double *values = malloc((count + 1) * sizeof *values);
    fuzz_expect(values != NULL);
    if (batchnorm_model_tensor_read(model, index, values, count, message) == BATCHNORM_OK)
        fuzz_took(values, count * sizeof *values);
    else
        fuzz_refused(message, NULL);
    free(values);
}

/* Cuts a model into parts at its batch norms, and writes it with outputs for their statistics into nowhere. */
static void cut(batchnorm_model *model) {
    char message[BATCHNORM_MODEL_MESSAGE] = "";
    const batchnorm_norm_site *sites;
    int64_t deepest = 0;
    if (batchnorm_model_sites(model, &sites, message)) {
        fuzz_refused(message, NULL);
        return;
    }
    for (size_t i = 0; i < batchnorm_model_norm_count(model); i++) {
        fuzz_expect((sites[i].depth == 0) == (sites[i].why != NULL));
        deepest = sites[i].depth > deepest ? sites[i].depth : deepest;
    }
    for (int64_t first = 0; first < deepest; first++) {
        const batchnorm_part_options options = {
            .size = sizeof options, .first = first, .last = first + 1, .by_batch = first % 2};
        batchnorm_part *part;
        const void *bytes;
        size_t count;
        fuzz_expect(batchnorm_part_new(model, &options, &part, message) == BATCHNORM_OK);
        if (batchnorm_part_build(part, NULL, &bytes, &count, message))
            fuzz_refused(message, NULL);
        else
            fuzz_took(bytes, count);
        batchnorm_part_free(part);
    }
    if (batchnorm_model_instrument(model, 0, "/dev/null", message)) fuzz_refused(message, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    char message[BATCHNORM_MODEL_MESSAGE] = "";
    batchnorm_model *model;
    batchnorm_model_tensor t;
    if (batchnorm_model_open(fuzz_file(NULL, 0, bytes, count), NULL, &model, message)) {
        fuzz_refused(message, model);
        return 0;
    }
    for (size_t i = 0; batchnorm_model_tensor_at(model, i, &t); i++) {
        fuzz_took(t.name, strlen(t.name));
        read_tensor(model, i, &t);
    }
    for (size_t i = 0; batchnorm_model_skipped(model, i); i++)
        fuzz_took(batchnorm_model_skipped(model, i), strlen(batchnorm_model_skipped(model, i)));
    for (size_t i = 0; i < batchnorm_model_norm_count(model); i++) {
        const batchnorm_model_norm *n = batchnorm_model_norm_at(model, i);
        fuzz_took(n->name, strlen(n->name));
        fuzz_expect(n->outcome != BATCHNORM_FOLD_LEFT || n->why != NULL);
    }
    if (batchnorm_model_get_format(model) == BATCHNORM_MODEL_ONNX && batchnorm_model_fold(model, "/dev/null", NULL, message))
        fuzz_refused(message, NULL);
    if (batchnorm_model_get_format(model) == BATCHNORM_MODEL_ONNX) cut(model);
    batchnorm_model_close(model);
    return 0;
}
