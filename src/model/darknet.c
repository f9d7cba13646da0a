/* SPDX-License-Identifier: MIT */
/* Longer than 300 lines, because every kind of layer that has numbers or changes sizes has its function. */
#define _POSIX_C_SOURCE 200809L
#include "model/darknet.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/darknet_cfg.h"

/* What comes out of a layer. */
struct shape {
    int64_t h, w, c;
    int64_t inputs; /* all of it */
};

/* The two programs write a batch norm that is a layer of its own differently: pjreddie's has no biases in it. */
struct reader {
    struct bn_torch *torch;
    struct bn_cfg cfg;
    const struct bn_cfg_section *section;
    size_t layer, layers;
    struct shape *out;     /* of each layer */
    struct shape in, next; /* of the one that is read */
    bool has_norm_biases, is_transposed;
    bool has_norm; /* there is such a layer */
    int64_t at;    /* numbers before the next tensor */
    int64_t *ends; /* of each layer, in numbers */
    bool no_memory;
    char *why;
};

static bool fail(struct reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct reader *r, const char *format, ...) {
    va_list arguments;
    const int used = snprintf(r->why, BN_ONNX_BYTES, "line %zu of the .cfg, [%.40s]: ", r->section->line, r->section->type);
    va_start(arguments, format);
    vsnprintf(r->why + used, (size_t)(BN_ONNX_BYTES - used), format, arguments);
    va_end(arguments);
    return false;
}

/* A number of the section, of `least` at least. */
static bool number(struct reader *r, const char *key, int64_t usual, int64_t least, int64_t *value) {
    if (!bn_cfg_number(&r->cfg, r->section, key, usual, value) || *value < least)
        return fail(r, "%s must be a whole number of at least %" PRId64, key, least);
    return true;
}

/* Tensors */

static struct bn_torch_tensor *add(struct reader *r, const char *part, const char *key, int rank, const int64_t *dims) {
    struct bn_torch *t = r->torch;
    if (t->tensor_count == t->tensor_room) {
        const size_t room = 2 * t->tensor_room + 64;
        struct bn_torch_tensor *more = realloc(t->tensors, room * sizeof *more);
        if (!more) return r->no_memory = true, NULL;
        t->tensors = more;
        t->tensor_room = room;
    }
    struct bn_torch_tensor *to = &t->tensors[t->tensor_count];
    char name[96];
    snprintf(name, sizeof name, "%zu.%s.%s", r->layer, part, key);
    *to = (struct bn_torch_tensor){.name = strdup(name), .type = BN_ONNX_FLOAT, .rank = rank, .offset = r->at};
    if (!to->name) return r->no_memory = true, NULL;
    t->tensor_count++;
    int64_t elements = 1;
    for (int d = rank - 1; d >= 0; d--) {
        to->dims[d] = dims[d];
        to->strides[d] = elements;
        if (__builtin_mul_overflow(elements, dims[d], &elements)) return fail(r, "a layer of too many numbers"), NULL;
    }
    if (__builtin_add_overflow(r->at, elements, &r->at)) return fail(r, "a layer of too many numbers"), NULL;
    return to;
}

static bool add_row(struct reader *r, const char *part, const char *key, int64_t count) {
    return add(r, part, key, 1, &count) != NULL;
}

static bool add_statistics(struct reader *r, int64_t channels) {
    return add_row(r, "batchnorm", "weight", channels) && add_row(r, "batchnorm", "running_mean", channels) &&
           add_row(r, "batchnorm", "running_var", channels);
}

/* Strides of a matrix of which the file has the columns: its first dimension is the fastest. */
static void transpose(struct bn_torch_tensor *t) {
    for (int d = 1; d < t->rank; d++) t->strides[d] *= t->dims[0];
    t->strides[0] = 1;
}

/* Layers */

/* (size + 2 pad - window) / stride + 1, and 0 where nothing comes out. */
static int64_t steps(int64_t size, int64_t padding, int64_t window, int64_t stride) {
    return size + padding < window ? 0 : (size + padding - window) / stride + 1;
}

