/* SPDX-License-Identifier: MIT */
/* The configuration of a network, as Keras writes it: {"class_name": ..., "config": {"name": ..., "layers": [...]}}. */
#define _POSIX_C_SOURCE 200809L
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"

static bool is_norm(const char *class_name) {
    static const char *const names[] = {"BatchNormalization", "BatchNormalizationV1", "BatchNormalizationV2",
                                        "SyncBatchNormalization"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(class_name, names[i]) == 0) return true;
    return false;
}

static void add(struct norm_configs *c, const char *layer, json_t *config) {
    if (c->count == c->room) {
        const size_t room = 2 * c->room + 64;
        struct norm_config *grown = realloc(c->at, room * sizeof *grown);
        c->no_memory = c->no_memory || !grown;
        if (!grown) return;
        c->at = grown;
        c->room = room;
    }
    const json_t *eps = json_object_get(config, "epsilon"), *momentum = json_object_get(config, "momentum");
    struct norm_config *to = &c->at[c->count];
    *to = (struct norm_config){.layer = strdup(layer),
                               .eps = json_is_number(eps) ? json_number_value(eps) : 1e-3,
                               .momentum = json_is_number(momentum) ? json_number_value(momentum) : 0.99,
                               .has_scale = !json_is_false(json_object_get(config, "scale")),
                               .has_center = !json_is_false(json_object_get(config, "center"))};
    c->no_memory = c->no_memory || !to->layer;
    if (to->layer) c->count++;
}

/* Layers are in models and in layers around them. outer: the names of those; NULL: this is the whole. jansson itself limits
 * how deep JSON may be. */
static void walk(struct norm_configs *c, json_t *value, const char *outer) {
    json_t *inner, *config = json_object_get(value, "config");
    const char *class_name = json_string_value(json_object_get(value, "class_name"));
    const char *name = json_string_value(json_object_get(config, "name"));
    char *layer = NULL;
    if (class_name && name && outer) {
        const size_t bytes = strlen(outer) + strlen(name) + 2;
        layer = malloc(bytes);
        if (layer) snprintf(layer, bytes, "%s%s%s", outer, outer[0] ? "/" : "", name);
        c->no_memory = c->no_memory || !layer;
        if (layer && is_norm(class_name)) add(c, layer, config);
    }
    const char *here = layer ? layer : outer ? outer : "";
    size_t index;
    const char *key;
    json_array_foreach(value, index, inner) walk(c, inner, here);
    json_object_foreach(value, key, inner) walk(c, inner, here);
    free(layer);
}

bool config_read(struct network *n, struct norm_configs *c) {
    json_error_t error;
    *c = (struct norm_configs){.at = NULL};
    if (!n->config) return true;
    json_t *root = json_loads(n->config, 0, &error);
    if (!root) return network_fail(n, "its configuration is no JSON: %.200s", error.text);
    walk(c, root, NULL);
    json_decref(root);
    return !c->no_memory || network_fail(n, "no memory for its configuration");
}

void config_free(struct norm_configs *c) {
    for (size_t i = 0; i < c->count; i++) free(c->at[i].layer);
    free(c->at);
    *c = (struct norm_configs){.at = NULL};
}

static const char *last(const char *layer) {
    const char *slash = strrchr(layer, '/');
    return slash ? slash + 1 : layer;
}

const struct norm_config *config_find(const struct norm_configs *c, const char *layer, bool is_exact) {
    const struct norm_config *found = NULL;
    size_t count = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (strcmp(c->at[i].layer, layer) == 0) return &c->at[i];
        if (strcmp(last(c->at[i].layer), last(layer)) != 0) continue;
        found = &c->at[i];
        count++;
    }
    return count == 1 && !is_exact ? found : NULL;
}
