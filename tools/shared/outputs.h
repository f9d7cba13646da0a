/* SPDX-License-Identifier: MIT */
/* The files that a run makes: all of them appear, or none is touched. outputs.c checks and writes, outputs_commit.c puts in
 * place. */
#ifndef TOOLS_SHARED_OUTPUTS_H
#define TOOLS_SHARED_OUTPUTS_H

#include "array.h"
#include "location.h"
#include "src/place/place.h"

enum { MOST_OUTPUTS = 8 }; /* of one run */

/* One output. The caller sets the first three, and before outputs_write() one of the next three. */
struct output {
    const char *option;   /* as messages name it: "--dx" */
    const char *argument; /* NULL: not wanted */
    bool whole_file;      /* argument is a path, even if it ends like that of a tensor in a file */
    batchnorm_tensor tensor;
    batchnorm_layer *layer; /* its state is the output */
    const char *text;       /* it is the output */
    struct location location;
    struct bn_place place;
    bool is_looked_at; /* place is set */
    char *previous;    /* a second name of the old file, while it may have to come back */
    bool is_placed;
    int lock;        /* of its directory, while a file there is added to; 0: none */
    char direct[32]; /* /proc/self/fd/N */
};

/* Look at the arguments: names, directories, and whether two of them would write the same. Touches nothing. Returns an exit
 * status, after a report if it is not EXIT_DONE. */
int outputs_check(struct output *outputs, size_t count);

/* Write everything to temporary files. Tensors with the same file go there together; other tensors that the file already has
 * are kept. false: reported. */
bool outputs_write(struct output *outputs, size_t count);

/* Put the temporary files in place, one after the other; if one fails, those before it are taken back. Where that is not
 * possible, a report names them. false: reported. */
bool outputs_commit(struct output *outputs, size_t count);

/* Free all, and remove temporary files that were not put in place. Fine at any time. */
void outputs_free(struct output *outputs, size_t count);

#endif