static bool read_convolutional(struct reader *r) {
    const bool is_transposed = strncmp(r->section->type, "deconv", 6) == 0;
    int64_t n, size, stride, stride_x, stride_y, pad, padding, groups, norm, flipped, blur;
    if (!number(r, "filters", 1, 1, &n) || !number(r, "size", 1, 1, &size) || !number(r, "stride", 1, 1, &stride) ||
        !number(r, "stride_x", stride, 1, &stride_x) || !number(r, "stride_y", stride, 1, &stride_y) ||
        !number(r, "pad", 0, 0, &pad) || !number(r, "padding", 0, 0, &padding) || !number(r, "groups", 1, 1, &groups) ||
        !number(r, "batch_normalize", 0, 0, &norm) || !number(r, "flipped", 0, 0, &flipped) ||
        !number(r, "antialiasing", 0, 0, &blur))
        return false;
    if (pad) padding = size / 2;
    if (blur) return fail(r, "antialiasing is not read");
    if (r->in.c < 1 || r->in.c % groups || n % groups) return fail(r, "groups do not divide the channels, %" PRId64, r->in.c);
    const char *part = is_transposed ? "deconvolutional" : "convolutional";
    const int64_t weights[] = {is_transposed ? r->in.c : n, is_transposed ? n : r->in.c / groups, size, size};
    if (!bn_cfg_find(&r->cfg, r->section, "share_index")) { /* otherwise they are those of another layer */
        if (!add_row(r, norm ? "batchnorm" : part, "bias", n) || (norm && !add_statistics(r, n))) return false;
        struct bn_torch_tensor *t = add(r, part, "weight", 4, weights);
        if (!t) return false;
        if (flipped) transpose(t);
    }
    r->next.c = n;
    r->next.h = steps(r->in.h, 2 * padding, size, stride_y);
    r->next.w = steps(r->in.w, 2 * padding, size, stride_x);
    if (!is_transposed) return true;
    r->next.h = r->in.h ? (r->in.h - 1) * stride + size - 2 * padding : 0;
    r->next.w = r->in.w ? (r->in.w - 1) * stride + size - 2 * padding : 0;
    return true;
}

static bool read_connected(struct reader *r) {
    int64_t outputs, norm;
    if (!number(r, "output", 1, 1, &outputs) || !number(r, "batch_normalize", 0, 0, &norm)) return false;
    if (r->in.inputs < 1) return fail(r, "nothing comes into it: the .cfg has no sizes of the input");
    const int64_t weights[] = {outputs, r->in.inputs};
    if (!add_row(r, norm ? "batchnorm" : "connected", "bias", outputs)) return false;
    struct bn_torch_tensor *t = add(r, "connected", "weight", 2, weights);
    if (!t || (norm && !add_statistics(r, outputs))) return false;
    if (r->is_transposed) transpose(t);
    r->next = (struct shape){1, 1, outputs, outputs};
    return true;
}

static bool read_batchnorm(struct reader *r) {
    r->has_norm = true;
    if (r->in.c < 1) return fail(r, "no channels come into it");
    return (!r->has_norm_biases || add_row(r, "batchnorm", "bias", r->in.c)) && add_statistics(r, r->in.c);
}

static bool read_local(struct reader *r) {
    int64_t n, size, stride, pad, places;
    if (!number(r, "filters", 1, 1, &n) || !number(r, "size", 1, 1, &size) || !number(r, "stride", 1, 1, &stride) ||
        !number(r, "pad", 0, 0, &pad))
        return false;
    const int64_t h = steps(r->in.h, 0, pad ? 1 : size, stride), w = steps(r->in.w, 0, pad ? 1 : size, stride);
    if (h < 1 || w < 1 || r->in.c < 1) return fail(r, "nothing comes out of it: the .cfg has no sizes of the input");
    if (__builtin_mul_overflow(h, w, &places)) return fail(r, "a layer of too many numbers");
    const int64_t weights[] = {places, n, r->in.c, size, size}, biases[] = {n, h, w};
    if (!add(r, "local", "bias", 3, biases) || !add(r, "local", "weight", 5, weights)) return false;
    r->next = (struct shape){h, w, n, 0};
    return true;
}

static bool read_pool(struct reader *r) {
    int64_t size, stride, stride_x, stride_y, padding, depth, channels;
    if (!number(r, "stride", 1, 1, &stride) || !number(r, "stride_x", stride, 1, &stride_x) ||
        !number(r, "stride_y", stride, 1, &stride_y) || !number(r, "size", stride, 1, &size) ||
        !number(r, "padding", size - 1, 0, &padding) || !number(r, "maxpool_depth", 0, 0, &depth) ||
        !number(r, "out_channels", 1, 1, &channels))
        return false;
    r->next.h = steps(r->in.h, padding, size, stride_y);
    r->next.w = steps(r->in.w, padding, size, stride_x);
    if (depth) r->next.c = channels;
    return true;
}

