/* SPDX-License-Identifier: MIT */
/* What frameworks call the tensors of a batch norm, and what they mean by them: one table. */
#ifndef TOOLS_SHARED_CONVENTIONS_H
#define TOOLS_SHARED_CONVENTIONS_H

#include <stdbool.h>
#include <stddef.h>

/* Keys of metadata: the name of the convention, and "true" or "false": weights are read as 1. */
#define KEY_CONVENTION "batchnorm.convention"
#define KEY_FIX_GAMMA "batchnorm.fix_gamma"

enum role {
    ROLE_NONE, /* the end of a list */
    ROLE_WEIGHT,
    ROLE_BIAS,
    ROLE_MEAN,
    ROLE_VAR,
    ROLE_BATCHES, /* num_batches_tracked */
    ROLE_FACTOR,  /* by which mean and var are divided */
    ROLE_WRONG,   /* a tensor that such a layer has in a version that is not understood */
    ROLES
};

/* Names of one layer's tensors, in the order in which files have them. A % stands for the name of the layer; of a layer without
 * a name it goes together with the separator after it. */
struct spelling {
    struct {
        enum role role;
        const char *pattern;
    } names[6];
};

enum { SPELLINGS = 3 };

/* Which arrays a layer may be without. */
enum lack {
    LACKS_NONE,
    LACKS_ANY,
    LACKS_BIAS /* or both, but never the weight alone */
};

struct convention {
    const char *name;
    const char *format;   /* what libraries of the framework want in the metadata; NULL: nothing */
    double eps, momentum; /* of its layers where nobody says another */
    bool momentum_of_new; /* momentum is the weight of the new value; otherwise that of the old one */
    bool is_unbiased;     /* running variances are of n - 1 */
    bool is_fixed;        /* the program has eps and momentum; they cannot be others */
    enum lack lacks;
    bool can_fix_gamma;                 /* the weight may be one that is read as 1 */
    struct spelling spelled[SPELLINGS]; /* the first is written, all are read */
};

enum { CONVENTION_PYTORCH, CONVENTIONS = 8 };                /* the first of them; how many there are */
extern const struct convention conventions[CONVENTIONS + 1]; /* .name NULL at the end */
extern const char *const convention_words[CONVENTIONS + 1];  /* their names, in this order; NULL at the end */

/* NULL: there is none of that name. */
const struct convention *convention_find(const char *name);

/* The pattern of a role; NULL: the spelling has none. */
const char *spelling_of(const struct spelling *spelling, enum role role);

/* The name of a layer's tensor, in allocated memory; NULL without it. */
char *name_make(const char *pattern, const char *layer);

/* The layer of a name that fits a pattern, in allocated memory; NULL: it does not fit, or without memory, which is noted. */
char *name_match(const char *pattern, const char *name, bool *no_memory);

#endif
