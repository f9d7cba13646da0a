/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* strdup */
#include "location.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"

static const char extension[] = ".safetensors";

static bool say(char *message, const char *text) {
    snprintf(message, MESSAGE_BYTES, "%s", text);
    return false;
}

bool location_parse(struct location *location, const char *argument, char *message) {
    size_t length = strlen(argument), own = strlen(extension);
    *location = (struct location){strdup(argument), NULL};
    if (!location->path) return say(message, "no memory");
    /* the name may have colons in it, so the first place counts */
    char *found = strstr(location->path, ".safetensors:");
    if (found) {
        found[own] = '\0';
        location->name = found + own + 1;
    }
    bool file_alone = !found && length >= own && strcmp(argument + length - own, extension) == 0;
    if (!file_alone && !(found && location->name[0] == '\0')) return true;
    location_free(location);
    return say(message, "names no tensor; write FILE.safetensors:NAME");
}

void location_free(struct location *location) {
    free(location->path);
    *location = (struct location){NULL, NULL};
}