static bool read_average(struct reader *r) {
    r->next.h = r->next.w = 1;
    return true;
}

/* A layer that is named by its number, or by its distance. */
static const struct shape *find_layer(struct reader *r, int64_t index) {
    const int64_t at = index < 0 ? (int64_t)r->layer + index : index;
    if (at < 0 || at >= (int64_t)r->layer) return fail(r, "there is no layer %" PRId64 " before it", index), NULL;
    return &r->out[at];
}

static bool read_route(struct reader *r) {
    const char *list = bn_cfg_find(&r->cfg, r->section, "layers");
    int64_t index, groups, sum = 0;
    if (!list) return fail(r, "layers= is missing");
    for (bool is_first = true; is_first || *list; is_first = false) {
        if (!bn_cfg_next(&list, &index)) return fail(r, "layers= is no list of numbers");
        const struct shape *from = find_layer(r, index);
        if (!from) return false;
        if (is_first) r->next = *from;
        if (__builtin_add_overflow(sum, from->c, &sum)) return fail(r, "a layer of too many numbers");
    }
    if (!number(r, "groups", 1, 1, &groups)) return false;
    if (sum % groups) return fail(r, "groups do not divide the channels, %" PRId64, sum);
    r->next.c = sum / groups;
    return true;
}

/* AlexeyAB's may have weights: one for each of its layers, or for each channel of them. */
static bool read_shortcut(struct reader *r) {
    const char *list = bn_cfg_find(&r->cfg, r->section, "from"), *type = bn_cfg_find(&r->cfg, r->section, "weights_type");
    int64_t index, rows[] = {1, r->in.c};
    if (!list) return fail(r, "from= is missing");
    for (; *list; rows[0]++) {
        if (!bn_cfg_next(&list, &index)) return fail(r, "from= is no list of numbers");
        if (!find_layer(r, index)) return false;
    }
    if (!type || strcmp(type, "none") == 0) return true;
    const bool is_each = strcmp(type, "per_channel") == 0;
    if (!is_each && strcmp(type, "per_feature") != 0 && strcmp(type, "per_layer") != 0)
        return fail(r, "weights_type=%.40s is not known", type);
    return add(r, "shortcut", "weight", is_each ? 2 : 1, rows) != NULL;
}

static bool read_scale_channels(struct reader *r) {
    int64_t index;
    if (!number(r, "from", -1, -INT32_MAX, &index)) return false;
    const struct shape *from = find_layer(r, index);
    if (!from) return false;
    r->next = *from;
    return true;
}

static bool read_upsample(struct reader *r) {
    int64_t stride;
    if (!number(r, "stride", 2, -INT32_MAX, &stride)) return false;
    if (stride == 0) return fail(r, "stride must not be 0");
    r->next.h = stride > 0 ? r->in.h * stride : r->in.h / -stride;
    r->next.w = stride > 0 ? r->in.w * stride : r->in.w / -stride;
    return true;
}

static bool read_reorg(struct reader *r) {
    int64_t stride, reverse, extra;
    if (!number(r, "stride", 1, 1, &stride) || !number(r, "reverse", 0, 0, &reverse) || !number(r, "extra", 0, 0, &extra))
        return false;
    if (extra) return fail(r, "extra= is not read");
    if (stride > 4096) return fail(r, "stride is too large");
    r->next.h = reverse ? r->in.h * stride : r->in.h / stride;
    r->next.w = reverse ? r->in.w * stride : r->in.w / stride;
    r->next.c = reverse ? r->in.c / (stride * stride) : r->in.c * stride * stride;
    return true;
}

static bool read_crop(struct reader *r) {
    return number(r, "crop_height", 1, 1, &r->next.h) && number(r, "crop_width", 1, 1, &r->next.w);
}

/* Layers without numbers, whose outputs have the sizes of their inputs. */
static bool read_nothing(struct reader *r) {
    (void)r;
    return true;
}

