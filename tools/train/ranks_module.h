/* SPDX-License-Identifier: MIT */
/* The module of MPI, which the command loads where mpirun has started it: so it runs where there is no MPI, too. */
#ifndef TOOLS_TRAIN_RANKS_MODULE_H
#define TOOLS_TRAIN_RANKS_MODULE_H

#include "nn/ranks.h"

/* As ranks_begin() and ranks_end(). rank: as mpirun counts. */
struct ranks_module {
    int version[3]; /* first of all, so that a module of another version is found out */
    bool (*begin)(struct batchnorm_group *group, int rank, char *message);
    nn_scatter *scatter;
    void (*end)(bool lost, int code);
};

/* What it exports. */
#define RANKS_MODULE batchnorm_ranks_module
extern const struct ranks_module RANKS_MODULE;

#define RANKS_MODULE_VERSION                                                                                                   \
    { BATCHNORM_VERSION_MAJOR, BATCHNORM_VERSION_MINOR, BATCHNORM_VERSION_PATCH }

#endif
