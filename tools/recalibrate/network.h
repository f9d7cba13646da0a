/* SPDX-License-Identifier: MIT */
/* Networks of `batchnorm train`, which nn runs: from a checkpoint to one with other statistics. */
#ifndef TOOLS_RECALIBRATE_NETWORK_H
#define TOOLS_RECALIBRATE_NETWORK_H

#include "layers.h"
#include "pass.h"
#include "tools/train/checkpoint.h"

struct network {
    const struct recalibrate_request *request;
    struct checkpoint checkpoint;
    bool is_open; /* the checkpoint */
    nn_backend *backend;
    nn_network *network;
    nn_dataset train, test;
    struct layers layers;
    size_t *norm_of, count; /* of the network's nodes: the layer; SIZE_MAX: it is none */
    size_t samples;
};

/* Whether a file is a checkpoint of train. */
bool network_is(const char *path);

/* Opens it, and the data. False: message, NN_MESSAGE_BYTES long. Close it in any case. */
bool network_open(struct network *network, const struct recalibrate_request *request, char *message);
void network_close(struct network *network);

/* pass_run() for it; with PASS_BY_DEPTH one pass for each depth. */
bool network_run(struct network *network, enum pass_kind kind, struct progress *progress, char *message);

/* Gives the network the statistics that were taken, as floats; layers have them from then on. */
void network_take(struct network *network);

/* Writes the checkpoint with the statistics that the network has; everything else is what it was. */
bool network_write(const struct network *network, const char *path, char *message);

#endif
