/* SPDX-License-Identifier: MIT */
/* The statements of golden/vectors.txt. A tensor is declared with its strides and its whole storage:
 *
 *     tensor NAME TYPE RANK SIZE... STRIDE... OFFSET COUNT VALUE...      an input
 *     output NAME TYPE RANK SIZE... STRIDE...                            room for a result
 *     layer DIMS FEATURES|lazy TYPE [OPTION=VALUE...]                    see set_option()
 *     forward X Y SAVED STATUS        SAVED: "own", or a name for a place of its own
 *     backward SAVED X DY DX accumulate|overwrite STATUS
 *     jvp SAVED X TX TWEIGHT TBIAS TY STATUS
 *     double SAVED X DY VX VWEIGHT VBIAS GX GDY GWEIGHT STATUS
 *     functional train|eval X Y WEIGHT BIAS MEAN VAR MOMENTUM EPS STATUS  the raw interface
 *     expect NAME ABSOLUTE RELATIVE VALUE...      a tensor, a parameter, its grad ("weight.grad") or a buffer
 *
 * "-" stands for an argument that is absent. The others need one line each: see the table at the end. A call that must fail
 * must also leave the layer and every tensor as they were. Long because it is a table of small functions. */
#include "replay.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/layer_calls.h"
#include "tests/support/raw_calls.h"
#include "tests/support/support.h"

struct words {
    int count;
    char **word;
};

#define FAIL(...) return snprintf(r->error, sizeof r->error, __VA_ARGS__), false

static const char *status_name(batchnorm_status status) {
#define NAME(name, text) #name,
    static const char *const names[] = {BATCHNORM_STATUS_LIST(NAME)};
#undef NAME
    return (size_t)status < sizeof names / sizeof *names ? names[status] : "unknown";
}

static batchnorm_dtype parse_dtype(const char *word) {
    for (int i = BATCHNORM_F32; i <= BATCHNORM_I64; i++)
        if (strcmp(word, dtype_name((batchnorm_dtype)i)) == 0) return (batchnorm_dtype)i;
    return (batchnorm_dtype)-1;
}

/* tensors */

static struct replay_tensor *find(struct replay *r, const char *name) {
    for (int i = 0; i < r->tensor_count; i++)
        if (strcmp(r->tensors[i].name, name) == 0) return &r->tensors[i];
    return NULL;
}

/* A new tensor, or an old one anew. */
static struct replay_tensor *place(struct replay *r, const char *name) {
    struct replay_tensor *t = find(r, name);
    if (!t && r->tensor_count < REPLAY_TENSORS) t = &r->tensors[r->tensor_count++];
    if (!t) return NULL;
    free(t->storage);
    *t = (struct replay_tensor){.view.rank = -1};
    snprintf(t->name, sizeof t->name, "%s", name);
    return t;
}

/* NAME TYPE RANK SIZE... STRIDE...; returns the number of words read, 0 on error. */
static int declare(struct replay *r, const struct words *w, struct replay_tensor **tensor) {
    struct replay_tensor *t = w->count > 3 ? place(r, w->word[1]) : NULL;
    int rank = t ? atoi(w->word[3]) : -1;
    if (rank < 0 || rank > BATCHNORM_MAX_RANK || w->count < 4 + 2 * rank) return 0;
    t->view.dtype = parse_dtype(w->word[2]);
    t->view.rank = rank;
    for (int i = 0; i < rank; i++) {
        t->view.shape[i] = atoll(w->word[4 + i]);
        t->view.stride[i] = atoll(w->word[4 + rank + i]);
    }
    *tensor = t;
    return 4 + 2 * rank;
}

static void allocate(struct replay_tensor *t, size_t count, size_t offset) {
    size_t bytes = batchnorm_dtype_bytes(t->view.dtype);
    t->storage_bytes = count * bytes;
    t->storage = malloc(t->storage_bytes + 1);
    memset(t->storage, 0x2b, t->storage_bytes + 1);
    t->view.data = count ? (char *)t->storage + offset * bytes : NULL;
}

