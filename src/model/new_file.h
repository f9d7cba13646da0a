/* SPDX-License-Identifier: MIT */
/* A changed model as a new file beside the old one, and another for external data that changed. */
#ifndef BN_NEW_FILE_H
#define BN_NEW_FILE_H

#include "model/model.h"
#include "model/splice.h"
#include "place/place.h"

struct bn_new_file {
    batchnorm_model *model;
    const char *path;
    struct bn_splices splices; /* what changes; filled in between begin and write */
    struct bn_bytes_out data;  /* external, new; likewise */
    char *data_path;           /* of its file, which is new, too */
    const char *data_name;     /* without its folder */
    struct bn_place places[2]; /* of the model, of its data */
    uint64_t bytes;            /* of the new model */
    char *message;
};

/* Looks whether the model can be written there: path is neither the model nor data of it, and external data that stay lie in
 * the same folder. Returns what batchnorm_model_fold() does. End it in any case. */
batchnorm_status bn_new_file_begin(struct bn_new_file *file, batchnorm_model *model, const char *path, char *message);
/* Writes both files and puts them in place. */
batchnorm_status bn_new_file_write(struct bn_new_file *file);
void bn_new_file_end(struct bn_new_file *file);

#endif
