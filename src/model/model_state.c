/* SPDX-License-Identifier: MIT */
/* What a state is from outside: a file of tensors (a checkpoint, Darknet's numbers), or tensors that a caller gave. Its batch
 * norms are found by their keys: tensors under one prefix that end in running_mean and running_var. A state says neither eps
 * nor what follows what. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"

static const char *type_name(batchnorm_dtype dtype) {
    static const char *const names[] = {[BATCHNORM_F32] = "FLOAT",
                                        [BATCHNORM_F64] = "DOUBLE",
                                        [BATCHNORM_BF16] = "BFLOAT16",
                                        [BATCHNORM_F16] = "FLOAT16",
                                        [BATCHNORM_I64] = "INT64"};
    return batchnorm_dtype_bytes(dtype) ? names[dtype] : "unknown";
}

batchnorm_status bn_model_state_tensors(batchnorm_model *m) {
    const size_t count = m->format != BATCHNORM_MODEL_STATE ? m->torch.tensor_count : m->entry_count;
    m->tensors = calloc(count + 1, sizeof *m->tensors);
    if (!m->tensors) return BATCHNORM_NO_MEMORY;
    for (; m->tensor_count < count; m->tensor_count++) {
        batchnorm_model_tensor *to = &m->tensors[m->tensor_count];
        if (m->format != BATCHNORM_MODEL_STATE) {
            const struct bn_torch_tensor *t = &m->torch.tensors[m->tensor_count];
            *to = (batchnorm_model_tensor){t->name, bn_onnx_type_name(t->type), t->rank, {0}, false};
            for (int d = 0; d < t->rank; d++) to->shape[d] = t->dims[d];
        } else {
            const batchnorm_named_tensor *e = &m->entries[m->tensor_count];
            *to = (batchnorm_model_tensor){e->name, type_name(e->tensor.dtype), e->tensor.rank, {0}, false};
            for (int d = 0; d < e->tensor.rank && d < BATCHNORM_MAX_RANK; d++) to->shape[d] = e->tensor.shape[d];
        }
    }
    return BATCHNORM_OK;
}

/* An element of a tensor that a caller gave. */
static double element(const batchnorm_tensor *t, const char *at) {
    uint64_t bits = 0;
    double f64;
    float f32;
    int64_t i64;
    uint16_t half;
    switch (t->dtype) {
    case BATCHNORM_F64:
        memcpy(&f64, at, sizeof f64);
        return f64;
    case BATCHNORM_F32:
        memcpy(&f32, at, sizeof f32);
        return (double)f32;
    case BATCHNORM_I64:
        memcpy(&i64, at, sizeof i64);
        return (double)i64;
    default:
        memcpy(&half, at, sizeof half);
        bits = half;
        return bn_onnx_value(t->dtype == BATCHNORM_F16 ? BN_ONNX_F16 : BN_ONNX_BF16, bits);
    }
}

/* The element at an index, then the index after it. */
static const char *next_element(const batchnorm_tensor *t, int64_t index[BATCHNORM_MAX_RANK]) {
    int64_t at = 0;
    for (int d = 0; d < t->rank; d++) at += index[d] * t->stride[d];
    for (int d = t->rank - 1; d >= 0 && ++index[d] == t->shape[d]; d--) index[d] = 0;
    return (const char *)t->data + at * (int64_t)batchnorm_dtype_bytes(t->dtype);
}

static batchnorm_status no_data(const batchnorm_model *m, size_t index, char *message) {
    return bn_model_fail(message, BATCHNORM_NULL_POINTER, "%s: its data is NULL", m->entries[index].name);
}

batchnorm_status bn_model_state_read(const batchnorm_model *m, size_t index, double *values, size_t count, char *message) {
    char why[BN_ONNX_BYTES];
    if (m->format == BATCHNORM_MODEL_STATE) {
        const batchnorm_tensor *t = &m->entries[index].tensor;
        int64_t at[BATCHNORM_MAX_RANK] = {0};
        if (!t->data && count) return no_data(m, index, message);
        for (size_t i = 0; i < count; i++) values[i] = element(t, next_element(t, at));
        return BATCHNORM_OK;
    }
    const batchnorm_status status = bn_torch_read(&m->torch, &m->torch.tensors[index], values, count, why);
    return status ? bn_model_fail(message, status, "%s", why) : BATCHNORM_OK;
}

size_t bn_model_state_each(const batchnorm_model *m, size_t index) {
    return m->format == BATCHNORM_MODEL_STATE ? batchnorm_dtype_bytes(m->entries[index].tensor.dtype)
                                              : bn_onnx_type_bytes(m->torch.tensors[index].type);
}

batchnorm_status bn_model_state_bytes(const batchnorm_model *m, size_t index, unsigned char *to, size_t count, char *message) {
    const size_t each = bn_model_state_each(m, index);
    if (m->format != BATCHNORM_MODEL_STATE) {
        bn_torch_bytes(&m->torch, &m->torch.tensors[index], to, count);
        return BATCHNORM_OK;
    }
    const batchnorm_tensor *t = &m->entries[index].tensor;
    int64_t at[BATCHNORM_MAX_RANK] = {0};
    if (!t->data && count) return no_data(m, index, message);
    for (size_t i = 0; i < count; i++) {
        const char *from = next_element(t, at);
        for (size_t k = 0; k < each; k++)
            to[i * each + k] = (unsigned char)from[__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? each - 1 - k : k];
    }
    return BATCHNORM_OK;
}

