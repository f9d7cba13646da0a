/* SPDX-License-Identifier: MIT */
#include "api/raw.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/sized.h"

static batchnorm_status say(const batchnorm_exec *exec, batchnorm_status status, const char *before, const char *sentence) {
    if (exec && exec->message) snprintf(exec->message, exec->message_bytes, "%s%s", before, sentence);
    return status;
}

/* Ends a call with the status of a check or of plan, and says why. */
static batchnorm_status end(const struct bn_raw *r, const batchnorm_exec *exec, batchnorm_status status) {
    static const char *const names[BN_ARRAYS] = {"x", "z", "y", "dy", "dx", "dz", "tx", "ty", "vx", "gx", "gdy"};
    char text[BN_FAULT_TEXT];
    if (!status) return status;
    if (r->why[0]) return say(exec, status, "", r->why);
    if (status != BATCHNORM_OVERLAP && status != BATCHNORM_BAD_STRIDE)
        return say(exec, status, "", batchnorm_status_string(status));
    return say(exec, status, "", bn_fault_text(status, &r->k.fault, names, r->k.numbers, text));
}

void bn_raw_options(struct bn_raw *r, const batchnorm_options *options) {
    r->options = options ? *options : batchnorm_convention(BATCHNORM_PYTORCH);
}

batchnorm_status bn_call_start(struct bn_call *k, const batchnorm_shape *shape, unsigned outputs, unsigned alias) {
    k->outputs = outputs;
    k->alias = alias;
    k->count = 0;
    memset(k->own, 0, sizeof k->own);
    return bn_geometry_from_shape(shape, &k->g);
}

void bn_raw_part(struct bn_raw *r, size_t grain, size_t first_sample, batchnorm_group *group) {
    r->k.g.grain = grain;
    r->k.g.first = grain ? first_sample : 0;
    r->group = group;
}

void bn_raw_mask(struct bn_raw *r, const batchnorm_mask *mask) {
    r->k.g.mask = (struct bn_mask){.is_there = mask->data || mask->lengths,
                                   .outputs = (mask->flags & BATCHNORM_MASK_OUTPUTS) != 0,
                                   .data = mask->data,
                                   .stride = {mask->outer, mask->inner},
                                   .lengths = mask->lengths};
    r->mask_flags = mask->flags;
}

batchnorm_status bn_raw_fail(struct bn_raw *r, batchnorm_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->why, sizeof r->why, format, arguments);
    va_end(arguments);
    return status;
}

batchnorm_status bn_raw_check_flags(struct bn_raw *r, unsigned flags, unsigned known) {
    if (!(flags & ~known)) return BATCHNORM_OK;
    return bn_raw_fail(r, BATCHNORM_BAD_OPTION, "the flags 0x%x are unknown; known are 0x%x", flags & ~known, known);
}

batchnorm_status bn_raw_check_activation(struct bn_raw *r, batchnorm_activation activation) {
    if (!bn_check_activation(activation)) return BATCHNORM_OK;
    return bn_raw_fail(r, BATCHNORM_BAD_OPTION, "the activation %d is none, or its parameter, %g, is outside its range",
                       (int)activation.kind, activation.parameter);
}

/* Says what is wrong with a mask. */
static batchnorm_status check_mask(struct bn_raw *r) {
    const struct bn_geometry *g = &r->k.g;
    if (r->mask_flags & ~(unsigned)BATCHNORM_MASK_OUTPUTS)
        return bn_raw_fail(r, BATCHNORM_BAD_OPTION, "the mask's flags are 0x%x; known is 0x%x", r->mask_flags,
                           (unsigned)BATCHNORM_MASK_OUTPUTS);
    if (!bn_check_mask(g)) return BATCHNORM_OK;
    if (g->mask.data) return bn_raw_fail(r, BATCHNORM_BAD_OPTION, "a mask has data or lengths, not both");
    return bn_raw_fail(r, BATCHNORM_BAD_OPTION, "a length of the mask is above the %zu positions of a sample",
                       g->dims > 1 ? g->extent[g->dims - 1] : 1);
}

