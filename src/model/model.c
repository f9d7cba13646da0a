/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE
#include "model/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/darknet.h"
#include "model/other.h"

batchnorm_status bn_model_fail(char *message, batchnorm_status status, const char *format, ...) {
    va_list arguments;
    if (!message) return status;
    va_start(arguments, format);
    vsnprintf(message, BATCHNORM_MODEL_MESSAGE, format, arguments);
    va_end(arguments);
    /* names come from files: they must not move a terminal's cursor */
    for (unsigned char *c = (unsigned char *)message; *c; c++)
        if (*c < 0x20 || *c == 0x7f) *c = '?';
    return status;
}

const char *bn_model_text(batchnorm_model *m, const void *from, size_t bytes) {
    if (m->text_count == m->text_room) {
        const size_t room = 2 * (m->text_count + 32);
        char **more = realloc(m->texts, room * sizeof *more);
        m->no_memory = m->no_memory || !more;
        if (!more) return "";
        m->texts = more;
        m->text_room = room;
    }
    char *text = malloc(bytes + 1);
    m->no_memory = m->no_memory || !text;
    if (!text) return "";
    if (bytes) memcpy(text, from, bytes);
    text[bytes] = '\0';
    return m->texts[m->text_count++] = text;
}

/* Anything may be a model; what it is not is found soon. */
static bool is_worth_reading(const unsigned char *first) {
    (void)first;
    return true;
}

static batchnorm_status open_state(batchnorm_model *m, char *message) {
    if (bn_model_state_tensors(m)) return bn_model_fail(message, BATCHNORM_NO_MEMORY, "no memory for its tensors");
    return bn_model_state_norms(m, message);
}

static batchnorm_status open_onnx(batchnorm_model *m, char *message) {
    char why[BN_ONNX_BYTES];
    const char *other = bn_other_kind(&m->map);
    if (other)
        return bn_model_fail(message, BATCHNORM_BAD_FILE,
                             "is neither an ONNX model nor a PyTorch checkpoint nor safetensors: it is %s", other);
    const batchnorm_status status = bn_onnx_index(&m->onnx, &m->map, why);
    const bool begins_well = m->map.base[0] == 0x08; /* the version, which all writers put first */
    if (status == BATCHNORM_BAD_FILE && !begins_well)
        return bn_model_fail(message, status,
                             "is neither an ONNX model nor a PyTorch checkpoint nor safetensors (as ONNX it is wrong at %s)",
                             why);
    if (status) return bn_model_fail(message, status, "%s", why);
    m->format = BATCHNORM_MODEL_ONNX;
    m->onnx.path = m->path;
    m->onnx.follows_links = m->options.follow_symlinks;
    if (bn_model_onnx_tensors(m)) return bn_model_fail(message, BATCHNORM_NO_MEMORY, "no memory for its tensors");
    if (bn_model_onnx_metadata(m)) return bn_model_fail(message, BATCHNORM_NO_MEMORY, "no memory for its metadata");
    return bn_model_onnx_norms(m, message);
}

/* Whether a name ends so. */
static bool ends_in(const char *name, const char *end) {
    const size_t bytes = strlen(name), tail = strlen(end);
    return bytes > tail && strcmp(name + bytes - tail, end) == 0;
}

/* The .cfg of a Darknet network, which may be named in place of the .weights; NULL: it is none. */
static const char *find_cfg(batchnorm_model *m) {
    const bool is_cfg = !m->options.cfg && ends_in(m->path, ".cfg");
    const size_t bytes = strlen(m->path);
    if (m->options.cfg) return m->options.cfg;
    if (!is_cfg && !ends_in(m->path, ".weights")) return NULL;
    char *other = malloc(bytes + sizeof ".weights");
    m->no_memory = !other;
    if (!other) return NULL;
    strcpy(strrchr(memcpy(other, m->path, bytes + 1), '.'), is_cfg ? ".weights" : ".cfg");
    const char *cfg = bn_model_text(m, is_cfg ? m->path : other, is_cfg ? bytes : strlen(other));
    if (is_cfg) free(m->path);
    if (is_cfg) m->path = other;
    if (!is_cfg) free(other);
    return cfg;
}

