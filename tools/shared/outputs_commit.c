/* SPDX-License-Identifier: MIT */
/* Putting finished files in place: all, or as it was. No system call renames several files at once. So the files that are
 * there get a second name first, and a rename that fails takes back those before it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beside.h"
#include "messages.h"
#include "outputs.h"

static size_t count_files(const struct output *outputs, size_t count) {
    size_t files = 0;
    for (size_t i = 0; i < count; i++) files += outputs[i].temporary != NULL;
    return files;
}

/* Where a file cannot have a second name (other reasons than that it is not there), going on is better than giving up: a rename
 * that fails after the writing went well is rare, and what cannot be taken back will be reported. */
static void keep_old(struct output *o) {
    o->previous = link_beside(o->location.path);
    o->is_new = !o->previous && errno == ENOENT;
}

static void take_back(struct output *o) {
    const int failed = o->previous ? rename(o->previous, o->location.path) : o->is_new ? unlink(o->location.path) : -1;
    if (failed && o->previous)
        report(EXIT_FAILED, "%s: was replaced before that, and the old file is now %s", o->argument, o->previous);
    else if (failed)
        report(EXIT_FAILED, "%s: was replaced before that, and stays so", o->argument);
    free(o->previous); /* not to be removed: it is in its place again, or the last of the old file */
    o->previous = NULL;
}

static bool put_in_place(struct output *outputs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct output *o = &outputs[i];
        if (!o->temporary) continue;
        if (rename(o->temporary, o->location.path) != 0) {
            report(EXIT_FAILED, "%s: cannot be replaced: %s", o->argument, strerror(errno));
            while (i-- > 0)
                if (outputs[i].is_placed) take_back(&outputs[i]);
            return false;
        }
        free(o->temporary);
        o->temporary = NULL;
        o->is_placed = true;
    }
    return true;
}

bool outputs_commit(struct output *outputs, size_t count) {
    /* one rename is whole by itself */
    for (size_t i = 0; i < count && count_files(outputs, count) > 1; i++)
        if (outputs[i].temporary) keep_old(&outputs[i]);
    bool ok = put_in_place(outputs, count);
    for (size_t i = 0; i < count; i++)
        if (outputs[i].is_placed) sync_directory(outputs[i].location.path);
    return ok;
}

void outputs_free(struct output *outputs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct output *o = &outputs[i];
        if (o->temporary) unlink(o->temporary);
        if (o->previous) unlink(o->previous);
        free(o->temporary);
        free(o->previous);
        o->temporary = o->previous = NULL;
        location_free(&o->location);
    }
}
