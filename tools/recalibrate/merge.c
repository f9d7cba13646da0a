/* SPDX-License-Identifier: MIT */
#include "merge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/message.h"
#include "tools/shared/npz.h"

static const char *const words[] = {"count", "mean", "m2"};
static const char prefix[] = "batchnorm/";

/* Whether the name of an array is "batchnorm/KEY/WORD". */
static bool is_named(const char *name, const char *key, const char *word) {
    const size_t bytes = strlen(key);
    return strncmp(name, prefix, sizeof prefix - 1) == 0 && strncmp(name + sizeof prefix - 1, key, bytes) == 0 &&
           name[sizeof prefix - 1 + bytes] == '/' && strcmp(name + sizeof prefix + bytes, word) == 0;
}

static const struct npz_member *find(const struct npz *z, const char *key, const char *word) {
    for (size_t i = 0; i < z->count; i++)
        if (is_named(z->members[i].name, key, word)) return &z->members[i];
    return NULL;
}

/* What no batch norm of the model is called is of another model. */
static bool check_names(const struct layers *ls, const struct npz *z, const char *path, char *message) {
    for (size_t i = 0; i < z->count; i++) {
        const char *name = z->members[i].name;
        bool known = strncmp(name, prefix, sizeof prefix - 1) != 0;
        for (size_t k = 0; k < ls->count && !known; k++)
            for (int w = 0; w < 3 && !known; w++) known = is_named(name, ls->at[k].key, words[w]);
        if (!known) return nn_wrong(message, path, "has \"%.200s\", and the model has no such batch norm", name);
    }
    return true;
}

/* Reads one of the three; count has one number, the others have one for each channel. */
static bool read(const struct npz_member *m, size_t elements, double *to, const char *path, char *message) {
    struct array array;
    char why[MESSAGE_BYTES];
    if (!npz_read(m, &array, why)) return nn_wrong(message, path, "\"%.200s\" %s", m->name, why);
    const bool fits = batchnorm_tensor_elements(&array.view) == (int64_t)elements;
    bool finite = true;
    for (size_t i = 0; fits && i < elements; i++) {
        to[i] = ((const double *)array.view.data)[i];
        finite = finite && isfinite(to[i]);
    }
    array_free(&array);
    if (!fits) return nn_wrong(message, path, "\"%.200s\" must have %zu numbers", m->name, elements);
    return finite || nn_wrong(message, path, "\"%.200s\" has a number that is not finite", m->name);
}

/* Adds what one file has of a layer. */
static bool add(struct layer *l, const struct npz_member *const members[3], const char *path, char *message) {
    const size_t channels = l->channels;
    double count, *numbers = calloc(2 * channels + 1, sizeof *numbers);
    batchnorm_stat *stats = calloc(channels + 1, sizeof *stats);
    bool ok = (numbers && stats) || nn_wrong(message, path, NN_NO_MEMORY);
    ok = ok && read(members[0], 1, &count, path, message) && read(members[1], channels, numbers, path, message) &&
         read(members[2], channels, numbers + channels, path, message);
    if (ok && !(count >= 1 && count == floor(count)))
        ok = nn_wrong(message, path, "\"%.200s\" is %g, which is no count", members[0]->name, count);
    for (size_t c = 0; c < channels && ok; c++) {
        stats[c] = (batchnorm_stat){count, numbers[c], numbers[channels + c]};
        if (stats[c].m2 < 0) ok = nn_wrong(message, path, "\"%.200s\" is negative in channel %zu", members[2]->name, c);
    }
    if (ok) batchnorm_stats_merge(l->stats, stats, channels);
    free(numbers);
    free(stats);
    return ok;
}

static bool merge_file(struct layers *ls, const struct npz *z, const char *path, bool is_first, char *message) {
    if (!check_names(ls, z, path, message)) return false;
    for (size_t i = 0; i < ls->count; i++) {
        struct layer *l = &ls->at[i];
        const struct npz_member *const members[] = {find(z, l->key, words[0]), find(z, l->key, words[1]),
                                                    find(z, l->key, words[2])};
        const int there = !!members[0] + !!members[1] + !!members[2];
        if (there == 1 || there == 2)
            return nn_wrong(message, path, "has only some of count, mean and m2 of \"%.200s\"", l->key);
        if (!is_first && l->is_taken != (there == 3))
            return nn_wrong(message, path, "has statistics of other batch norms than the files before it: \"%.200s\"", l->key);
        if (there == 0) continue;
        if (!add(l, members, path, message)) return false;
        l->is_taken = true;
    }
    return true;
}

bool merge_files(struct layers *ls, char **paths, size_t count, char *message) {
    bool ok = true, any = false;
    for (size_t i = 0; i < count && ok; i++) {
        struct npz z;
        char why[MESSAGE_BYTES];
        ok = npz_open(&z, paths[i], why) || nn_wrong(message, paths[i], "%s", why);
        ok = ok && merge_file(ls, &z, paths[i], i == 0, message);
        npz_close(&z);
    }
    for (size_t i = 0; i < ls->count; i++) any = any || ls->at[i].is_taken;
    return ok && (any || nn_wrong(message, paths[0], "has no statistics: the outputs that --instrument adds are not in it"));
}
