/* SPDX-License-Identifier: MIT */
/*! People's own models (libbatchnorm-model): ONNX files, PyTorch checkpoints and Darknet networks, opened without running
 * anything in them, their batch norms, and ONNX files whose batch norms are folded into what is around them, or have other
 * statistics.
 *
 * Longer than 300 lines, because it is all of a library.
 *
 * A model is indexed where it lies in the file; it must not be changed while it is open. Objects are independent of each other,
 * and calls on different ones may run at the same time. Messages are sentences of BATCHNORM_MODEL_MESSAGE bytes at most that
 * say what is wrong and at which byte of the file; NULL where they are not wanted. */
#ifndef BATCHNORM_MODEL_H
#define BATCHNORM_MODEL_H

#include "batchnorm/batchnorm.h"
#include "batchnorm/layer.h"
#include "batchnorm/stats.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BATCHNORM_MODEL_MESSAGE 512

/*! An open model. */
typedef struct batchnorm_model batchnorm_model;

/*! What a model came from. */
typedef enum batchnorm_model_format {
    BATCHNORM_MODEL_ONNX,   /*!< an ONNX file */
    BATCHNORM_MODEL_TORCH,  /*!< a PyTorch checkpoint, zip or legacy */
    BATCHNORM_MODEL_STATE,  /*!< tensors that the caller gave */
    BATCHNORM_MODEL_DARKNET /*!< a Darknet network: .weights and .cfg */
} batchnorm_model_format;

/*! How a model is opened; zeros are the defaults. */
typedef struct batchnorm_model_options {
    size_t size;          /*!< sizeof(batchnorm_model_options) */
    bool follow_symlinks; /*!< external data may be symbolic or hard links, as in caches of downloads */
    bool assume_constant; /*!< initializers that are inputs of the graph, too, are constants (ONNX, IR 4 and later) */
    bool rewrite;         /*!< what cannot be folded shall become a Mul and an Add (ONNX) */
    double eps;           /*!< of all batch norms of a state, which does not tell it; 0: not known */
    const char *cfg;      /*!< Darknet: the .cfg of the .weights; NULL: the one beside them */
} batchnorm_model_options;

/*! Opens a file and finds out what it is. A file whose name ends in .weights, or any with options->cfg, is a Darknet network:
 * its tensors get PyTorch's keys after the number of their layer, "3.convolutional.weight" and "3.batchnorm.running_var", and
 * its eps is that of Darknet, 1e-5. A name that ends in .cfg stands for the .weights beside it.
 *
 * NULL:    options = defaults; message.
 * Memory:  an index of the file; close it with batchnorm_model_close().
 * Returns: OK
 *          NULL_POINTER: path or model
 *          BAD_OPTION: a wrong size of options, or an eps that is negative or no number
 *          IO
 *          BAD_FILE: neither ONNX nor a checkpoint, or not whole; a .weights whose .cfg is missing or does not fit to the last
 *          byte; a TorchScript or pickled module
 *          NO_MEMORY
 *          On error *model is NULL.
 * Source:  https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; torch.save; load_weights() of Darknet
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_model_open(const char *path, const batchnorm_model_options *options,
                                                                    batchnorm_model **model, char *message);

/*! Makes a model of tensors that the caller has: a state. It refers to them and to their names, which must stay as long as it
 * is open.
 *
 * NULL:    options = defaults.
 * Returns: OK
 *          NULL_POINTER: entries where count is not 0, a name, or model
 *          BAD_OPTION: a wrong size of options, or an eps that is negative or no number
 *          NO_MEMORY
 *          On error *model is NULL.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_model_from_state(const batchnorm_named_tensor *entries, size_t count,
                                                                          const batchnorm_model_options *options,
                                                                          batchnorm_model **model);

/*! Frees it. NULL is fine. */
BATCHNORM_API void batchnorm_model_close(batchnorm_model *model);

/*! What it came from. */
BATCHNORM_API batchnorm_model_format batchnorm_model_get_format(const batchnorm_model *model);

/*! What an ONNX file says about itself: the value of a key in its metadata_props, of two the first; NULL if there is none, as
 * in other files. It stays as long as the model is open. */
BATCHNORM_API const char *batchnorm_model_metadata(const batchnorm_model *model, const char *key);

/*! A tensor of a model. */
typedef struct batchnorm_model_tensor {
    const char *name;                  /*!< UTF-8, or whatever the file has */
    const char *type;                  /*!< "FLOAT", "INT64", ... */
    int rank;                          /*!< -1: more dimensions than there is room for */
    int64_t shape[BATCHNORM_MAX_RANK]; /*!< sizes */
    bool is_external;                  /*!< in a file beside the model */
} batchnorm_model_tensor;