static const struct {
    const char *type;
    bool (*read)(struct reader *);
} kinds[] = {{"convolutional", read_convolutional},
             {"conv", read_convolutional},
             {"deconvolutional", read_convolutional},
             {"deconv", read_convolutional},
             {"connected", read_connected},
             {"conn", read_connected},
             {"batchnorm", read_batchnorm},
             {"local", read_local},
             {"maxpool", read_pool},
             {"max", read_pool},
             {"local_avgpool", read_pool},
             {"local_avg", read_pool},
             {"avgpool", read_average},
             {"avg", read_average},
             {"route", read_route},
             {"shortcut", read_shortcut},
             {"scale_channels", read_scale_channels},
             {"sam", read_nothing},
             {"upsample", read_upsample},
             {"reorg", read_reorg},
             {"reorg3d", read_reorg},
             {"reorg_old", read_reorg},
             {"crop", read_crop},
             {"activation", read_nothing},
             {"dropout", read_nothing},
             {"softmax", read_nothing},
             {"soft", read_nothing},
             {"cost", read_nothing},
             {"normalization", read_nothing},
             {"lrn", read_nothing},
             {"l2norm", read_nothing},
             {"logistic", read_nothing},
             {"logxent", read_nothing},
             {"contrastive", read_nothing},
             {"detection", read_nothing},
             {"region", read_nothing},
             {"yolo", read_nothing},
             {"Gaussian_yolo", read_nothing},
             {"iseg", read_nothing},
             {"empty", read_nothing},
             {"silence", read_nothing}};

static bool read_layer(struct reader *r) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].type, r->section->type) != 0) continue;
        r->next = r->in;
        r->next.inputs = 0;
        if (!kinds[i].read(r)) return false;
        struct shape *s = &r->next;
        const bool is_in_range = s->h >= 0 && s->h <= INT32_MAX && s->w >= 0 && s->w <= INT32_MAX && s->c <= INT32_MAX;
        if (!is_in_range || __builtin_mul_overflow(s->h, s->w, &s->inputs) ||
            __builtin_mul_overflow(s->inputs, s->c, &s->inputs))
            return fail(r, "sizes that do not fit");
        return true;
    }
    return fail(r, "a layer that is not read: whether it has numbers in the file is not known");
}

static bool read_net(struct reader *r) {
    struct shape *s = &r->in;
    int64_t all;
    if (strcmp(r->section->type, "net") != 0 && strcmp(r->section->type, "network") != 0)
        return fail(r, "a .cfg begins with [net]");
    if (!number(r, "height", 0, 0, &s->h) || !number(r, "width", 0, 0, &s->w) || !number(r, "channels", 0, 0, &s->c))
        return false;
    if (__builtin_mul_overflow(s->h, s->w, &all) || __builtin_mul_overflow(all, s->c, &all))
        return fail(r, "sizes that do not fit");
    return all > INT32_MAX ? fail(r, "sizes that do not fit") : number(r, "inputs", all, 0, &s->inputs);
}

/* Goes through all layers and lists their tensors; at is the number of numbers then. */
static bool read_layers(struct reader *r) {
    r->section = &r->cfg.sections[0];
    r->at = 0;
    if (!read_net(r)) return false;
    for (r->layer = 0; r->layer < r->layers; r->layer++) {
        r->section = &r->cfg.sections[r->layer + 1];
        if (!read_layer(r)) return false;
        r->in = r->out[r->layer] = r->next;
        r->ends[r->layer] = r->at;
    }
    return true;
}

/* The file */

/* Three numbers of the version, then how many images were seen: of 32 bits in old files. */
struct header {
    uint32_t major, minor;
    size_t bytes;
    bool is_unsure;     /* the programs do not agree how long it is */
    bool is_transposed; /* fully connected layers */
};