/* Keys */

enum { KEY_WEIGHT, KEY_BIAS, KEY_MEAN, KEY_VAR, KEY_COUNT, KEYS };
static const char *const keys[] = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"};

/* Tensors in the order of their names. */
struct sorted {
    const char *name;
    size_t index;
};

static int compare(const void *a, const void *b) {
    return strcmp(((const struct sorted *)a)->name, ((const struct sorted *)b)->name);
}

/* Finds PREFIX + key; returns false if there is none. */
static bool find(const struct sorted *all, size_t count, const char *prefix, size_t bytes, const char *key, size_t *index) {
    char *name = malloc(bytes + strlen(key) + 1);
    if (!name) return false;
    memcpy(name, prefix, bytes);
    strcpy(name + bytes, key);
    const struct sorted wanted = {name, 0}, *found = bsearch(&wanted, all, count, sizeof *all, compare);
    free(name);
    if (found) *index = found->index;
    return found != NULL;
}

/* Returns whether a name ends in .running_var, or is that, and how long its prefix is. */
static bool is_var(const char *name, size_t *prefix) {
    const size_t bytes = strlen(name), key = strlen(keys[KEY_VAR]);
    if (bytes < key || strcmp(name + bytes - key, keys[KEY_VAR]) != 0) return false;
    *prefix = bytes - key;
    return *prefix == 0 || name[*prefix - 1] == '.';
}

static batchnorm_status read_array(const batchnorm_model *m, size_t index, size_t channels, double **to, char *message) {
    const batchnorm_model_tensor *t = &m->tensors[index];
    if (t->rank != 1 || t->shape[0] < 0 || (uint64_t)t->shape[0] != channels) return BATCHNORM_BAD_SHAPE;
    *to = channels < PTRDIFF_MAX / sizeof **to ? malloc((channels + 1) * sizeof **to) : NULL;
    if (!*to) return bn_model_fail(message, BATCHNORM_NO_MEMORY, "no memory");
    return batchnorm_model_tensor_read(m, index, *to, channels, message);
}

static batchnorm_status read_norm(batchnorm_model *m, const struct sorted *all, size_t var, size_t prefix,
                                  batchnorm_model_norm *n, char *message) {
    static const int order[] = {[BN_SCALE] = KEY_WEIGHT, [BN_SHIFT] = KEY_BIAS, [BN_MEAN] = KEY_MEAN, [BN_VAR] = KEY_VAR};
    const char *name = m->tensors[var].name;
    double *array[BN_NORM_ARRAYS] = {NULL};
    batchnorm_status status = BATCHNORM_OK;
    size_t index;
    const size_t channels = m->tensors[var].rank == 1 ? (size_t)m->tensors[var].shape[0] : 0;
    *n = (batchnorm_model_norm){.name = bn_model_text(m, name, prefix ? prefix - 1 : 0),
                                .channels = (int64_t)channels,
                                .eps = m->options.eps > 0 ? m->options.eps : (double)NAN,
                                .num_batches_tracked = -1,
                                .why = "a state has no graph: name the pair"};
    for (int i = 0; i < BN_NORM_ARRAYS && !status; i++) {
        if (!find(all, m->tensor_count, name, prefix, keys[order[i]], &index)) continue;
        status = read_array(m, index, channels, &array[i], message);
        if (status == BATCHNORM_BAD_SHAPE) n->why = "its tensors have different sizes";
        if (status == BATCHNORM_BAD_DTYPE) n->why = "its tensors are of a type that is not read";
        if (status == BATCHNORM_BAD_DTYPE) n->channels = -1;
        if (status == BATCHNORM_BAD_SHAPE || status == BATCHNORM_BAD_DTYPE) status = BATCHNORM_OK;
    }
    double count;
    if (!status && find(all, m->tensor_count, name, prefix, keys[KEY_COUNT], &index) &&
        batchnorm_model_tensor_read(m, index, &count, 1, NULL) == BATCHNORM_OK && count >= 0 && count < 0x1p63)
        n->num_batches_tracked = (int64_t)count;
    if (!status) bn_count_ills(array, channels, m->options.eps, n->ill);
    for (int i = 0; i < BN_NORM_ARRAYS; i++) free(array[i]);
    return status;
}

batchnorm_status bn_model_state_norms(batchnorm_model *m, char *message) {
    struct sorted *all = calloc(m->tensor_count + 1, sizeof *all);
    m->norms = calloc(m->tensor_count + 1, sizeof *m->norms);
    batchnorm_status status = all && m->norms ? BATCHNORM_OK : bn_model_fail(message, BATCHNORM_NO_MEMORY, "no memory");
    for (size_t i = 0; i < m->tensor_count && !status; i++) all[i] = (struct sorted){m->tensors[i].name, i};
    if (!status && m->tensor_count) qsort(all, m->tensor_count, sizeof *all, compare);
    for (size_t i = 0; i < m->tensor_count && !status; i++) {
        size_t prefix, mean;
        if (!is_var(m->tensors[i].name, &prefix)) continue;
        if (!find(all, m->tensor_count, m->tensors[i].name, prefix, keys[KEY_MEAN], &mean)) continue;
        status = read_norm(m, all, i, prefix, &m->norms[m->norm_count++], message);
    }
    free(all);
    if (!status && m->no_memory) status = bn_model_fail(message, BATCHNORM_NO_MEMORY, "no memory");
    return status;
}