/*! Number of tensors. */
BATCHNORM_API size_t batchnorm_model_tensor_count(const batchnorm_model *model);
/*! The tensor at index, in the order of the file; false if there is none. The name stays as long as the model is open. */
BATCHNORM_API bool batchnorm_model_tensor_at(const batchnorm_model *model, size_t index, batchnorm_model_tensor *tensor);

/*! Reads all elements of a tensor of floats or integers, as double.
 *
 * Shapes:  values: as many as the tensor has elements, `count`
 * Returns: OK
 *          NULL_POINTER
 *          BAD_OPTION: there is no such tensor
 *          BAD_SHAPE: count is another number
 *          BAD_DTYPE: of another type
 *          BAD_FILE: fewer data than elements
 *          IO: external data that cannot be read
 *          NO_MEMORY
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_model_tensor_read(const batchnorm_model *model, size_t index,
                                                                           double *values, size_t count, char *message);

/*! Reads all elements of a tensor of a state, as bytes: in row-major order, little-endian, whatever their type.
 *
 * Shapes:  to: `bytes`, as many as all elements have
 * Returns: OK
 *          NULL_POINTER
 *          BAD_OPTION: there is no such tensor, or the model is no state
 *          BAD_SHAPE: bytes is another number
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_model_tensor_bytes(const batchnorm_model *model, size_t index,
                                                                            void *to, size_t bytes, char *message);

/*! What a checkpoint has that is no tensor of its state, or one that cannot be read, and was passed over: one name for each;
 * NULL at and after the end. */
BATCHNORM_API const char *batchnorm_model_skipped(const batchnorm_model *model, size_t index);
/*! The type of a tensor that was passed over, because it cannot be read, or what else is wrong with it; NULL for what is no
 * tensor. */
BATCHNORM_API const char *batchnorm_model_skipped_type(const batchnorm_model *model, size_t index);

/*! What is unhealthy about channels of a batch norm. */
typedef enum batchnorm_illness {
    BATCHNORM_VAR_NEGATIVE,  /*!< running_var < 0 */
    BATCHNORM_VAR_ZERO,      /*!< running_var = 0 */
    BATCHNORM_VAR_SUBNORMAL, /*!< of a float: flushed to 0 by many runtimes */
    BATCHNORM_VAR_BELOW_EPS, /*!< running_var < eps: eps decides the scale */
    BATCHNORM_WEIGHT_SMALL,  /*!< |weight| < 1e-3: the channel is nearly dead */
    BATCHNORM_NOT_FINITE,    /*!< a NaN or an infinity */
    BATCHNORM_NEVER_MOVED    /*!< mean 0 and variance 1: the statistics were never updated */
} batchnorm_illness;
#define BATCHNORM_ILLNESSES 7

/*! What became of a batch norm, or would become of it. */
typedef enum batchnorm_fold_outcome {
    BATCHNORM_FOLD_LEFT,    /*!< it stays */
    BATCHNORM_FOLD_BEFORE,  /*!< into the linear operator before it */
    BATCHNORM_FOLD_AFTER,   /*!< into the one after it */
    BATCHNORM_FOLD_NORM,    /*!< into the batch norm before it */
    BATCHNORM_FOLD_PARTS,   /*!< into all that a Concat joins */
    BATCHNORM_FOLD_MUL_ADD, /*!< became a Mul and an Add */
    BATCHNORM_FOLD_ADD      /*!< its scale went into the Conv after it, the rest became an Add */
} batchnorm_fold_outcome;

/*! A batch norm of a model. Texts stay as long as the model is open; NULL: not known. */
typedef struct batchnorm_model_norm {
    const char *name;                /*!< of the node, or of its output; in a state the prefix of its keys */
    const char *before;              /*!< the operator before it, "Conv"; NULL in a state */
    const char *after;               /*!< the one after it */
    int64_t channels;                /*!< -1: not known */
    double eps;                      /*!< NaN: the file does not tell */
    bool has_eps;                    /*!< in the file */
    bool is_training;                /*!< normalizes with the statistics of the batch */
    int64_t num_batches_tracked;     /*!< -1: there is none */
    size_t ill[BATCHNORM_ILLNESSES]; /*!< channels, by batchnorm_illness */
    batchnorm_fold_outcome outcome;  /*!< what folding would do */
    const char *target;              /*!< the node that it goes into; NULL: none */
    const char *why;                 /*!< it stays, or cannot be read; NULL: neither */
    const char *note;                /*!< what was taken for a mistake of the writer; NULL: nothing */
} batchnorm_model_norm;