static bool do_tensor(struct replay *r, const struct words *w) {
    struct replay_tensor *t;
    int at = declare(r, w, &t);
    if (!at || w->count < at + 2) FAIL("malformed tensor");
    size_t offset = (size_t)atoll(w->word[at]), count = (size_t)atoll(w->word[at + 1]);
    if ((size_t)(w->count - at - 2) != count) FAIL("tensor %s has %d values, not %zu", t->name, w->count - at - 2, count);
    allocate(t, count, offset);
    for (size_t i = 0; i < count; i++)
        element_set(t->view.dtype, t->storage, (ptrdiff_t)i, strtod(w->word[at + 2 + (int)i], NULL));
    return true;
}

static bool do_output(struct replay *r, const struct words *w) {
    struct replay_tensor *t;
    if (!declare(r, w, &t)) FAIL("malformed output");
    size_t count = 1;
    for (int i = 0; i < t->view.rank; i++)
        count = t->view.shape[i] ? count + (size_t)((t->view.shape[i] - 1) * t->view.stride[i]) : 0;
    allocate(t, batchnorm_tensor_elements(&t->view) ? count : 0, 0);
    return true;
}

/* The tensor of a word; "-" gives an absent one, like x in shape. */
static batchnorm_tensor view(struct replay *r, const char *name, batchnorm_tensor like) {
    struct replay_tensor *t = find(r, name);
    if (t) return t->view;
    like.data = NULL;
    return like;
}

static const void *vector(struct replay *r, const char *name) {
    struct replay_tensor *t = find(r, name);
    return t ? t->view.data : NULL;
}

/* the layer */

static void set_option(batchnorm_layer_options *o, const char *name, const char *value) {
    bool yes = strcmp(value, "true") == 0;
    if (strcmp(name, "affine") == 0) o->affine = yes;
    if (strcmp(name, "bias") == 0) o->bias = yes;
    if (strcmp(name, "track_running_stats") == 0) o->track_running_stats = yes;
    if (strcmp(name, "eps") == 0) o->convention.eps = strtod(value, NULL);
    if (strcmp(name, "momentum") != 0) return;
    o->cumulative = strcmp(value, "none") == 0;
    if (!o->cumulative) o->convention.momentum = strtod(value, NULL);
}

static batchnorm_status create(struct replay *r, const struct words *w) {
    bool lazy = strcmp(w->word[2], "lazy") == 0;
    batchnorm_layer_options o = batchnorm_layer_defaults(atoi(w->word[1]), lazy ? 0 : atoll(w->word[2]));
    o.lazy = lazy;
    o.dtype = parse_dtype(w->word[3]);
    for (int i = 4; i < w->count; i++) {
        char *equals = strchr(w->word[i], '=');
        if (!equals) continue;
        *equals = '\0';
        set_option(&o, w->word[i], equals + 1);
    }
    return batchnorm_layer_create(&o, &r->layer);
}

static bool do_layer(struct replay *r, const struct words *w) {
    batchnorm_status status = create(r, w);
    if (status) FAIL("create: %s", status_name(status));
    return true;
}

static bool do_create_fails(struct replay *r, const struct words *w) {
    batchnorm_status status = create(r, w);
    if (strcmp(status_name(status), w->word[4]) != 0) FAIL("create: %s", status_name(status));
    return true;
}

