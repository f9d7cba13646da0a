/* SPDX-License-Identifier: MIT */
/* Names of arrays. Keras 3 (.keras, .weights.h5) has them by number, vars/0 and so on, in groups that have the layer's name as
 * an attribute; older files (.h5) have them by name, in a group for each layer. */
#define _POSIX_C_SOURCE 200809L
#include "network.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/safetensors.h"

enum { PAIR_BYTES = 2048 };

bool network_fail(struct network *n, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(n->why, sizeof n->why, format, arguments);
    va_end(arguments);
    return false;
}

static const char *title_of(const struct network *n, const char *path, size_t bytes) {
    for (size_t i = 0; i < n->title_count; i++)
        if (strlen(n->titles[i].path) == bytes && strncmp(n->titles[i].path, path, bytes) == 0) return n->titles[i].name;
    return NULL;
}

/* The names of the layers on a path of Keras 3: "layers/sequential/layers/dense/vars/0" is inner/dense/vars/0, where those are
 * the names of the two. A part without a name stays, but "layers". */
static char *numbered_name(const struct network *n, const char *path) {
    size_t room = strlen(path) + 1, used = 0;
    for (size_t i = 0; i < n->title_count; i++) room += strlen(n->titles[i].name) + 1;
    char *name = calloc(room, 1);
    for (const char *part = path; name && *part;) {
        const size_t bytes = strcspn(part, "/");
        const char *title = title_of(n, path, (size_t)(part + bytes - path));
        if (title)
            used += (size_t)snprintf(name + used, room - used, "%s%s", used ? "/" : "", title);
        else if (!(bytes == 6 && strncmp(part, "layers", 6) == 0))
            used += (size_t)snprintf(name + used, room - used, "%s%.*s", used ? "/" : "", (int)bytes, part);
        part += bytes + (part[bytes] == '/');
    }
    return name;
}

/* What follows the group of the layer, which the name begins with once more. */
static char *plain_name(const char *path) {
    const char *from = strncmp(path, "model_weights/", 14) == 0 ? path + 14 : path, *slash = strchr(from, '/');
    return strdup(slash ? slash + 1 : from);
}

static bool is_numbered(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] && strspn(slash + 1, "0123456789") == strlen(slash + 1) &&
           ((slash - path > 5 && strncmp(slash - 5, "/vars", 5) == 0) || (slash - path == 4 && strncmp(path, "vars", 4) == 0));
}

static int compare(const void *a, const void *b) {
    return strcmp((*(struct array *const *)a)->name, (*(struct array *const *)b)->name);
}

/* Returns the arrays in the order of their names. Names that are there twice are exchanged for paths, all of them. */
static struct array **sort(struct network *n) {
    struct array **sorted = calloc(n->array_count + 1, sizeof *sorted);
    bool is_twice = false;
    if (!sorted) return NULL;
    for (size_t i = 0; i < n->array_count; i++) sorted[i] = &n->arrays[i];
    qsort(sorted, n->array_count, sizeof(struct array *), compare);
    for (size_t i = 1; i < n->array_count; i++) is_twice = is_twice || strcmp(sorted[i - 1]->name, sorted[i]->name) == 0;
    for (size_t i = 0; i < n->array_count && is_twice; i++) {
        free(n->arrays[i].name);
        n->arrays[i].name = strdup(n->arrays[i].path);
        if (!n->arrays[i].name) return free(sorted), NULL;
    }
    if (is_twice) qsort(sorted, n->array_count, sizeof(struct array *), compare);
    return sorted;
}

/* Batch norms */

static const char *const keras_keys[] = {"gamma", "beta", "moving_mean", "moving_variance"};
static const char *const torch_keys[] = {"weight", "bias", "running_mean", "running_var"};
enum { KEYS = 4, KEY_MEAN = 2, KEY_VAR = 3 };

/* What is written beside the arrays. */
struct output {
    struct norm_configs configs;
    struct array **sorted;
    const struct norm_config **of; /* of each batch norm */
    char **norms;                  /* their names */
    size_t norm_count;
};

static struct array *find(const struct network *n, const struct output *o, const char *name) {
    struct array key = {.name = (char *)(uintptr_t)name}, *wanted = &key;
    struct array **found = bsearch(&wanted, o->sorted, n->array_count, sizeof(struct array *), compare);
    return found ? *found : NULL;
}