static batchnorm_status open_darknet(batchnorm_model *m, const char *path, char *message) {
    char why[BN_ONNX_BYTES];
    struct bn_map cfg;
    const char *wrong = bn_map_open(&cfg, path, is_worth_reading, why);
    batchnorm_status status = BATCHNORM_OK;
    if (wrong)
        status = bn_model_fail(message, cfg.source.no_memory ? BATCHNORM_NO_MEMORY : BATCHNORM_BAD_FILE,
                               "is a Darknet file, and its .cfg, %.200s, %s", path, why);
    m->format = BATCHNORM_MODEL_DARKNET;
    if (!wrong) status = bn_darknet_index(&m->torch, &m->map, &cfg, why);
    if (!wrong && status) bn_model_fail(message, status, "%s", why);
    bn_map_close(&cfg);
    if (m->options.eps == 0) m->options.eps = 1e-5;
    return status ? status : open_state(m, message);
}

static batchnorm_status open_file(batchnorm_model *m, char *message) {
    char why[BN_ONNX_BYTES]; /* not shorter than BN_SOURCE_BYTES */
    const bool is_cfg = !m->options.cfg && ends_in(m->path, ".cfg");
    const char *cfg = find_cfg(m);
    if (m->no_memory) return bn_model_fail(message, BATCHNORM_NO_MEMORY, "no memory");
    if (bn_map_open(&m->map, m->path, is_worth_reading, why))
        return bn_model_fail(message, m->map.source.no_memory ? BATCHNORM_NO_MEMORY : BATCHNORM_IO, "%s%.200s%s%s",
                             is_cfg ? "is the text of a Darknet network, and its numbers, " : "", is_cfg ? m->path : "",
                             is_cfg ? ", " : "", why);
    if (m->map.bytes == 0) return bn_model_fail(message, BATCHNORM_BAD_FILE, "is empty");
    if (cfg) return open_darknet(m, cfg, message);
    if (!bn_torch_is(&m->map)) return open_onnx(m, message);
    m->format = BATCHNORM_MODEL_TORCH;
    const batchnorm_status status = bn_torch_index(&m->torch, &m->map, why);
    return status ? bn_model_fail(message, status, "%s", why) : open_state(m, message);
}

static batchnorm_status check_options(const batchnorm_model_options *options, char *message) {
    if (!options) return BATCHNORM_OK;
    if (options->size != sizeof *options)
        return bn_model_fail(message, BATCHNORM_BAD_OPTION, "the options' size must be sizeof(batchnorm_model_options)");
    if (!(options->eps >= 0)) return bn_model_fail(message, BATCHNORM_BAD_OPTION, "the options' eps must not be negative");
    return BATCHNORM_OK;
}

batchnorm_status batchnorm_model_open(const char *path, const batchnorm_model_options *options, batchnorm_model **model,
                                      char *message) {
    if (model) *model = NULL;
    if (!path || !model) return bn_model_fail(message, BATCHNORM_NULL_POINTER, "the path or the model is NULL");
    if (check_options(options, message)) return BATCHNORM_BAD_OPTION;
    batchnorm_model *m = calloc(1, sizeof *m);
    if (!m) return bn_model_fail(message, BATCHNORM_NO_MEMORY, "no memory");
    m->map.source.fd = -1;
    m->path = strdup(path);
    if (options) m->options = *options;
    const batchnorm_status status = m->path ? open_file(m, message) : bn_model_fail(message, BATCHNORM_NO_MEMORY, "no memory");
    if (status)
        batchnorm_model_close(m);
    else
        *model = m;
    return status;
}

batchnorm_status batchnorm_model_from_state(const batchnorm_named_tensor *entries, size_t count,
                                            const batchnorm_model_options *options, batchnorm_model **model) {
    if (model) *model = NULL;
    if (!model || (!entries && count)) return BATCHNORM_NULL_POINTER;
    for (size_t i = 0; i < count; i++)
        if (!entries[i].name) return BATCHNORM_NULL_POINTER;
    if (check_options(options, NULL)) return BATCHNORM_BAD_OPTION;
    batchnorm_model *m = calloc(1, sizeof *m);
    if (!m) return BATCHNORM_NO_MEMORY;
    m->map.source.fd = -1;
    m->format = BATCHNORM_MODEL_STATE;
    m->entries = entries;
    m->entry_count = count;
    if (options) m->options = *options;
    const batchnorm_status status = open_state(m, NULL);
    if (status)
        batchnorm_model_close(m);
    else
        *model = m;
    return status;
}

