/* SPDX-License-Identifier: MIT */
/* A file of Keras: what hdf5.c finds in it, and what network.c makes of that. */
#ifndef TOOLS_KERAS_NETWORK_H
#define TOOLS_KERAS_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MOST_DIMENSIONS = 8, WHY_BYTES = 400 };

/* A dataset of the file, and what it is called in the end. */
struct array {
    char *path; /* "layers/conv2d/vars/0" */
    char *name;
    char *new_name;    /* of one of a batch norm's; NULL: the name stays */
    const char *dtype; /* as safetensors spells it */
    int rank;
    int64_t shape[MOST_DIMENSIONS];
    void *data; /* little-endian */
    size_t bytes;
};

/* The name that a layer gives its group: Keras 3 numbers groups by their class. */
struct title {
    char *path, *name;
};

struct network {
    struct array *arrays;
    size_t array_count, array_room;
    struct title *titles;
    size_t title_count, title_room;
    char *config; /* JSON; NULL: the file has none */
    char why[WHY_BYTES];
};

/* Notes what is wrong, and returns false. */
bool network_fail(struct network *network, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* hdf5.c: reads everything from a file, or from memory. All return false with `why`. */
bool network_read(struct network *network, const char *path);
bool network_read_memory(struct network *network, void *from, size_t bytes);

/* config.c: what a network says of its batch norms. */
struct norm_config {
    char *layer; /* "inner/bn": names from the outside in */
    double eps, momentum;
    bool has_scale, has_center;
};
struct norm_configs {
    struct norm_config *at;
    size_t count, room;
    bool no_memory;
};
/* Reads JSON. false: it is none, or there is no memory, with the network's `why`. Free it in any case. */
bool config_read(struct network *network, struct norm_configs *configs);
void config_free(struct norm_configs *configs);
/* That of a layer, or, where it need not be exact, of the only one with the same last name; NULL: there is none. */
const struct norm_config *config_find(const struct norm_configs *configs, const char *layer, bool is_exact);

/* network.c: gives all arrays their names, those of batch norms PyTorch's keys, and writes them as safetensors. */
bool network_write(struct network *network, const char *path);
void network_free(struct network *network);

#endif