/* A view of what a name stands for: a tensor, "weight", "weight.grad", a buffer. data is NULL if there is none. */
static batchnorm_tensor lookup(struct replay *r, const char *name) {
    struct replay_tensor *t = find(r, name);
    batchnorm_tensor none = {0};
    if (t) return t->view;
    if (!r->layer) return none;
    batchnorm_parameter *p =
        strncmp(name, "weight", 6) == 0 ? batchnorm_layer_weight(r->layer) : batchnorm_layer_bias(r->layer);
    if (strcmp(name, "weight") == 0 || strcmp(name, "bias") == 0) return p ? p->value : none;
    if (strcmp(name, "gweight") == 0) return none;
    if (strcmp(name, "weight.grad") == 0 || strcmp(name, "bias.grad") == 0) return p ? p->grad : none;
    if (strcmp(name, "running_mean") == 0) return batchnorm_layer_running_mean(r->layer);
    if (strcmp(name, "running_var") == 0) return batchnorm_layer_running_var(r->layer);
    int64_t *count = batchnorm_layer_num_batches_tracked(r->layer);
    return count && strcmp(name, "num_batches_tracked") == 0 ? batchnorm_tensor_contiguous(count, BATCHNORM_I64, 0, NULL)
                                                             : none;
}

static double value_at(const batchnorm_tensor *t, int64_t i) {
    ptrdiff_t at = 0;
    for (int d = t->rank - 1; d >= 0; d--) {
        at += (ptrdiff_t)(i % t->shape[d] * t->stride[d]);
        i /= t->shape[d];
    }
    return t->dtype == BATCHNORM_I64 ? (double)((int64_t *)t->data)[at] : element_get(t->dtype, t->data, at);
}

static bool do_set(struct replay *r, const struct words *w) {
    batchnorm_tensor t = lookup(r, w->word[1]);
    if (!t.data && w->count > 2) FAIL("there is no %s", w->word[1]);
    for (int i = 2; i < w->count; i++) {
        if (t.dtype == BATCHNORM_I64)
            ((int64_t *)t.data)[i - 2] = atoll(w->word[i]);
        else
            element_set(t.dtype, t.data, i - 2, strtod(w->word[i], NULL));
    }
    return true;
}

static bool do_expect(struct replay *r, const struct words *w) {
    batchnorm_tensor t = lookup(r, w->word[1]);
    double absolute = strtod(w->word[2], NULL), relative = strtod(w->word[3], NULL);
    int64_t count = t.rank == 0 && !t.data ? -1 : batchnorm_tensor_elements(&t);
    if (count != w->count - 4) FAIL("%s has %lld values, expected %d", w->word[1], (long long)count, w->count - 4);
    for (int i = 0; i < count; i++) {
        double want = strtod(w->word[4 + i], NULL), got = value_at(&t, i);
        bool same = isnan(want) ? isnan(got) : got == want || fabs(got - want) <= absolute + relative * fabs(want);
        if (!same)
            FAIL("%s[%d] is %.17g, expected %.17g within %g", w->word[1], i, got, want, absolute + relative * fabs(want));
    }
    return true;
}

static bool do_absent(struct replay *r, const struct words *w) {
    if (lookup(r, w->word[1]).data) FAIL("there is a %s", w->word[1]);
    return true;
}

/* calls */

/* The bits of the layer and of every tensor. */
static uint64_t picture(struct replay *r) {
    uint64_t hash = 14695981039346656037u;
    batchnorm_named_tensor state[BATCHNORM_STATE_MAX];
    size_t entries = r->layer ? batchnorm_layer_state(r->layer, state) : 0;
    for (size_t i = 0; i < entries + (size_t)r->tensor_count; i++) {
        const unsigned char *data = i < entries ? state[i].tensor.data : r->tensors[i - entries].storage;
        size_t bytes = i < entries
                           ? (size_t)batchnorm_tensor_elements(&state[i].tensor) * batchnorm_dtype_bytes(state[i].tensor.dtype)
                           : r->tensors[i - entries].storage_bytes;
        for (size_t j = 0; j < bytes; j++) hash = (hash ^ data[j]) * 1099511628211u;
    }
    return hash;
}