static char *joined(const char *layer, const char *separator, const char *key) {
    const size_t bytes = strlen(layer) + strlen(key) + 16;
    char *name = malloc(bytes);
    if (name) snprintf(name, bytes, "%s%s%s", layer, layer[0] ? separator : "", key);
    return name;
}

static bool rename_array(struct network *n, struct array *a, const char *layer, int key) {
    free(a->new_name);
    a->new_name = joined(layer, ".", torch_keys[key]);
    return a->new_name || network_fail(n, "no memory for a name");
}

static bool note_norm(struct network *n, struct output *o, const char *layer) {
    o->norms[o->norm_count] = strdup(layer);
    if (!o->norms[o->norm_count]) return network_fail(n, "no memory for a name");
    o->of[o->norm_count++] = config_find(&o->configs, layer, false);
    return true;
}

/* Arrays of a batch norm by number: those of gamma and beta that it has, then the statistics. */
static bool take_numbered(struct network *n, struct output *o, struct array *const arrays[KEYS], int count, const char *layer) {
    const struct norm_config *config = config_find(&o->configs, layer, false);
    bool has[KEYS] = {count == 4 || (config && config->has_scale), count == 4 || (config && config->has_center), true, true};
    if (!config && count == 3)
        return network_fail(n, "\"%.200s\" has three arrays: whether the first is gamma or beta is in the .keras file only",
                            layer);
    if (count != has[0] + has[1] + 2)
        return network_fail(n, "\"%.200s\" has %d arrays, and should have %d", layer, count, has[0] + has[1] + 2);
    for (int key = 0, i = 0; key < KEYS; key++)
        if (has[key] && !rename_array(n, arrays[i++], layer, key)) return false;
    return note_norm(n, o, layer);
}

/* Whether a group is a batch norm's: the configuration says so, or the name that Keras gives to groups of the class. */
static bool is_norm_group(const struct output *o, const struct array *a, const char *layer) {
    static const char class_name[] = "batch_normalization";
    const char *vars = strstr(a->path, "/vars/");
    if (config_find(&o->configs, layer, true)) return true;
    const char *group = vars;
    while (group && group > a->path && group[-1] != '/') group--;
    if (!group || strncmp(group, class_name, sizeof class_name - 1) != 0) return false;
    group += sizeof class_name - 1;
    return group == vars || (*group == '_' && strspn(group + 1, "0123456789") == (size_t)(vars - group - 1));
}

/* The layer of "LAYER/vars/0". */
static bool find_numbered(struct network *n, struct output *o, const struct array *first) {
    const size_t bytes = strlen(first->name);
    if (bytes < 7 || strcmp(first->name + bytes - 7, "/vars/0") != 0) return true;
    char *layer = strndup(first->name, bytes - 7);
    struct array *arrays[KEYS + 1] = {NULL};
    int count = 0;
    bool ok = layer || network_fail(n, "no memory for a name");
    for (char key[] = "vars/0"; ok && count <= KEYS; key[5]++) {
        char *name = joined(layer, "/", key);
        struct array *a = name ? find(n, o, name) : NULL;
        free(name);
        if (!a) break;
        arrays[count++] = a;
    }
    if (ok && is_norm_group(o, first, layer)) ok = take_numbered(n, o, arrays, count, layer);
    free(layer);
    return ok;
}

/* "LAYER/moving_variance", with ":0" in files of Keras 2. */
static bool find_named(struct network *n, struct output *o, const struct array *var) {
    char *layer = strdup(var->name);
    if (!layer) return network_fail(n, "no memory for a name");
    char *slash = strrchr(layer, '/'), *key = slash ? slash + 1 : layer, *colon = strchr(key, ':');
    const char *suffix = colon && strcmp(colon, ":0") == 0 ? ":0" : "";
    if (suffix[0]) *colon = '\0';
    const bool is_var = strcmp(key, keras_keys[KEY_VAR]) == 0;
    *(slash ? slash : layer) = '\0';
    struct array *arrays[KEYS] = {NULL};
    for (int i = 0; i < KEYS && is_var; i++) {
        char text[32];
        snprintf(text, sizeof text, "%s%s", keras_keys[i], suffix);
        char *name = joined(layer, "/", text);
        arrays[i] = name ? find(n, o, name) : NULL;
        free(name);
    }
    bool ok = true;
    for (int i = 0; i < KEYS && ok && arrays[KEY_MEAN]; i++) ok = !arrays[i] || rename_array(n, arrays[i], layer, i);
    if (ok && arrays[KEY_MEAN]) ok = note_norm(n, o, layer);
    free(layer);
    return ok;
}