/*! Number of batch norms. */
BATCHNORM_API size_t batchnorm_model_norm_count(const batchnorm_model *model);
/*! The batch norm at index, in the order of the file; NULL if there is none. */
BATCHNORM_API const batchnorm_model_norm *batchnorm_model_norm_at(const batchnorm_model *model, size_t index);

/*! What a new file has of its own. */
typedef struct batchnorm_fold_counts {
    size_t size;    /*!< sizeof(batchnorm_fold_counts) */
    size_t tensors; /*!< that got other numbers */
    size_t flushed; /*!< numbers that became 0, because they would have been subnormal */
    uint64_t bytes; /*!< of the new file */
} batchnorm_fold_counts;

/*! Folds all batch norms of an ONNX model that can be folded exactly, and writes the model to another file. What is not changed
 * stays byte for byte what it was. batchnorm_model_norm_at() tells before what will become of each.
 *
 * Formula: k = weight / sqrt(var + eps), b = bias - mean k, in double; W' = W k, rounded once to the type of W
 * NULL:    counts; message.
 * Memory:  the changed tensors.
 * Returns: OK
 *          NULL_POINTER: model or path
 *          BAD_OPTION: no ONNX model, a wrong size of counts, or external data in another folder than path
 *          IO: also a path that is the model itself
 *          NO_MEMORY
 *          On error path is as it was.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_model_fold(batchnorm_model *model, const char *path,
                                                                    batchnorm_fold_counts *counts, char *message);

/*! A batch norm as a place where statistics are taken, and replaced. Texts stay as long as the model is open. */
typedef struct batchnorm_norm_site {
    const char *key;   /*!< a name that no other batch norm of the model has: of the node, or of its output */
    const char *input; /*!< the value that it normalizes; NULL: not known */
    int64_t depth;     /*!< batch norms on the longest way from the inputs of the model, itself included; 0: its statistics
                          cannot be changed */
    size_t twin;       /*!< the first batch norm that has the same mean and the same variance as this one; its own index */
    const char *why;   /*!< its statistics cannot be changed; NULL: they can */
} batchnorm_norm_site;

/*! Finds out where the batch norms of an ONNX model stand. What a batch norm normalizes depends on the statistics of those of
 * smaller depth, and on no others.
 *
 * Shapes:  sites: as many as batchnorm_model_norm_count(), in the same order
 * NULL:    message.
 * Memory:  the model keeps them.
 * Threads: the first call changes the model.
 * Returns: OK
 *          NULL_POINTER: model or sites
 *          BAD_OPTION: no ONNX model
 *          IO: external data
 *          BAD_FILE: nodes that are not in the order in which they are computed
 *          NO_MEMORY
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_model_sites(batchnorm_model *model, const batchnorm_norm_site **sites,
                                                                     char *message);

/*! Reads the statistics that a batch norm of an ONNX model has.
 *
 * Shapes:  mean, var: [channels], which are those of the batch norm
 * NULL:    mean or var: not wanted; message.
 * Returns: OK
 *          NULL_POINTER: model
 *          BAD_OPTION: there is no such batch norm, or its statistics cannot be changed
 *          BAD_SHAPE: another number of channels
 *          or what batchnorm_model_sites() returns
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_model_norm_statistics(batchnorm_model *model, size_t norm,
                                                                               double *mean, double *var, size_t channels,
                                                                               char *message);

/*! Looks whether a changed model could be written there, before long work for it: as the functions below check it. Touches
 * nothing.
 *
 * NULL:    message.
 * Returns: OK
 *          NULL_POINTER: model or path
 *          BAD_OPTION: external data in another folder than path
 *          IO: no place for a file, or the model itself, or data of it
 *          NO_MEMORY
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_model_look_at_output(batchnorm_model *model, const char *path,
                                                                              char *message);

/*! Writes an ONNX model again with other statistics of its batch norms. All other bytes stay what they were, but for lengths of
 * what is around them. Numbers that other nodes use, too, or that are computed, stay, and the batch norm gets tensors of its
 * own.
 *
 * Formula: mean; var = m2 / count, the population variance, as ONNX has it; in double, rounded once to the type of the file
 * Shapes:  stats: as many as batchnorm_model_norm_count(), each with a value for every channel
 * NULL:    an element of stats: its statistics stay; counts; message.
 * Alias:   batch norms that share both tensors get what the first of them gets; with `separate` each its own.
 * Memory:  the changed tensors.
 * Returns: OK
 *          NULL_POINTER: model, stats or path
 *          BAD_OPTION: no ONNX model, a wrong size of counts, statistics for one that cannot have others, a count of 0, a mean
 *          or variance that is not finite, or too large for its type; external data in another folder than path
 *          or what batchnorm_model_sites() returns; IO also for a path that is the model itself
 *          On error path is as it was.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_model_set_statistics(batchnorm_model *model,
                                                                              const batchnorm_stat *const *stats, bool separate,
                                                                              const char *path, batchnorm_fold_counts *counts,
                                                                              char *message);

/*! Writes an ONNX model that has outputs for the statistics of what its batch norms normalize, in standard nodes, for whatever
 * runs models: "batchnorm/KEY/count", "batchnorm/KEY/mean" and "batchnorm/KEY/m2", as batchnorm_stat has them.
 *
 * Shapes:  count: (), int64; mean and m2: (C), float, or double in models of doubles
 * Units:   depth 0: of all batch norms, which then use the statistics of the batch themselves. Otherwise of those of that depth
 *          only, behind others that have the statistics of the file, and nothing else of the model stays that they do not
 *          need.
 * NULL:    message.
 * Returns: OK
 *          NULL_POINTER: model or path
 *          BAD_OPTION: no ONNX model; no batch norm of that depth that can have other statistics; operators of a version before
 *          7; a model that has such outputs already; external data in another folder than path
 *          or what batchnorm_model_sites() returns; IO also for a path that is the model itself
 *          On error path is as it was.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_model_instrument(batchnorm_model *model, int64_t depth,
                                                                          const char *path, char *message);

/*! A part of an ONNX model, as a model of its own: what lies behind the batch norms of one depth and before those of another.
 * Run one after the other, parts compute what the model does, and statistics can be taken between them. */
