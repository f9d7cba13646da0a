/* SPDX-License-Identifier: MIT */
#include "verbs.h"

/* Each verb's folder has its function and its options. */
#define DECLARE(name)                                                                                                          \
    int cmd_##name(int argc, char **argv);                                                                                     \
    extern const struct option_table name##_options;
#define VERB(name, summary)                                                                                                    \
    { #name, "batchnorm " #name, cmd_##name, &name##_options, summary }

DECLARE(apply)
DECLARE(bench)
DECLARE(compare)
DECLARE(export)
DECLARE(fold)
DECLARE(inspect)
DECLARE(predict)
DECLARE(recalibrate)
DECLARE(train)

const struct verb verbs[] = {
    VERB(apply, "run one layer over arrays in files"),
    VERB(bench, "time the library on this machine, against copying memory"),
    VERB(compare, "measure what batch norm buys: training with and without it, with a report"),
    VERB(export, "write a trained network as an ONNX model"),
    VERB(fold, "fold the batch norms of an ONNX model into what is around them"),
    VERB(inspect, "list the batch norms of a model and what is unhealthy about them"),
    VERB(predict, "name the classes of images by a trained network"),
    VERB(recalibrate, "give batch norms of a model the statistics of new data"),
    VERB(train, "train a network on images, with or without batch norm"),
};
const size_t verb_count = sizeof verbs / sizeof verbs[0];