static bool judge(struct replay *r, batchnorm_status status, const char *wanted, uint64_t before) {
    if (strcmp(status_name(status), wanted) != 0)
        FAIL("%s (%s), expected %s", status_name(status), r->layer ? batchnorm_layer_message(r->layer) : "", wanted);
    if (status && status != BATCHNORM_NOT_COMMITTED && picture(r) != before) FAIL("something was written on %s", wanted);
    if (status && r->layer && batchnorm_layer_message(r->layer)[0] == '\0') FAIL("no message on %s", wanted);
    return true;
}

static batchnorm_saved *saved(struct replay *r, const char *name) {
    if (strcmp(name, "own") == 0) return NULL;
    for (int i = 0; i < REPLAY_SAVED; i++) {
        if (strcmp(r->saved[i].name, name) == 0) return r->saved[i].saved;
        if (r->saved[i].saved) continue;
        snprintf(r->saved[i].name, sizeof r->saved[i].name, "%s", name);
        return batchnorm_saved_create(r->layer, &r->saved[i].saved) ? NULL : r->saved[i].saved;
    }
    return NULL;
}

static bool do_forward(struct replay *r, const struct words *w) {
    batchnorm_tensor x = lookup(r, w->word[1]), y = lookup(r, w->word[2]);
    uint64_t before = picture(r);
    return judge(r, batchnorm_layer_forward(r->layer, x, y, saved(r, w->word[3]), 0, NULL), w->word[4], before);
}

static bool do_backward(struct replay *r, const struct words *w) {
    batchnorm_tensor x = lookup(r, w->word[2]), dy = lookup(r, w->word[3]);
    unsigned flags = strcmp(w->word[5], "accumulate") == 0 ? BATCHNORM_ACCUMULATE : 0;
    uint64_t before = picture(r);
    batchnorm_tensor dx = view(r, w->word[4], x);
    return judge(r, batchnorm_layer_backward(r->layer, saved(r, w->word[1]), x, dy, dx, flags, NULL), w->word[6], before);
}

static bool do_jvp(struct replay *r, const struct words *w) {
    batchnorm_tensor x = lookup(r, w->word[2]), tx = lookup(r, w->word[3]), ty = lookup(r, w->word[6]);
    uint64_t before = picture(r);
    const void *tweight = vector(r, w->word[4]), *tbias = vector(r, w->word[5]);
    return judge(r, layer_jvp(r->layer, saved(r, w->word[1]), x, tx, tweight, tbias, ty, NULL), w->word[7], before);
}

static bool do_double(struct replay *r, const struct words *w) {
    batchnorm_tensor x = lookup(r, w->word[2]), dy = lookup(r, w->word[3]), vx = view(r, w->word[4], x);
    batchnorm_tensor weight = lookup(r, "weight"), gx = lookup(r, w->word[7]), gdy = lookup(r, w->word[8]);
    void *gweight = NULL;
    if (weight.data) { /* a tensor of its own name, made here */
        struct replay_tensor *t = place(r, w->word[9]);
        t->view = batchnorm_tensor_contiguous(NULL, weight.dtype, 1, weight.shape);
        allocate(t, (size_t)weight.shape[0], 0);
        gweight = t->view.data;
    }
    uint64_t before = picture(r);
    batchnorm_status status = layer_double_backward(r->layer, saved(r, w->word[1]), x, dy, vx, vector(r, w->word[5]),
                                                    vector(r, w->word[6]), gx, gdy, gweight, NULL);
    return judge(r, status, w->word[10], before);
}

