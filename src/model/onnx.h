/* SPDX-License-Identifier: MIT */
/* An ONNX file as an index into its bytes: graphs, nodes, values and tensors, by offsets. Only the fields that are needed are
 * understood; all others stay what they are. */
#ifndef BN_ONNX_H
#define BN_ONNX_H

#include "batchnorm/batchnorm.h"
#include "model/map.h"
#include "model/wire.h"

/* No graph, node, value or tensor. */
#define BN_NONE UINT32_MAX
/* Graphs in graphs at most. */
#define BN_ONNX_DEPTH 64
#define BN_ONNX_RANK 8

/* TensorProto.DataType, as far as batch norms and their neighbours have it. */
enum {
    BN_ONNX_FLOAT = 1,
    BN_ONNX_UINT8,
    BN_ONNX_INT8,
    BN_ONNX_INT16 = 5,
    BN_ONNX_INT32,
    BN_ONNX_INT64,
    BN_ONNX_BOOL = 9,
    BN_ONNX_F16,
    BN_ONNX_DOUBLE,
    BN_ONNX_BF16 = 16
};

/* Returns whether a type is one of the floats that weights have. */
static inline bool bn_is_float(int32_t type) {
    return type == BN_ONNX_FLOAT || type == BN_ONNX_DOUBLE || type == BN_ONNX_F16 || type == BN_ONNX_BF16;
}

struct bn_onnx_tensor {
    struct bn_slice field, message;
    struct bn_slice name;
    int32_t type;
    int rank; /* -1: more than BN_ONNX_RANK */
    int64_t dims[BN_ONNX_RANK];
    bool has_raw, is_external;
    struct bn_slice raw;      /* the bytes, of a tensor that has raw data */
    struct bn_slice location; /* of an external one: the file */
    uint64_t offset, length;  /* in that file; length 0: to its end */
};

struct bn_onnx_attribute {
    struct bn_slice message;
    struct bn_slice name;
    int64_t i;
    double f;
    struct bn_slice s;
    bool has_i, has_f;
    bool is_reference; /* to an attribute of the function around it, which only a call tells */
    uint32_t tensor;   /* BN_NONE: it is none */
};

/* An input or output of a node, or of a graph. */
struct bn_onnx_use {
    struct bn_slice field; /* the name with its tag */
    struct bn_slice name;
    uint32_t value; /* BN_NONE: the empty name, or one that nobody defines */
};

struct bn_onnx_node {
    struct bn_slice field, message;
    struct bn_slice op, op_field, domain, name;
    uint32_t graph;
    uint32_t input, inputs; /* in the index's `uses` */
    uint32_t output, outputs;
    uint32_t attribute, attributes;
    bool refers; /* an attribute is a reference */
};

struct bn_onnx_value {
    struct bn_slice name;
    uint32_t graph;
    uint32_t node;                         /* that makes it; BN_NONE: none does */
    uint32_t tensor;                       /* the initializer; BN_NONE: there is none */
    uint32_t uses;                         /* by nodes, of any graph */
    uint32_t user;                         /* one of those nodes */
    int rank;                              /* that the graph declares; -1: it does not */
    int32_t type;                          /* of the elements, likewise; 0: it does not */
    struct bn_slice input, info;           /* where the graph lists it as an input, and in value_info; empty: it does not */
    bool is_input, is_output, is_doubtful; /* of the graph; defined twice */
};

struct bn_onnx_graph {
    struct bn_slice field, message;
    uint32_t parent; /* BN_NONE: the model's own, or a function's body */
    bool is_function;
    int64_t opset; /* of the default domain; 0: it does not say */
};

struct bn_onnx_list {
    void *at;
    size_t count, room;
};

struct bn_onnx {
    const struct bn_map *map;
    const char *path;   /* of the file: external data lie beside it */
    bool follows_links; /* to external data */
    int64_t ir_version, opset;
    struct bn_onnx_graph *graphs;
    struct bn_onnx_node *nodes;
    struct bn_onnx_attribute *attributes;
    struct bn_onnx_use *uses;
    struct bn_onnx_value *values;
    struct bn_onnx_tensor *tensors;
    uint32_t graph_count, node_count, attribute_count, use_count, value_count, tensor_count;
    uint32_t graph_room, node_room, attribute_room, use_room, value_room, tensor_room;
    uint32_t *table; /* from names to values */
    size_t table_size;
};

enum { BN_ONNX_BYTES = 256 };

/* Indexes a file. Returns OK, NO_MEMORY or BAD_FILE, whose reason and offset are in `why`: BN_ONNX_BYTES long. Free it in any
 * case. */
batchnorm_status bn_onnx_index(struct bn_onnx *onnx, const struct bn_map *map, char *why);
void bn_onnx_free(struct bn_onnx *onnx);

/* Writes what is wrong at which byte, and returns BAD_FILE. */
batchnorm_status bn_onnx_refuse(char *why, size_t at, const char *what);

/* Returns whether a slice is that text. */
bool bn_onnx_is(const struct bn_onnx *onnx, struct bn_slice slice, const char *text);

/* Returns the value of a name as a graph sees it: its own, or one of a graph around it; BN_NONE if there is none. */
uint32_t bn_onnx_find(const struct bn_onnx *onnx, uint32_t graph, struct bn_slice name);

/* Returns a hash of some bytes, FNV-1a, that a seed makes another. */
size_t bn_onnx_hash(uint32_t seed, const void *bytes, size_t count);

/* Returns whether a graph has a value of that name itself. */
bool bn_onnx_has(const struct bn_onnx *onnx, uint32_t graph, const char *name);

/* Returns the elements of a tensor; -1 if it has too many dimensions, a negative one, or more than fit. */
int64_t bn_onnx_elements(const struct bn_onnx_tensor *tensor);

/* Reads all elements of a tensor of floats or integers, as double, into memory of their own. Returns OK, BAD_DTYPE, BAD_FILE,
 * IO or NO_MEMORY, with `why`. */
batchnorm_status bn_onnx_read(const struct bn_onnx *onnx, const struct bn_onnx_tensor *tensor, double **to, size_t *count,
                              char *why);

/* Reads the numbers of an attribute of floats or of ints, as bn_onnx_read() does. */
batchnorm_status bn_onnx_numbers(const struct bn_onnx *onnx, const struct bn_onnx_attribute *attribute, bool floats,
                                 double **to, size_t *count, char *why);

/* Returns an element of a type from its bits. */
double bn_onnx_value(int32_t type, uint64_t bits);

/* Returns the name of a TensorProto.DataType, such as "FLOAT"; "unknown". */
const char *bn_onnx_type_name(int32_t type);
/* Returns the bytes of an element that takes whole bytes; 0 for others. */
size_t bn_onnx_type_bytes(int32_t type);

/* Returns the version of ONNX's operators in a graph; a function may have its own. */
int64_t bn_opset_of(const struct bn_onnx *onnx, uint32_t graph);

/* Returns a node's attribute; NULL if it has none of that name. */
const struct bn_onnx_attribute *bn_onnx_attribute(const struct bn_onnx *onnx, const struct bn_onnx_node *node,
                                                  const char *name);

/* Returns the integer of a node's attribute; `absent` if it has none. */
int64_t bn_onnx_integer(const struct bn_onnx *onnx, const struct bn_onnx_node *node, const char *name, int64_t absent);

#endif
