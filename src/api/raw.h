/* SPDX-License-Identifier: MIT */
/* What raw calls share. A kind of call is a table of what differs; running it, asking for its scratch memory and explaining it
 * go the same way for all of them. */
#ifndef BN_RAW_H
#define BN_RAW_H

#include "api/call.h"
#include "api/geometry.h"
#include "api/group.h"

/* A raw call on its way to plan. */
struct bn_raw {
    struct bn_call k;
    unsigned needed;     /* arrays, if the shape has elements */
    bool lacks_numbers;  /* a parameter or statistic that is needed is NULL */
    bool wants_nothing;  /* no output is wanted */
    const char *missing; /* what is needed, for the message */
    batchnorm_options options;
    union {
        struct bn_stats stats;
        struct bn_normalize normalize;
        struct bn_infer infer;
        struct bn_forward forward;
        struct bn_backward backward;
        struct bn_jvp jvp;
        struct bn_double_backward double_backward;
    } job;
    struct bn_output running_mean, running_var; /* of a forward */
    bool not_committed;
    unsigned mask_flags;
    batchnorm_group *group; /* NULL: there are no other ranks */
    char why[BN_SYNC_TEXT]; /* a sentence about an error; empty: the status says it all */
};

/* A kind of call. All functions get the call as this library knows it. */
struct bn_raw_kind {
    size_t bytes;    /* of the struct */
    size_t first;    /* those that every version had; 0: all */
    bn_build *build; /* of the job */
    /* Sets the geometry and what is needed: BAD_DTYPE, TOO_LARGE. */
    batchnorm_status (*start)(struct bn_raw *r, const void *call);
    /* Checks options and flags; NULL: there are none. */
    batchnorm_status (*check)(struct bn_raw *r, const void *call);
    /* Lists parameters and statistics. */
    void (*numbers)(struct bn_raw *r, const void *call);
    /* Sets the job. */
    void (*fill)(struct bn_raw *r, const void *call);
    /* Does what a call without elements does; NULL: nothing. */
    void (*empty)(struct bn_raw *r, const void *call);
    /* Of kinds that may have a group: runs a call of which the checks had this status; returns the scratch that it takes. */
    batchnorm_status (*run_group)(struct bn_raw *r, const void *call, const batchnorm_exec *exec, batchnorm_status status);
    size_t (*group_bytes)(struct bn_raw *r, const void *call);
};

batchnorm_status bn_raw_run(const struct bn_raw_kind *kind, const void *call, const batchnorm_exec *exec);
size_t bn_raw_bytes(const struct bn_raw_kind *kind, const void *call);
size_t bn_raw_explain(const struct bn_raw_kind *kind, const void *call, const batchnorm_exec *exec, char *text, size_t size);

/* The public functions of a kind. */
#define BN_RAW_CALLS(name)                                                                                                     \
    batchnorm_status batchnorm_##name(const batchnorm_##name##_call *call, const batchnorm_exec *exec) {                       \
        return bn_raw_run(&name, call, exec);                                                                                  \
    }                                                                                                                          \
    size_t batchnorm_##name##_workspace_bytes(const batchnorm_##name##_call *call) { return bn_raw_bytes(&name, call); }       \
    size_t batchnorm_##name##_explain(const batchnorm_##name##_call *call, const batchnorm_exec *exec, char *text,             \
                                      size_t size) {                                                                           \
        return bn_raw_explain(&name, call, exec, text, size);                                                                  \
    }

/* Starts a call's geometry: BAD_DTYPE, TOO_LARGE. */
batchnorm_status bn_call_start(struct bn_call *k, const batchnorm_shape *shape, unsigned outputs, unsigned alias);

static inline void bn_call_reads(struct bn_call *k, int index, batchnorm_input array) {
    bn_geometry_add_array(&k->g, index, array.data, array.strides);
}

static inline void bn_call_writes(struct bn_call *k, int index, batchnorm_output array) {
    bn_geometry_add_array(&k->g, index, array.data, array.strides);
}

/* Takes which part of a batch a call has. The check, also of the mask: BAD_OPTION. */
void bn_raw_part(struct bn_raw *r, size_t grain, size_t first_sample, batchnorm_group *group);
batchnorm_status bn_raw_check_part(struct bn_raw *r);

/* Sets the sentence of an error; returns the status. */
__attribute__((format(printf, 3, 4))) batchnorm_status bn_raw_fail(struct bn_raw *r, batchnorm_status status,
                                                                   const char *format, ...);

/* BAD_OPTION, with a sentence, for flags that are not known, and for an activation that is none. */
batchnorm_status bn_raw_check_flags(struct bn_raw *r, unsigned flags, unsigned known);
batchnorm_status bn_raw_check_activation(struct bn_raw *r, batchnorm_activation activation);

/* Takes which positions count. */
void bn_raw_mask(struct bn_raw *r, const batchnorm_mask *mask);

/* Takes the caller's options, or PyTorch's. A wrong size is found by bn_check_options(). */
void bn_raw_options(struct bn_raw *r, const batchnorm_options *options);

#endif