/* A part without samples is nowhere. */
batchnorm_status bn_raw_check_part(struct bn_raw *r) {
    const struct bn_geometry *g = &r->k.g;
    const batchnorm_status status = check_mask(r);
    if (status || !g->grain || !g->extent[0]) return status;
    if (g->first % g->grain != 0)
        return bn_raw_fail(r, BATCHNORM_BAD_OPTION,
                           "the first sample has the number %zu, which is no multiple of the grain, %zu", g->first, g->grain);
    if (g->extent[0] > SIZE_MAX - g->first)
        return bn_raw_fail(r, BATCHNORM_BAD_OPTION, "the first sample has the number %zu, and that of the last does not fit",
                           g->first);
    return BATCHNORM_OK;
}

/* Room for a call of any kind. */
union place {
    batchnorm_stats_call stats;
    batchnorm_sums_call sums;
    batchnorm_infer_call infer;
    batchnorm_normalize_call normalize;
    batchnorm_forward_call forward;
    batchnorm_backward_call backward;
    batchnorm_jvp_call jvp;
    batchnorm_double_backward_call double_backward;
};

static const void *take_struct(const struct bn_raw_kind *kind, const void *given, union place *place) {
    return bn_sized(given, place, kind->bytes, kind->first ? kind->first : kind->bytes);
}

static batchnorm_status start(struct bn_raw *r, const struct bn_raw_kind *kind, const void *call) {
    r->needed = 0;
    r->lacks_numbers = r->wants_nothing = r->not_committed = false;
    r->group = NULL;
    r->mask_flags = 0;
    r->why[0] = '\0';
    return kind->start(r, call);
}

static bool lacks_something(const struct bn_raw *r) {
    for (int i = 0; i < BN_ARRAYS; i++)
        if ((r->needed >> i & 1) && !bn_is_there(&r->k.g, i)) return true;
    return r->lacks_numbers;
}

/* Returns whether the shape has elements. Sizes that do not fit have some, too, and no count. */
static bool has_elements(const struct bn_geometry *g) { return g->channels && g->extent[0] && g->extent[1]; }

batchnorm_status bn_raw_run(const struct bn_raw_kind *kind, const void *given, const batchnorm_exec *given_exec) {
    union place place;
    batchnorm_exec exec_place;
    struct bn_raw r;
    const batchnorm_exec *exec = bn_sized(given_exec, &exec_place, sizeof exec_place, sizeof exec_place);
    const bool bad_exec = given_exec && !exec; /* also of its message one cannot tell whether it is there */
    if (!given && bad_exec) return BATCHNORM_BAD_OPTION;
    if (!given) return say(exec, BATCHNORM_NULL_POINTER, "the call is NULL", "");
    const void *call = take_struct(kind, given, &place);
    if (!call) return say(exec, BATCHNORM_BAD_OPTION, "the call's size must be the sizeof of its struct", "");
    batchnorm_status status = start(&r, kind, call);
    if (r.group && !bn_group_is_good(r.group))
        return say(exec, BATCHNORM_BAD_OPTION, "the group's size, ranks or gather are not set", "");
    if (bad_exec && !r.group) return BATCHNORM_BAD_OPTION;
    if (bad_exec) status = BATCHNORM_BAD_OPTION; /* which the other ranks must know */
    if (!bad_exec && has_elements(&r.k.g) && lacks_something(&r))
        status = bn_raw_fail(&r, BATCHNORM_NULL_POINTER, "what is NULL is needed; needed are %s", r.missing);
    if (!status) status = bn_check_sizes(&r.k.g);
    if (!status && kind->check) status = kind->check(&r, call);
    kind->numbers(&r, call);
    if (!status) status = bn_call_check(&r.k, exec);
    if (r.group) return end(&r, exec, kind->run_group(&r, call, exec, status));
    if (status || r.wants_nothing) return end(&r, exec, status);
    if (bn_geometry_is_empty(&r.k.g)) {
        if (kind->empty) kind->empty(&r, call);
        return BATCHNORM_OK;
    }
    kind->fill(&r, call);
    const struct bn_exec run = {.caller = exec};
    status = bn_job_run(&r.k.g, kind->build, &r.job, &run);
    return end(&r, exec, !status && r.not_committed ? BATCHNORM_NOT_COMMITTED : status);
}

