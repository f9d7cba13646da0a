/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "metadata.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void metadata_add(struct metadata *m, const char *key, const char *layer, const char *value) {
    if (!value || m->no_memory) return;
    if (m->count == m->room) {
        const size_t room = 2 * m->room + 16;
        batchnorm_safetensors_pair *more = realloc(m->at, room * sizeof *more);
        m->no_memory = !more;
        if (!more) return;
        m->at = more;
        m->room = room;
    }
    const size_t bytes = strlen(key) + (layer ? strlen(layer) : 0) + 2;
    char *name = malloc(bytes), *text = strdup(value);
    if (name) snprintf(name, bytes, layer ? "%s:%s" : "%s%s", key, layer ? layer : "");
    m->no_memory = !name || !text;
    m->at[m->count++] = (batchnorm_safetensors_pair){name, text};
}

void metadata_free(struct metadata *m) {
    for (size_t i = 0; i < m->count; i++) {
        free((void *)(uintptr_t)m->at[i].key);
        free((void *)(uintptr_t)m->at[i].value);
    }
    free(m->at);
    *m = (struct metadata){.at = NULL};
}

const char *metadata_told(const batchnorm_safetensors *file, const char *key, const char *layer) {
    const size_t bytes = strlen(key);
    if (!file || !layer) return file ? batchnorm_safetensors_metadata(file, key) : NULL;
    const batchnorm_safetensors_pair *pair;
    for (size_t i = 0; (pair = batchnorm_safetensors_metadata_at(file, i)) != NULL; i++)
        if (strncmp(pair->key, key, bytes) == 0 && pair->key[bytes] == ':' && strcmp(pair->key + bytes + 1, layer) == 0)
            return pair->value;
    return NULL;
}

static bool is_own(const char *key) {
    static const char *const own[] = {"format",     KEY_CONVENTION, KEY_EPS,     KEY_MOMENTUM,
                                      KEY_VARIANCE, KEY_FIX_GAMMA,  KEY_BATCHES, KEY_FILLED};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        const size_t bytes = strlen(own[i]);
        if (strncmp(key, own[i], bytes) == 0 && (key[bytes] == '\0' || key[bytes] == ':')) return true;
    }
    return false;
}

void metadata_pass(struct metadata *to, const batchnorm_safetensors *file) {
    const batchnorm_safetensors_pair *pair;
    for (size_t i = 0; file && (pair = batchnorm_safetensors_metadata_at(file, i)) != NULL; i++)
        if (!is_own(pair->key)) metadata_add(to, pair->key, NULL, pair->value);
}

void metadata_number(double value, char text[METADATA_NUMBER_BYTES]) {
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, METADATA_NUMBER_BYTES, "%.*g", digits, value);
        if (strtod(text, NULL) == value) return;
    }
}

bool metadata_read(const char *text, double *value) {
    char *end;
    if (text[0] == '\0' || strspn(text, "0123456789.e+-") != strlen(text)) return false;
    *value = strtod(text, &end);
    return *end == '\0' && *value >= 0 && *value <= 1;
}

/* Digits after a point: "0.90", and 0 and 1 with zeros. */
static bool is_plain(const char *text, bool *is_whole) {
    const bool has_point = text[0] && text[1] == '.';
    const char *digits = has_point ? text + 2 : text + (text[0] != '\0');
    *is_whole = strspn(digits, "0") == strlen(digits);
    if (strlen(text) >= METADATA_NUMBER_BYTES || (!has_point && digits[0])) return false;
    return (text[0] == '0' || (text[0] == '1' && *is_whole)) && strspn(digits, "0123456789") == strlen(digits);
}

void metadata_plain(const char *value, char text[METADATA_NUMBER_BYTES]) {
    double number;
    bool is_whole;
    snprintf(text, METADATA_NUMBER_BYTES, "%s", value);
    if (is_plain(value, &is_whole) || !metadata_read(value, &number)) return;
    for (int digits = 1; digits < METADATA_NUMBER_BYTES - 3; digits++) {
        snprintf(text, METADATA_NUMBER_BYTES, "%.*f", digits, number);
        if (strtod(text, NULL) == number) return;
    }
    metadata_number(number, text);
}

void metadata_complement(const char *value, char text[METADATA_NUMBER_BYTES]) {
    double number;
    bool is_whole;
    metadata_plain(value, text);
    if (is_plain(text, &is_whole) && is_whole) {
        text[0] = text[0] == '0' ? '1' : '0';
    } else if (is_plain(text, &is_whole)) {
        int carry = 10; /* 9 of all digits but the last that is not 0, of which 10 */
        for (size_t i = strlen(text) - 1; i >= 2; i--) {
            if (text[i] == '0' && carry == 10) continue;
            text[i] = (char)('0' + carry - (text[i] - '0'));
            carry = 9;
        }
    } else if (metadata_read(text, &number)) {
        metadata_number(1 - number, text);
    }
}
