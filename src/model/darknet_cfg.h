/* SPDX-License-Identifier: MIT */
/* The text of a Darknet network: sections, and options in them. */
#ifndef BN_DARKNET_CFG_H
#define BN_DARKNET_CFG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bn_cfg_option {
    const char *key, *value;
    size_t line;
};

struct bn_cfg_section {
    const char *type; /* "convolutional" */
    size_t line, first, count;
};

struct bn_cfg {
    char *text; /* without white space; keys and values are in it */
    struct bn_cfg_section *sections;
    struct bn_cfg_option *options;
    size_t section_count, option_count;
    bool no_memory;
};

/* Reads a file. Returns NULL, or what is wrong, which is in `why`. Free it in any case. */
enum { BN_CFG_BYTES = 256 };
const char *bn_cfg_read(struct bn_cfg *cfg, const unsigned char *from, size_t bytes, char *why);
void bn_cfg_free(struct bn_cfg *cfg);

/* The value of an option; NULL: the section has none. Of two, Darknet takes the first. */
const char *bn_cfg_find(const struct bn_cfg *cfg, const struct bn_cfg_section *section, const char *key);

/* A whole number of an option of at most 2^31 - 1 either way, as all of Darknet's are; false: something else stands there. */
bool bn_cfg_number(const struct bn_cfg *cfg, const struct bn_cfg_section *section, const char *key, int64_t usual,
                   int64_t *value);

/* The next number of a list with commas; false: there is none, or something else. */
bool bn_cfg_next(const char **list, int64_t *value);

#endif