static uint32_t word(const unsigned char *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static bool read_header(struct header *h, const struct bn_map *map) {
    if (map->bytes < 16) return false;
    h->major = word(map->base);
    h->minor = word(map->base + 4);
    h->is_transposed = h->major > 1000 || h->minor > 1000;
    h->is_unsure = h->major >= 1000 || h->minor >= 1000;
    h->bytes = !h->is_unsure && h->major * 10 + h->minor >= 2 ? 20 : 16;
    return map->bytes >= h->bytes;
}

static bool add_header(struct reader *r, const struct header *h) {
    static const char *const names[] = {"version", "seen"};
    struct bn_torch *t = r->torch;
    for (int i = 0; i < 2; i++) {
        if (!add(r, "", "", 0, NULL)) return false;
        struct bn_torch_tensor *to = &t->tensors[t->tensor_count - 1];
        free(to->name);
        to->name = strdup(names[i]);
        if (!to->name) return t->tensor_count--, r->no_memory = true, false;
        to->type = i == 0 ? BN_ONNX_INT32 : h->bytes == 20 ? BN_TORCH_UINT64 : BN_TORCH_UINT32;
        to->rank = i == 0;
        to->dims[0] = 3;
        to->strides[0] = 1;
        to->offset = 0;
        to->storage = i == 0 ? (struct bn_slice){0, 12} : (struct bn_slice){12, h->bytes};
    }
    return true;
}

/* Which layer the file ends after, where it ends after one. */
static batchnorm_status wrong_size(const struct reader *r, int64_t numbers, size_t rest) {
    for (size_t i = 0; i < r->layers && rest == 0 && numbers < r->at; i++)
        if (r->ends[i] == numbers) {
            snprintf(r->why, BN_ONNX_BYTES, "ends after layer %zu of %zu: a .cfg of as many layers is needed", i, r->layers);
            return BATCHNORM_BAD_FILE;
        }
    snprintf(r->why, BN_ONNX_BYTES, "has %" PRId64 " numbers%s, and its .cfg has layers of %" PRId64, numbers,
             rest ? " and a part of one" : "", r->at);
    return BATCHNORM_BAD_FILE;
}

/* Tries the orders of both programs, and both lengths of the header where they do not agree: the one that uses every byte is
 * right. */
static batchnorm_status read_file(struct reader *r, struct header *h) {
    const struct bn_map *map = r->torch->map;
    for (int attempt = 0; attempt < 4; attempt++) {
        const size_t header = attempt < 2 ? h->bytes : 20;
        r->has_norm_biases = attempt % 2 == 0;
        if ((attempt % 2 == 1 && !r->has_norm) || (attempt >= 2 && (!h->is_unsure || map->bytes < 20))) continue;
        for (size_t i = 0; i < r->torch->tensor_count; i++) free(r->torch->tensors[i].name);
        r->torch->tensor_count = 0;
        if (!read_layers(r)) return r->no_memory ? BATCHNORM_NO_MEMORY : BATCHNORM_BAD_FILE;
        if ((uint64_t)r->at != (map->bytes - header) / 4 || (map->bytes - header) % 4) continue;
        for (size_t i = 0; i < r->torch->tensor_count; i++)
            r->torch->tensors[i].storage = (struct bn_slice){header, map->bytes};
        h->bytes = header;
        return BATCHNORM_OK;
    }
    return wrong_size(r, (int64_t)((map->bytes - h->bytes) / 4), (map->bytes - h->bytes) % 4);
}

batchnorm_status bn_darknet_index(struct bn_torch *t, const struct bn_map *weights, const struct bn_map *cfg, char *why) {
    struct reader r = {.torch = t, .why = why};
    struct header h;
    char text[BN_CFG_BYTES];
    *t = (struct bn_torch){.map = weights};
    const char *wrong = bn_cfg_read(&r.cfg, cfg->base, cfg->bytes, text);
    batchnorm_status status = wrong ? BATCHNORM_BAD_FILE : BATCHNORM_OK;
    r.no_memory = r.cfg.no_memory;
    if (wrong) snprintf(why, BN_ONNX_BYTES, "%s", wrong);
    if (!status && !read_header(&h, weights)) {
        snprintf(why, BN_ONNX_BYTES, "is too short for a Darknet file");
        status = BATCHNORM_BAD_FILE;
    }
    if (!status) {
        r.layers = r.cfg.section_count - 1;
        r.out = calloc(r.layers + 1, sizeof *r.out);
        r.ends = calloc(r.layers + 1, sizeof *r.ends);
        r.is_transposed = h.is_transposed;
        r.no_memory = !r.out || !r.ends;
        status = r.no_memory ? BATCHNORM_NO_MEMORY : read_file(&r, &h);
        if (!status && !add_header(&r, &h)) status = BATCHNORM_NO_MEMORY;
    }
    if (r.no_memory) status = BATCHNORM_NO_MEMORY;
    if (r.no_memory) snprintf(why, BN_ONNX_BYTES, "no memory for its tensors");
    bn_cfg_free(&r.cfg);
    free(r.out);
    free(r.ends);
    return status;
}
