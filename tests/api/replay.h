/* SPDX-License-Identifier: MIT */
/* Executes the statements of golden/vectors.txt. */
#ifndef TESTS_API_REPLAY_H
#define TESTS_API_REPLAY_H

#include "batchnorm/layer.h"

enum { REPLAY_TENSORS = 32, REPLAY_SAVED = 4, REPLAY_NAME = 24 };

struct replay_tensor {
    char name[REPLAY_NAME];
    batchnorm_tensor view;
    void *storage;
    size_t storage_bytes;
};

/* What a case has built up. */
struct replay {
    batchnorm_layer *layer;
    struct replay_tensor tensors[REPLAY_TENSORS];
    int tensor_count;
    struct {
        char name[REPLAY_NAME];
        batchnorm_saved *saved;
    } saved[REPLAY_SAVED];
    batchnorm_named_tensor state[BATCHNORM_STATE_MAX + 1];
    size_t state_count;
    char error[400]; /* what went wrong; "" if nothing did */
};

/* Run one line, without its end; comments and empty lines are fine. Returns false, with r->error, if something is not as the
 * line says. */
bool replay_line(struct replay *r, const char *line);
void replay_end(struct replay *r);

#endif
