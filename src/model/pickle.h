/* SPDX-License-Identifier: MIT */
/* A pickle as values. Nothing is ever called or imported: what a pickle would make by calling something is a node that says
 * what would be called, and the reader knows a few of those by name. */
#ifndef BN_PICKLE_H
#define BN_PICKLE_H

#include "model/wire.h"

enum bn_kind {
    BN_P_NONE,
    BN_P_BOOL,
    BN_P_INT,
    BN_P_LARGE, /* an integer of more than 64 bits */
    BN_P_FLOAT,
    BN_P_TEXT,
    BN_P_TUPLE,
    BN_P_LIST,
    BN_P_DICT,
    BN_P_GLOBAL,     /* module and name */
    BN_P_CALL,       /* of items[0], with the arguments items[1] */
    BN_P_PERSISTENT, /* what the file has elsewhere: items[0] says what */
    BN_P_MARK
};

struct bn_value {
    enum bn_kind kind;
    int64_t integer;
    double number;
    struct bn_slice text, module; /* of BN_P_GLOBAL both */
    uint32_t *items;              /* of others; of a dict keys and values in turn */
    uint32_t count, room;
    uint32_t built; /* of a call: the attributes that the object gets; 0: none */
};

struct bn_pickle {
    const unsigned char *base;
    struct bn_value *values; /* all of them; 0 is None */
    uint32_t value_count, value_room;
    uint32_t *stack, *memo;
    uint32_t stack_count, stack_room, memo_room, memoized;
    uint32_t root;
    size_t at; /* behind the pickle, or where it is wrong */
    const char *wrong;
    bool no_memory;
};

/* Reads one pickle from *rest. Returns false if it is broken, cut off, or uses what no checkpoint does. Free it in any case. */
bool bn_pickle_read(struct bn_pickle *pickle, const unsigned char *base, struct bn_slice rest);
void bn_pickle_free(struct bn_pickle *pickle);

/* Returns whether a value is the global of that name. */
bool bn_pickle_is(const struct bn_pickle *pickle, uint32_t value, const char *module, const char *name);

#endif
