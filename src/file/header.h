/* SPDX-License-Identifier: MIT */
/* The header's text, taken apart member by member, so that memory is bounded by its bytes. */
#ifndef BN_HEADER_H
#define BN_HEADER_H

#include <jansson.h>

#include "file/file.h"

/* Some of the header. */
struct bn_text {
    char *at;
    size_t bytes;
};

/* A walk over the members of an object. */
struct bn_members {
    const char *text; /* the whole header: errors count from here */
    char *at, *end;
    size_t count; /* of members that were passed */
    char *message;
};

/* Begin with an object that is `in` the header (NULL: it is the header), all of it. */
batchnorm_status bn_members_begin(struct bn_members *m, struct bn_text object, const struct bn_members *in, char *message);
/* The next name, with its quotes, and its value; name->at is NULL after the last. */
batchnorm_status bn_members_next(struct bn_members *m, struct bn_text *name, struct bn_text *value);

/* Read a piece; json_decref() it. */
batchnorm_status bn_text_parse(const struct bn_members *m, struct bn_text text, json_t **json);
/* Read a string, in its place: from then on it ends there with a zero. */
batchnorm_status bn_text_decode(const struct bn_members *m, struct bn_text text, const char **string);

/* Where the bytes of the tensor `entry` lie, from the end of the header. */
struct bn_range {
    uint64_t begin, end;
    size_t entry;
};

/* What a tensor's description says, into all of the entry but its name and data, and the range. NULL, or what is wrong. */
const char *bn_description_read(const json_t *value, batchnorm_safetensors_entry *entry, struct bn_range *range);

/* Sort the names, and fail where one is there twice. */
batchnorm_status bn_check_unique(const struct bn_members *m, const char **names, size_t count);

#endif
