/* SPDX-License-Identifier: MIT */
/* From the pickle of a checkpoint to its tensors; torch.c knows the containers. */
#ifndef BN_TORCH_STATE_H
#define BN_TORCH_STATE_H

#include "model/pickle.h"
#include "model/torch.h"
#include "model/zip.h"

/* A storage in the file. */
struct bn_place {
    struct bn_slice key;
    const unsigned char *text; /* where the key is */
    size_t each;               /* legacy: the bytes of an element */
    struct bn_slice bytes;
};

struct bn_reader {
    struct bn_torch *t;
    struct bn_pickle pickle; /* the state */
    struct bn_zip zip;
    struct bn_slice root; /* of the zip form: what all names begin with */
    struct bn_place *places;
    size_t place_count, place_room;
    size_t visits;
    char lost[48]; /* the type of a tensor that cannot be read, of the value that was last looked at; empty: it is none */
    bool no_memory;
    char *why;
};

batchnorm_status bn_reader_fail(const struct bn_reader *r, size_t at, const char *what);
batchnorm_status bn_reader_no_memory(const struct bn_reader *r);

/* Adds a storage; returns false without memory. When all are there they are sorted, and then they can be found. */
bool bn_reader_add(struct bn_reader *r, struct bn_place place);
void bn_reader_sort(struct bn_reader *r);
struct bn_place *bn_reader_place(const struct bn_reader *r, struct bn_slice key);

/* Returns whether a value is a tensor that can be read. Where not, `lost` says whether it is one that cannot. */
bool bn_reader_tensor(struct bn_reader *r, uint32_t index, struct bn_torch_tensor *tensor);

/* The keys and values of a dict or an OrderedDict, which is a call with items after it; returns false for anything else. */
bool bn_reader_pairs(const struct bn_reader *r, uint32_t index, const uint32_t **pairs, uint32_t *count);

/* The type of the elements of a storage, by the global that makes it; 0: unknown. */
int32_t bn_reader_storage_type(const struct bn_reader *r, uint32_t global);

/* Adds the storages that the pickle names, with the types that it gives them: a legacy file has only counts of elements beside
 * the bytes. Returns false without memory. */
bool bn_reader_types(struct bn_reader *r);

/* Finds the state in the pickle and lists its tensors. */
batchnorm_status bn_reader_state(struct bn_reader *r);

#endif
