/* SPDX-License-Identifier: MIT */
/*! \file safetensors.h
 * safetensors files: read, write, and a layer's state in one. In its own library, libbatchnorm-file, because it needs a JSON
 * reader (jansson); libbatchnorm does not. On the stack its calls take less than 32 KB.
 */
#ifndef BATCHNORM_SAFETENSORS_H
#define BATCHNORM_SAFETENSORS_H

#include "batchnorm/layer.h"

#ifdef __cplusplus
extern "C" {
#endif

/*! An open file: its header is checked whole and its tensors are read into memory. */
typedef struct batchnorm_safetensors batchnorm_safetensors;

/*! One tensor of a file. */
typedef struct batchnorm_safetensors_entry {
    const char *name;        /*!< UTF-8; belongs to the file */
    const char *dtype;       /*!< as the file spells it: "F32", "BF16", "I64", "U8", ... */
    batchnorm_tensor tensor; /*!< a contiguous view in host byte order; data NULL if dtype is not one of batchnorm_dtype, or
                                if there are more than BATCHNORM_MAX_RANK dimensions (then rank is -1) */
    size_t bytes;            /*!< size of the value */
    uint64_t offset;         /*!< where the value begins in the file */
} batchnorm_safetensors_entry;

/*! One pair of the metadata. */
typedef struct batchnorm_safetensors_pair {
    const char *key;   /*!< UTF-8 */
    const char *value; /*!< UTF-8 */
} batchnorm_safetensors_pair;

/*! Room for the text of an error: what was wrong, where, and what would be right. */
#define BATCHNORM_MESSAGE_BYTES 512

/*! Open a file.
 *
 * Units:   message: BATCHNORM_MESSAGE_BYTES bytes, written on error.
 * NULL:    message: not wanted.
 * Memory:  close it with batchnorm_safetensors_close(), which frees everything that came from it.
 * Returns: OK
 *          NULL_POINTER: path or file
 *          IO
 *          BAD_FILE: every rule of the format is checked: header size, JSON without duplicates, known dtypes, shapes that
 *          match byte ranges, ranges without gap or overlap up to the end of the file
 *          TOO_LARGE
 *          NO_MEMORY: inside the JSON reader it may come out as BAD_FILE
 *          On error *file is NULL.
 * Source:  https://github.com/huggingface/safetensors
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_safetensors_open(const char *path, batchnorm_safetensors **file,
                                                                          char *message);
/*! Free it. NULL is fine. */
BATCHNORM_API void batchnorm_safetensors_close(batchnorm_safetensors *file);

/*! Number of tensors. */
BATCHNORM_API size_t batchnorm_safetensors_count(const batchnorm_safetensors *file);
/*! The tensor at index, in the order of the header; NULL if there is none. */
BATCHNORM_API const batchnorm_safetensors_entry *batchnorm_safetensors_at(const batchnorm_safetensors *file, size_t index);
/*! The tensor of that name; NULL if there is none. */
BATCHNORM_API const batchnorm_safetensors_entry *batchnorm_safetensors_find(const batchnorm_safetensors *file,
                                                                            const char *name);
/*! The metadata value of that key; NULL if there is none. */
BATCHNORM_API const char *batchnorm_safetensors_metadata(const batchnorm_safetensors *file, const char *key);
/*! The pair of the metadata at index, in the order of the header; NULL if there is none. */
BATCHNORM_API const batchnorm_safetensors_pair *batchnorm_safetensors_metadata_at(const batchnorm_safetensors *file,
                                                                                  size_t index);

/*! Write a file: to a temporary name in the same directory, synced, then renamed over path. A symbolic link is written through,
 * and the mode of a file that is there stays. A pipe, a character device or an open file (/dev/stdout, /dev/fd/N) is
 * written to.
 *
 * Shapes:  entries: [count], any strides, written contiguous and little-endian; the header has them in the given order, the
 *          bytes lie widest element type first, so that each tensor is aligned; metadata: [pairs].
 * Units:   message: as batchnorm_safetensors_open().
 * NULL:    entries if count is 0; metadata if pairs is 0; message: not wanted.
 * Returns: OK
 *          NULL_POINTER
 *          BAD_OPTION: a name or key twice; a name empty or "__metadata__"; text that is not UTF-8; an unknown dtype
 *          BAD_RANK
 *          TOO_LARGE
 *          IO: also a path that is a directory, or a file that must not be written
 *          NO_MEMORY
 *          On error path is as it was, unless it was written to directly.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_safetensors_write(const char *path,
                                                                           const batchnorm_named_tensor *entries, size_t count,
                                                                           const batchnorm_safetensors_pair *metadata,
                                                                           size_t pairs, char *message);

/*! A tensor as a file has it, of any type of the format. */
typedef struct batchnorm_safetensors_raw {
    const char *name;     /*!< UTF-8 */
    const char *dtype;    /*!< as files spell it: "F32", "BOOL", "U16", "F8_E4M3", ... */
    int rank;             /*!< number of dimensions */
    const int64_t *shape; /*!< sizes */
    const void *data;     /*!< the elements in row-major order, little-endian */
    size_t bytes;         /*!< size of all of them */
} batchnorm_safetensors_raw;

/*! batchnorm_safetensors_write() of bytes that go into the file as they are.
 *
 * Returns: as batchnorm_safetensors_write(), and
 *          NULL_POINTER: also a dtype, a shape or data that are needed
 *          BAD_OPTION: also a dtype that the format does not have
 *          BAD_SHAPE: sizes that do not fit the bytes
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_safetensors_write_raw(const char *path,
                                                                               const batchnorm_safetensors_raw *tensors,
                                                                               size_t count,
                                                                               const batchnorm_safetensors_pair *metadata,
                                                                               size_t pairs, char *message);

/*! Save a layer's state under PyTorch's keys; the metadata holds format "pt", "batchnorm.eps" and "batchnorm.momentum" (17
 * digits, or "none"). The momentum there is that of the new value, whatever the layer's rule. Statuses as
 * batchnorm_safetensors_write(). */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_layer_save(batchnorm_layer *layer, const char *path, char *message);

/*! Load a layer's state from a file, strictly; eps and momentum too, where the metadata has them.
 *
 * Units:   num_batches_tracked may be of any integer type, or be missing: it then stays. So does PyTorch's load_state_dict()
 *          with the plain dict that a file is.
 * Returns: as batchnorm_safetensors_open() and batchnorm_layer_load_state(), and
 *          BAD_FILE: also for metadata that is no number
 *          On error the layer is as it was.
 * Source:  torch.nn.Module.load_state_dict(strict=True).
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_layer_load(batchnorm_layer *layer, const char *path, char *message);

/*! The same for one layer of a network: its tensors are those whose names begin with the prefix, such as "layer1.0.bn1.", and
 * go on with a key of a layer's state. All others are passed over. Where the prefix has no layer, the message says which
 * prefixes have one. Metadata of that layer alone, "batchnorm.eps:layer1.0.bn1", wins over that of all. */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_layer_load_prefix(batchnorm_layer *layer, const char *path,
                                                                           const char *prefix, char *message);

#ifdef __cplusplus
}
#endif
#endif
