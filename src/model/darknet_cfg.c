/* SPDX-License-Identifier: MIT */
#include "model/darknet_cfg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Darknet reads a file line by line, without the white space in it. A line begins a section, or is a comment, or an option. */
static const char *take_line(struct bn_cfg *cfg, char *line, size_t number, char *why) {
    char *equal = strchr(line, '=');
    if (line[0] == '\0' || line[0] == '#' || line[0] == ';') return NULL;
    if (line[0] == '[') {
        char *end = strchr(line, ']');
        if (!end) return snprintf(why, BN_CFG_BYTES, "line %zu of the .cfg: a [ without a ]", number), why;
        *end = '\0';
        cfg->sections[cfg->section_count++] =
            (struct bn_cfg_section){.type = line + 1, .line = number, .first = cfg->option_count};
        return NULL;
    }
    if (cfg->section_count == 0 || !equal)
        return snprintf(why, BN_CFG_BYTES, "line %zu of the .cfg: neither a [section] nor key=value in one", number), why;
    *equal = '\0';
    cfg->options[cfg->option_count++] = (struct bn_cfg_option){line, equal + 1, number};
    cfg->sections[cfg->section_count - 1].count++;
    return NULL;
}

const char *bn_cfg_read(struct bn_cfg *cfg, const unsigned char *from, size_t bytes, char *why) {
    size_t lines = 2, line = 1;
    *cfg = (struct bn_cfg){.text = NULL};
    if (bytes > (size_t)1 << 24) return "a .cfg of more than 16 MiB";
    for (size_t i = 0; i < bytes; i++) lines += from[i] == '\n';
    cfg->text = malloc(bytes + 1);
    cfg->sections = calloc(lines, sizeof *cfg->sections);
    cfg->options = calloc(lines, sizeof *cfg->options);
    cfg->no_memory = !cfg->text || !cfg->sections || !cfg->options;
    if (cfg->no_memory) return "no memory for the .cfg";
    char *to = cfg->text, *begin = to;
    for (size_t i = 0; i <= bytes; i++) {
        const unsigned char c = i < bytes ? from[i] : '\n';
        if (c == '\0') return snprintf(why, BN_CFG_BYTES, "line %zu of the .cfg: a byte that is no text", line), why;
        if (c == '\n') {
            *to++ = '\0';
            const char *wrong = take_line(cfg, begin, line++, why);
            if (wrong) return wrong;
            begin = to;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            *to++ = (char)c;
        }
    }
    if (cfg->section_count == 0) return "a .cfg without a [section]";
    return NULL;
}

void bn_cfg_free(struct bn_cfg *cfg) {
    free(cfg->text);
    free(cfg->sections);
    free(cfg->options);
    *cfg = (struct bn_cfg){.text = NULL};
}

const char *bn_cfg_find(const struct bn_cfg *cfg, const struct bn_cfg_section *s, const char *key) {
    for (size_t i = s->first; i < s->first + s->count; i++)
        if (strcmp(cfg->options[i].key, key) == 0) return cfg->options[i].value;
    return NULL;
}

/* Comments may follow, and a fraction, which Darknet does not look at. */
static bool read_number(const char *text, int64_t *value, char **end) {
    const long long number = strtoll(text, end, 10);
    *value = number;
    return *end != text && number >= -INT32_MAX && number <= INT32_MAX;
}

bool bn_cfg_number(const struct bn_cfg *cfg, const struct bn_cfg_section *s, const char *key, int64_t usual, int64_t *value) {
    const char *text = bn_cfg_find(cfg, s, key);
    char *end;
    *value = usual;
    return !text || (read_number(text, value, &end) && strchr(".#;", *end) != NULL);
}

bool bn_cfg_next(const char **list, int64_t *value) {
    char *end;
    if (!read_number(*list, value, &end) || !strchr(",#;", *end)) return false;
    *list = *end == ',' ? end + 1 : "";
    return true;
}