static bool do_functional(struct replay *r, const struct words *w) {
    batchnorm_tensor x = lookup(r, w->word[2]), y = lookup(r, w->word[3]);
    const void *weight = vector(r, w->word[4]), *bias = vector(r, w->word[5]);
    size_t inner = 1;
    for (int i = 2; i < x.rank; i++) inner *= (size_t)x.shape[i];
    struct strided shape = planar(x.dtype, (size_t)x.shape[0], (size_t)x.shape[1], inner);
    batchnorm_options o = batchnorm_convention(BATCHNORM_PYTORCH);
    o.momentum = strtod(w->word[8], NULL);
    o.eps = strtod(w->word[9], NULL);
    batchnorm_tensor mean = lookup(r, w->word[6]), var = lookup(r, w->word[7]);
    uint64_t before = picture(r);
    batchnorm_status status = strcmp(w->word[1], "train") == 0
                                  ? raw_forward(&shape, x.data, weight, bias, y.data, mean.data, var.data, NULL, NULL, &o, NULL)
                                  : raw_infer(&shape, x.data, weight, bias, mean.data, var.data, y.data, NULL, NULL, &o, NULL);
    return judge(r, status, w->word[10], before);
}

/* modes and options */

static bool do_train(struct replay *r, const struct words *w) {
    (void)w;
    batchnorm_layer_train(r->layer);
    return true;
}

static bool do_eval(struct replay *r, const struct words *w) {
    (void)w;
    batchnorm_layer_eval(r->layer);
    return true;
}

static bool do_track(struct replay *r, const struct words *w) {
    batchnorm_layer_set_track_running_stats(r->layer, strcmp(w->word[1], "true") == 0);
    return true;
}

static bool do_momentum(struct replay *r, const struct words *w) {
    batchnorm_options o = batchnorm_layer_get_options(r->layer).convention;
    bool none = strcmp(w->word[1], "none") == 0;
    if (!none) o.momentum = strtod(w->word[1], NULL);
    batchnorm_layer_set_convention(r->layer, &o);
    batchnorm_layer_set_cumulative(r->layer, none);
    return true;
}

static bool do_remove(struct replay *r, const struct words *w) {
    if (batchnorm_layer_remove(r->layer, w->word[1])) FAIL("%s was not removed", w->word[1]);
    return true;
}

static bool do_requires(struct replay *r, const struct words *w) {
    batchnorm_parameter *p =
        strcmp(w->word[1], "weight") == 0 ? batchnorm_layer_weight(r->layer) : batchnorm_layer_bias(r->layer);
    if (!p) FAIL("there is no %s", w->word[1]);
    p->requires_grad = strcmp(w->word[2], "true") == 0;
    return true;
}

static bool do_reset_running_stats(struct replay *r, const struct words *w) {
    (void)w;
    batchnorm_layer_reset_running_stats(r->layer);
    return true;
}

static bool do_reset_parameters(struct replay *r, const struct words *w) {
    (void)w;
    batchnorm_layer_reset_parameters(r->layer);
    return true;
}

static bool do_zero_grad(struct replay *r, const struct words *w) {
    (void)w;
    batchnorm_layer_zero_grad(r->layer);
    return true;
}

/* texts and state */

static void join(const struct words *w, char *text, size_t size) {
    text[0] = '\0';
    for (int i = 1; i < w->count; i++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s", i > 1 ? " " : "", w->word[i]);
    }
}

static bool do_repr(struct replay *r, const struct words *w) {
    char want[300], got[300];
    join(w, want, sizeof want);
    batchnorm_layer_repr(r->layer, got, sizeof got);
    if (strcmp(got, want) != 0) FAIL("repr is %s", got);
    return true;
}

static bool do_message(struct replay *r, const struct words *w) {
    char want[300];
    join(w, want, sizeof want);
    if (!strstr(batchnorm_layer_message(r->layer), want)) FAIL("the message is: %s", batchnorm_layer_message(r->layer));
    return true;
}

static bool do_keys(struct replay *r, const struct words *w) {
    batchnorm_named_tensor state[BATCHNORM_STATE_MAX];
    size_t count = batchnorm_layer_state(r->layer, state);
    if (count != (size_t)w->count - 1) FAIL("the state has %zu entries", count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(state[i].name, w->word[i + 1]) != 0) FAIL("key %zu is %s", i, state[i].name);
    return true;
}

