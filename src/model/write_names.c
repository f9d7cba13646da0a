/* SPDX-License-Identifier: MIT */
/* Names that no value has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/write.h"

/* Returns where a name that was made stands among them, or would stand. */
static size_t slot_of(const struct bn_writer *w, const char *name) {
    size_t at = bn_onnx_hash(0, name, strlen(name)) & (w->name_room - 1);
    while (w->names[at][0] && strcmp(w->names[at], name) != 0) at = (at + 1) & (w->name_room - 1);
    return at;
}

/* Makes room for another name: half of all places stay free. */
static bool grow_names(struct bn_writer *w) {
    if (2 * (w->name_count + 1) <= w->name_room) return true;
    struct bn_writer larger = {.name_room = w->name_room ? 2 * w->name_room : 64};
    larger.names = calloc(larger.name_room, sizeof *larger.names);
    if (!larger.names) return false;
    for (size_t i = 0; i < w->name_room; i++)
        if (w->names[i][0]) memcpy(larger.names[slot_of(&larger, w->names[i])], w->names[i], BN_NAME_BYTES);
    free(w->names);
    w->names = larger.names;
    w->name_room = larger.name_room;
    return true;
}

static bool is_taken(const struct bn_writer *w, const char *name) {
    if (w->names[slot_of(w, name)][0]) return true;
    for (uint32_t i = 0; i < w->o->graph_count; i++)
        if (bn_onnx_has(w->o, i, name)) return true;
    return false;
}

void bn_write_name(struct bn_writer *w, struct bn_slice base, const char *end, char name[BN_NAME_BYTES]) {
    const size_t bytes = base.end - base.at;
    const int kept = bytes < 120 ? (int)bytes : 120;
    const char *text = kept ? (const char *)w->o->map->base + base.at : "";
    snprintf(name, BN_NAME_BYTES, "%.*s%s", kept, text, end);
    w->no_memory = w->no_memory || !grow_names(w);
    if (w->no_memory) return;
    while (is_taken(w, name)) snprintf(name, BN_NAME_BYTES, "%.*s%s_%u", kept, text, end, ++w->serial);
    memcpy(w->names[slot_of(w, name)], name, BN_NAME_BYTES);
    w->name_count++;
}