typedef struct batchnorm_part batchnorm_part;

/*! Which part; zeros are no defaults. */
typedef struct batchnorm_part_options {
    size_t size;                        /*!< sizeof(batchnorm_part_options) */
    int64_t first;                      /*!< from the batch norms of this depth on; 0: from the inputs of the model */
    int64_t last;                       /*!< to those of this depth, which are not in it */
    bool by_batch;                      /*!< batch norms in it use the statistics of their batch */
    bool separate;                      /*!< as in batchnorm_model_set_statistics() */
    const batchnorm_stat *const *stats; /*!< likewise, of batch norms in it; NULL: those of the file */
} batchnorm_part_options;

/*! An input or output of a part. */
typedef struct batchnorm_part_value {
    const char *name; /*!< stays as long as the model is open */
    bool is_given;    /*!< an input of the model itself */
    int64_t last_use; /*!< the part with this number, or of which it is the largest depth, is the last that takes it; -1: none
                         does */
} batchnorm_part_value;

/*! Selects a part.
 *
 * NULL:    message.
 * Memory:  free it with batchnorm_part_free(), before the model is closed.
 * Returns: OK
 *          NULL_POINTER
 *          BAD_OPTION: a wrong size of options; not 0 <= first < last <= the largest depth; no ONNX model; statistics as in
 *          batchnorm_model_set_statistics()
 *          or what batchnorm_model_sites() returns
 *          On error *part is NULL.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_part_new(batchnorm_model *model, const batchnorm_part_options *options,
                                                                  batchnorm_part **part, char *message);
/*! Frees it. NULL is fine. */
BATCHNORM_API void batchnorm_part_free(batchnorm_part *part);

/*! Its inputs: those of the model that it takes, and what comes from parts before it. False: there is none at index. */
BATCHNORM_API bool batchnorm_part_input_at(const batchnorm_part *part, size_t index, batchnorm_part_value *value);
/*! Its outputs: what batch norms of depths first + 1 to last normalize, and what parts after it take. */
BATCHNORM_API bool batchnorm_part_output_at(const batchnorm_part *part, size_t index, batchnorm_part_value *value);

/*! Makes the bytes of its file. External data are in it.
 *
 * Shapes:  types: of the inputs, as TensorProto.DataType numbers them; those of the model itself are not looked at
 * NULL:    types, if all inputs are the model's; message.
 * Memory:  *bytes stays until the part is freed or built again.
 * Returns: OK
 *          NULL_POINTER: part, bytes or count
 *          BAD_OPTION: with by_batch, operators of a version before 7
 *          IO: external data
 *          NO_MEMORY
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_part_build(batchnorm_part *part, const int32_t *types,
                                                                    const void **bytes, size_t *count, char *message);

#ifdef __cplusplus
}
#endif
#endif
