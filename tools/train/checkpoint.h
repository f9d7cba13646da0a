/* SPDX-License-Identifier: MIT */
/* Checkpoints: a training at one moment, in a safetensors file.
 *
 * The tensors are the network's state under PyTorch's state_dict keys, in PyTorch's shapes, and the optimizer's under
 * "trainer.STATE.PARAMETER" with STATE as torch.optim calls it (momentum_buffer; exp_avg, exp_avg_sq). The metadata holds the
 * rest as text: all options, the position, how images are normalized and what the classes are called. Training that goes on
 * from it ends with the same bits as if it had never stopped, on as many threads. */
#ifndef TOOLS_TRAIN_CHECKPOINT_H
#define TOOLS_TRAIN_CHECKPOINT_H

#include "batchnorm/safetensors.h"
#include "request.h"

#define CHECKPOINT_TRAINER "trainer."
#define CHECKPOINT_FORMAT "1" /* another number where this program could not read it */

struct checkpoint {
    struct train_request request; /* the options; data and output are not in the file */
    nn_position at;
    uint64_t optimizer_steps;
    uint64_t images; /* of the training set */
    float mean[NN_MAX_CHANNELS], rstd[NN_MAX_CHANNELS];
    char **class_names;          /* [request.model.classes] */
    batchnorm_safetensors *file; /* where it was read from */
};

/* All of these write NN_MESSAGE_BYTES to `message` where they fail: the file, what is wrong, what would be right. */

/* Atomic: the file is as it was, or whole. */
bool checkpoint_save(const char *path, const struct train_request *request, const nn_trainer *trainer, char *message);

/* Read a file; checkpoint_close() it. The tensors are checked when a network takes them. */
bool checkpoint_open(const char *path, struct checkpoint *checkpoint, char *message);
void checkpoint_close(struct checkpoint *checkpoint);

/* Whether images are like those that the checkpoint was trained on: their shape and the names of the classes. */
bool checkpoint_fits_images(const struct checkpoint *checkpoint, const char *path, const nn_dataset *images, char *message);
/* Whether they are those, every byte. */
bool checkpoint_fits_data(const struct checkpoint *checkpoint, const char *path, const nn_dataset *train, char *message);
/* Whether the options on the command line, which were parsed on top of the checkpoint's, left everything as it was that must
 * not change. */
bool checkpoint_fits_request(const struct checkpoint *checkpoint, const char *path, const struct train_request *request,
                             char *message);

/* Whether its tensors are as large as the network that its options describe. Nothing is allocated for that network before: a
 * few bytes of text must not ask for gigabytes. */
bool checkpoint_has_network(const struct checkpoint *checkpoint, const char *path, char *message);

/* Put the state into a network of the checkpoint's model; with a trainer also that of the optimizer, and the position.
 * Everything is checked before anything is changed. trainer NULL: the network alone. */
bool checkpoint_restore(const struct checkpoint *checkpoint, const char *path, nn_network *network, nn_trainer *trainer,
                        char *message);

/* For checkpoint*.c: one option or number as text in the metadata, under the option's name. */
struct checkpoint_field {
    const char *key;
    enum { FIELD_WORD, FIELD_BOOL, FIELD_INT, FIELD_LONG, FIELD_SIZE, FIELD_U64, FIELD_FLOAT, FIELD_DOUBLE, FIELD_SIDES } kind;
    size_t offset;            /* in struct checkpoint */
    const char *const *words; /* of FIELD_WORD */
    bool may_change;          /* when training goes on */
    bool is_option;           /* of the command line, where its range stands if there is an option of this name */
    double least, most;       /* the range where there is none; both 0: any */
    const char *missing;      /* its value in a file that lacks it, since it is older than this field; NULL: it must be there */
};
extern const struct checkpoint_field checkpoint_fields[];
extern const size_t checkpoint_field_count;
enum { CHECKPOINT_FIELD_BYTES = 64 };
/* The value as text, CHECKPOINT_FIELD_BYTES long. */
void checkpoint_field_write(const struct checkpoint_field *field, const struct checkpoint *checkpoint, char *text);
/* False: the text is no such value, or one that the command line would not take. */
bool checkpoint_field_read(const struct checkpoint_field *field, const char *text, struct checkpoint *checkpoint);

#endif