/* Takes a call that is asked about: needed arrays count as there. Returns it as this library knows it; NULL if it would do
 * nothing. */
static const void *take_question(struct bn_raw *r, const struct bn_raw_kind *kind, const void *given, union place *place) {
    static char nowhere[BN_ARRAYS]; /* each at an address of its own: none is done in place */
    const void *call = take_struct(kind, given, place);
    if (!call || start(r, kind, call)) return NULL;
    if (!r->group && (bn_geometry_is_empty(&r->k.g) || r->wants_nothing)) return NULL;
    for (int i = 0; i < BN_ARRAYS; i++)
        if ((r->needed >> i & 1) && !bn_is_there(&r->k.g, i)) r->k.g.array[i].data = &nowhere[i];
    kind->fill(r, call);
    return call;
}

size_t bn_raw_bytes(const struct bn_raw_kind *kind, const void *given) {
    union place place;
    struct bn_raw r;
    const void *call = take_question(&r, kind, given, &place);
    if (!call) return 0;
    const size_t bytes = r.group ? kind->group_bytes(&r, call) : bn_job_bytes(&r.k.g, kind->build, &r.job);
    return bytes == SIZE_MAX ? 0 : bytes;
}

/* A text that grows as snprintf's. */
struct text {
    char *at;
    size_t size, length;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const size_t left = t->length < t->size ? t->size - t->length : 0;
    const int written = vsnprintf(left ? t->at + t->length : NULL, left, format, arguments);
    va_end(arguments);
    if (written > 0) t->length += (size_t)written;
}

static const char *yes(bool value) { return value ? "yes" : "no"; }

static void describe(struct text *t, const struct bn_decision *d) {
    add(t, "limits: %s\nl2_bytes: %zu\nllc_bytes: %zu\nthreads: %zu\n", d->limits, d->l2_bytes, d->llc_bytes, d->threads);
    add(t, "by_blocks: %s\nfused: %s\n", yes(d->by_blocks), yes(d->fused));
    if (d->by_blocks) add(t, "items: %zu\n", d->blocks_items);
    for (int i = 0; i < d->sweeps; i++) {
        add(t, "sweep.%d.verb: %s\nsweep.%d.layout: %s\n", i, d->sweep[i].verb, i, d->sweep[i].layout);
        add(t, "sweep.%d.block: %zu\nsweep.%d.pieces: %zu\n", i, d->sweep[i].block, i, d->sweep[i].pieces);
        if (!d->by_blocks) add(t, "sweep.%d.items: %zu\n", i, d->sweep[i].items);
        add(t, "sweep.%d.wide: %zu\nsweep.%d.fetch_bytes: %zu\n", i, d->sweep[i].wide, i, d->sweep[i].fetch_bytes);
        add(t, "sweep.%d.stream: %s\n", i, yes(d->sweep[i].stream));
    }
}

size_t bn_raw_explain(const struct bn_raw_kind *kind, const void *given, const batchnorm_exec *given_exec, char *text,
                      size_t size) {
    union place place;
    batchnorm_exec exec_place;
    struct bn_raw r;
    struct bn_decision decision;
    struct text t = {text, size, 0};
    const batchnorm_exec *exec = bn_sized(given_exec, &exec_place, sizeof exec_place, sizeof exec_place);
    if (size) text[0] = '\0';
    if (given_exec && !exec) return 0;
    const void *call = take_question(&r, kind, given, &place);
    if (!call || (kind->check && kind->check(&r, call)) || bn_geometry_is_empty(&r.k.g)) return 0;
    bn_job_explain(&r.k.g, kind->build, &r.job, exec, &decision);
    describe(&t, &decision);
    return t.length;
}