/* Adds to the state that the next "load" gives. */
static bool do_state(struct replay *r, const struct words *w) {
    struct replay_tensor *t = place(r, w->word[1]);
    bool counter = strcmp(w->word[1], "num_batches_tracked") == 0;
    if (!t || r->state_count > BATCHNORM_STATE_MAX) FAIL("too many tensors");
    int64_t count = w->count - 2;
    t->view = batchnorm_tensor_contiguous(NULL, counter ? BATCHNORM_I64 : BATCHNORM_F32, counter ? 0 : 1, &count);
    allocate(t, (size_t)count, 0);
    for (int i = 0; i < count; i++) {
        if (counter)
            ((int64_t *)t->storage)[i] = (int64_t)strtod(w->word[2 + i], NULL);
        else
            element_set(BATCHNORM_F32, t->storage, i, strtod(w->word[2 + i], NULL));
    }
    r->state[r->state_count++] = (batchnorm_named_tensor){t->name, t->view};
    return true;
}

static bool do_load(struct replay *r, const struct words *w) {
    uint64_t before = picture(r);
    bool strict = strcmp(w->word[2], "1") == 0;
    batchnorm_status status = batchnorm_layer_load_state(r->layer, r->state, r->state_count, atoi(w->word[1]), strict);
    if (!judge(r, status, w->word[3], before)) return false;
    for (int i = 0; i < r->tensor_count; i++) r->tensors[i].name[0] = '\0'; /* from here on the names are the layer's */
    return true;
}

/* the statements, with the number of words each needs at least */
static const struct {
    const char *name;
    bool (*run)(struct replay *r, const struct words *w);
    int words;
} statements[] = {{"layer", do_layer, 4},
                  {"create_fails", do_create_fails, 5},
                  {"set", do_set, 2},
                  {"tensor", do_tensor, 6},
                  {"output", do_output, 4},
                  {"forward", do_forward, 5},
                  {"backward", do_backward, 7},
                  {"jvp", do_jvp, 8},
                  {"double", do_double, 11},
                  {"functional", do_functional, 11},
                  {"expect", do_expect, 4},
                  {"absent", do_absent, 2},
                  {"train", do_train, 1},
                  {"eval", do_eval, 1},
                  {"track", do_track, 2},
                  {"momentum", do_momentum, 2},
                  {"remove", do_remove, 2},
                  {"requires", do_requires, 3},
                  {"reset_running_stats", do_reset_running_stats, 1},
                  {"reset_parameters", do_reset_parameters, 1},
                  {"zero_grad", do_zero_grad, 1},
                  {"repr", do_repr, 2},
                  {"message", do_message, 2},
                  {"keys", do_keys, 1},
                  {"state", do_state, 2},
                  {"load", do_load, 4}};

static bool run(struct replay *r, const struct words *w) {
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        if (strcmp(statements[i].name, w->word[0]) == 0) {
            if (w->count < statements[i].words) FAIL("%s has too few words", w->word[0]);
            return statements[i].run(r, w);
        }
    FAIL("unknown statement %s", w->word[0]);
}

bool replay_line(struct replay *r, const char *line) {
    size_t length = strlen(line);
    char *copy = malloc(length + 1);
    memcpy(copy, line, length + 1);
    struct words w = {.word = calloc(length / 2 + 2, sizeof *w.word)};
    for (char *at = strtok(copy, " "); at; at = strtok(NULL, " ")) w.word[w.count++] = at;
    bool good = w.count == 0 || w.word[0][0] == '#' || run(r, &w);
    free(w.word);
    free(copy);
    return good;
}

void replay_end(struct replay *r) {
    for (int i = 0; i < REPLAY_SAVED; i++) batchnorm_saved_destroy(r->saved[i].saved);
    batchnorm_layer_destroy(r->layer);
    for (int i = 0; i < r->tensor_count; i++) free(r->tensors[i].storage);
    *r = (struct replay){0};
}