static bool find_norms(struct network *n, struct output *o) {
    for (size_t i = 0; i < n->array_count; i++)
        if (!find_numbered(n, o, &n->arrays[i]) || !find_named(n, o, &n->arrays[i])) return false;
    return true;
}

/* Writing */

struct pairs {
    batchnorm_safetensors_pair *at;
    char (*keys)[PAIR_BYTES], (*values)[32];
    size_t count;
};

static void add_pair(struct pairs *p, const char *key, const char *layer, double value) {
    snprintf(p->keys[p->count], PAIR_BYTES, "%s%s%s", key, layer ? ":" : "", layer ? layer : "");
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(p->values[p->count], sizeof p->values[0], "%.*g", digits, value);
        if (strtod(p->values[p->count], NULL) == value) break;
    }
    p->at[p->count] = (batchnorm_safetensors_pair){p->keys[p->count], p->values[p->count]};
    p->count++;
}

/* One number for all batch norms where they have the same, otherwise one for each that has one. */
static void add_numbers(struct pairs *p, const struct output *o) {
    bool is_same = o->norm_count > 0;
    for (size_t i = 0; i < o->norm_count; i++)
        is_same = is_same && o->of[i] && o->of[i]->eps == o->of[0]->eps && o->of[i]->momentum == o->of[0]->momentum;
    for (size_t i = 0; i < (is_same ? 1 : o->norm_count); i++) {
        if (!o->of[i]) continue;
        add_pair(p, "batchnorm.eps", is_same ? NULL : o->norms[i], o->of[i]->eps);
        add_pair(p, "batchnorm.momentum", is_same ? NULL : o->norms[i], o->of[i]->momentum);
    }
}

static bool write_all(struct network *n, const struct output *o, const char *path) {
    char message[BATCHNORM_MESSAGE_BYTES] = "no memory for its names";
    const size_t most = 2 * o->norm_count + 1;
    struct pairs p = {calloc(most, sizeof *p.at), calloc(most, sizeof *p.keys), calloc(most, sizeof *p.values), 0};
    batchnorm_safetensors_raw *raw = calloc(n->array_count + 1, sizeof *raw);
    bool ok = p.at && p.keys && p.values && raw;
    if (ok) add_numbers(&p, o);
    for (size_t i = 0; ok && i < n->array_count; i++) {
        const struct array *a = &n->arrays[i];
        raw[i] =
            (batchnorm_safetensors_raw){a->new_name ? a->new_name : a->name, a->dtype, a->rank, a->shape, a->data, a->bytes};
    }
    ok = ok && batchnorm_safetensors_write_raw(path, raw, n->array_count, p.at, p.count, message) == BATCHNORM_OK;
    free(raw);
    free(p.at);
    free(p.keys);
    free(p.values);
    return ok || network_fail(n, "%s", message);
}

bool network_write(struct network *n, const char *path) {
    struct output o = {.sorted = NULL};
    bool ok = config_read(n, &o.configs);
    for (size_t i = 0; ok && i < n->array_count; i++) {
        struct array *a = &n->arrays[i];
        a->name = n->title_count || is_numbered(a->path) ? numbered_name(n, a->path) : plain_name(a->path);
        ok = a->name || network_fail(n, "no memory for its names");
    }
    if (ok) {
        o.sorted = sort(n);
        o.of = calloc(n->array_count + 1, sizeof *o.of);
        o.norms = calloc(n->array_count + 1, sizeof *o.norms);
        ok = (o.sorted && o.of && o.norms) || network_fail(n, "no memory for its names");
    }
    ok = ok && find_norms(n, &o) && write_all(n, &o, path);
    for (size_t i = 0; i < o.norm_count; i++) free(o.norms[i]);
    free(o.norms);
    free(o.of);
    free(o.sorted);
    config_free(&o.configs);
    return ok;
}

void network_free(struct network *n) {
    for (size_t i = 0; i < n->array_count; i++) {
        free(n->arrays[i].path);
        free(n->arrays[i].name);
        free(n->arrays[i].new_name);
        free(n->arrays[i].data);
    }
    for (size_t i = 0; i < n->title_count; i++) {
        free(n->titles[i].path);
        free(n->titles[i].name);
    }
    free(n->arrays);
    free(n->titles);
    free(n->config);
    *n = (struct network){.arrays = NULL};
}