const char *batchnorm_model_skipped(const batchnorm_model *m, size_t index) {
    return m && index < m->torch.skipped_count ? m->torch.skipped[index].name : NULL;
}

const char *batchnorm_model_skipped_type(const batchnorm_model *m, size_t index) {
    return m && index < m->torch.skipped_count ? m->torch.skipped[index].type : NULL;
}

void batchnorm_model_close(batchnorm_model *m) {
    if (!m) return;
    bn_fold_free(&m->plan);
    bn_onnx_free(&m->plan_index);
    bn_sites_free(&m->sites);
    free(m->listed);
    bn_onnx_free(&m->onnx);
    bn_torch_free(&m->torch);
    bn_map_close(&m->map);
    for (size_t i = 0; i < m->text_count; i++) free(m->texts[i]);
    free(m->texts);
    free(m->norms);
    free(m->pairs);
    free(m->tensors);
    free(m->path);
    free(m);
}

batchnorm_model_format batchnorm_model_get_format(const batchnorm_model *m) { return m ? m->format : BATCHNORM_MODEL_STATE; }

const char *batchnorm_model_metadata(const batchnorm_model *m, const char *key) {
    for (size_t i = 0; m && key && i < m->pair_count; i++)
        if (strcmp(m->pairs[i].key, key) == 0) return m->pairs[i].value;
    return NULL;
}

size_t batchnorm_model_norm_count(const batchnorm_model *m) { return m ? m->norm_count : 0; }

const batchnorm_model_norm *batchnorm_model_norm_at(const batchnorm_model *m, size_t index) {
    return m && index < m->norm_count ? &m->norms[index] : NULL;
}

size_t batchnorm_model_tensor_count(const batchnorm_model *m) { return m ? m->tensor_count : 0; }

bool batchnorm_model_tensor_at(const batchnorm_model *m, size_t index, batchnorm_model_tensor *tensor) {
    if (!m || !tensor || index >= m->tensor_count) return false;
    *tensor = m->tensors[index];
    return true;
}

/* Returns the elements of a tensor; -1 if it has too many. */
static int64_t elements_of(const batchnorm_model_tensor *t) {
    int64_t count = 1;
    for (int d = 0; d < t->rank; d++)
        if (t->shape[d] == 0) return 0;
    for (int d = 0; d < t->rank; d++)
        if (t->shape[d] < 0 || __builtin_mul_overflow(count, t->shape[d], &count)) return -1;
    return t->rank < 0 ? -1 : count;
}

batchnorm_status batchnorm_model_tensor_read(const batchnorm_model *m, size_t index, double *values, size_t count,
                                             char *message) {
    if (!m || (!values && count)) return bn_model_fail(message, BATCHNORM_NULL_POINTER, "the model or the values are NULL");
    if (index >= m->tensor_count) return bn_model_fail(message, BATCHNORM_BAD_OPTION, "there is no tensor %zu", index);
    const batchnorm_model_tensor *t = &m->tensors[index];
    if (elements_of(t) != (int64_t)count)
        return bn_model_fail(message, BATCHNORM_BAD_SHAPE, "\"%.80s\" has %lld elements, not %zu", t->name,
                             (long long)elements_of(t), count);
    if (m->format == BATCHNORM_MODEL_ONNX) return bn_model_onnx_read(m, index, values, count, message);
    return bn_model_state_read(m, index, values, count, message);
}

batchnorm_status batchnorm_model_tensor_bytes(const batchnorm_model *m, size_t index, void *to, size_t bytes, char *message) {
    if (!m || (!to && bytes)) return bn_model_fail(message, BATCHNORM_NULL_POINTER, "the model or the bytes are NULL");
    if (m->format == BATCHNORM_MODEL_ONNX || index >= m->tensor_count)
        return bn_model_fail(message, BATCHNORM_BAD_OPTION, "there is no tensor %zu of a state", index);
    const batchnorm_model_tensor *t = &m->tensors[index];
    const int64_t elements = elements_of(t);
    const size_t each = bn_model_state_each(m, index);
    if (elements < 0 || (uint64_t)elements > SIZE_MAX / (each ? each : 1) || (size_t)elements * each != bytes)
        return bn_model_fail(message, BATCHNORM_BAD_SHAPE, "\"%.80s\" has %lld elements of %zu bytes, not %zu bytes", t->name,
                             (long long)elements, each, bytes);
    return bn_model_state_bytes(m, index, to, (size_t)elements, message);
}
