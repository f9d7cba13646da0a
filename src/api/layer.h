/* SPDX-License-Identifier: MIT */
/* The layer as its files see it, and the functions that they share. */
#ifndef BN_LAYER_H
#define BN_LAYER_H

#include "api/call.h"
#include "api/geometry.h"
#include "api/group.h"
#include "batchnorm/layer.h"

/* What a layer may have, in the order of PyTorch's state_dict. */
enum bn_key { BN_WEIGHT, BN_BIAS, BN_RUNNING_MEAN, BN_RUNNING_VAR, BN_COUNT, BN_KEYS };

/* The arrays of [channels] in a layer's one block of memory: those of enum bn_key, then the gradients. */
enum { BN_WEIGHT_GRAD = BN_COUNT, BN_BIAS_GRAD, BN_LAYER_ARRAYS };

struct bn_buffer {
    void *data;
    size_t bytes;
};

struct batchnorm_saved {
    batchnorm_allocator allocator;
    struct bn_buffer buffer;      /* mean, rstd, weight, bias */
    const batchnorm_layer *layer; /* whose forward filled it; NULL before the first */
    bool empty, frozen, has_weight, has_bias, has_z;
    bool shared; /* with a group */
    bool has_mask;
    unsigned mask_flags;
    const void *overwritten; /* the data of x or z where y was the same array */
    batchnorm_activation activation;
    batchnorm_dtype dtype;
    size_t channels;
    int rank;
    int64_t shape[BATCHNORM_MAX_RANK];
};

/* Running statistics that wait for a commit: mean and var in the buffer. */
struct bn_held {
    struct bn_buffer buffer;
    bool is_there;
    int64_t count;
};

struct batchnorm_layer {
    batchnorm_allocator allocator;
    batchnorm_layer_options options; /* options.lazy: the block is not there yet */
    bool training;
    bool has[BN_KEYS];
    void *block;
    int64_t count; /* num_batches_tracked */
    batchnorm_group *group;
    size_t grain, first_sample;
    batchnorm_parameter weight, bias;
    struct bn_held held;
    struct bn_buffer workspace, stats;
    struct batchnorm_saved own;
    char message[512];
};

extern const char *const bn_key_names[BN_KEYS];

/* Returns the key that a name means; BN_KEYS if none. */
enum bn_key bn_find_key(const char *name);

/* layer.c */
size_t bn_layer_channels(const batchnorm_layer *layer);
/* Returns an array of a block of so many channels. */
void *bn_block_array(const batchnorm_layer *layer, void *block, size_t channels, int index);
size_t bn_block_bytes(const batchnorm_layer *layer, size_t channels);
/* Returns the layer's own array, or NULL where it has none. */
void *bn_layer_array(const batchnorm_layer *layer, int index);

/* layer_memory.c */
void *bn_allocate(const batchnorm_allocator *allocator, size_t bytes);
void bn_release(const batchnorm_allocator *allocator, void *memory);
/* Makes room for `bytes` and keeps what is there. */
batchnorm_status bn_reserve(const batchnorm_allocator *allocator, struct bn_buffer *buffer, size_t bytes);
/* Allocates a block with weight 1, bias 0, running_mean 0, running_var 1 and gradients 0. */
batchnorm_status bn_block_create(const batchnorm_layer *layer, size_t channels, void **block);
/* Gives a lazy layer its channels and its block. */
void bn_layer_materialize(batchnorm_layer *layer, size_t channels, void *block);
/* Fills an array of the layer's type with one value. */
void bn_layer_fill(const batchnorm_layer *layer, void *array, size_t channels, double value);
/* Starts a call that has no numbers yet. Its outputs and workspace must stay away from the layer's memory. */
void bn_layer_start(const batchnorm_layer *layer, struct bn_call *k);

/* What a call of a layer gets. */
struct bn_layer_run {
    batchnorm_status status;
    struct bn_exec exec; /* memory is the caller's workspace where it is large enough, else the layer's, which grows */
    batchnorm_exec place;
};
/* Returns the caller's struct as this library knows it, see bn_sized(), or NULL with a status that has been told. */
const void *bn_layer_take(batchnorm_layer *layer, const void *given, void *place, size_t known, size_t first,
                          const batchnorm_exec *exec, struct bn_layer_run *run);

/* Takes which positions count: BAD_OPTION, TOO_LARGE. */
batchnorm_status bn_layer_mask(batchnorm_layer *layer, struct bn_geometry *g, const batchnorm_tensor_mask *mask);

/* layer_message.c */
/* Starts a call that can fail, says what went wrong, and ends the call, so that every failure has a message. */
void bn_layer_begin(batchnorm_layer *layer);
__attribute__((format(printf, 3, 4))) batchnorm_status bn_layer_fail(batchnorm_layer *layer, batchnorm_status status,
                                                                     const char *format, ...);
batchnorm_status bn_layer_end(batchnorm_layer *layer, batchnorm_status status);
/* Says what overlaps what, for OVERLAP and BAD_STRIDE; hands on any other status. */
batchnorm_status bn_layer_fault(batchnorm_layer *layer, batchnorm_status status, const struct bn_fault *fault,
                                const char *const *arrays, const struct bn_numbers *numbers);
/* "[1, 3]" */
enum { BN_SIZES_TEXT = 24 * BATCHNORM_MAX_RANK };
const char *bn_sizes_text(const batchnorm_tensor *tensor, char text[BN_SIZES_TEXT]);
const char *bn_dtype_name(batchnorm_dtype dtype);

/* layer_update.c */
/* Checks that a training forward can count. */
batchnorm_status bn_check_count(batchnorm_layer *layer);
/* Makes room for an update that is held. */
batchnorm_status bn_reserve_held(batchnorm_layer *layer, size_t channels);
/* Moves the running statistics, or holds what they become. Without stats the batch was empty, and only the count moves. */
batchnorm_status bn_layer_update(batchnorm_layer *layer, const batchnorm_stat *stats, size_t channels, bool hold);

/* What a forward saves, in a buffer: */
enum { BN_SAVED_MEAN, BN_SAVED_RSTD, BN_SAVED_WEIGHT, BN_SAVED_BIAS, BN_SAVED_ARRAYS };
/* Returns the bytes of a buffer for so many channels. */
size_t bn_saved_bytes(size_t channels);
double *bn_saved_array(const batchnorm_saved *saved, size_t channels, int index);

#endif
