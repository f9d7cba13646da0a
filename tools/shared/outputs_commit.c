/* SPDX-License-Identifier: MIT */
/* Putting finished files in place: all, or as it was. No system call renames several files at once. So the files that are
 * there get a second name first, and a rename that fails takes back those before it. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clean.h"
#include "messages.h"
#include "outputs.h"

static size_t count_files(const struct output *outputs, size_t count) {
    size_t files = 0;
    for (size_t i = 0; i < count; i++) files += outputs[i].place.temporary != NULL;
    return files;
}

/* Where a file cannot have a second name (other reasons than that it is not there), going on is better than giving up: a rename
 * that fails after the writing went well is rare, and what cannot be taken back will be reported. */
static void keep_old(struct output *o) {
    if (!o->place.exists) return;
    o->previous = bn_place_name(o->place.target);
    if (!o->previous || link(o->place.target, o->previous) == 0) return;
    free(o->previous);
    o->previous = NULL;
}

static void take_back(struct output *o) {
    const char *target = o->place.target;
    const int failed = o->previous ? rename(o->previous, target) : o->place.exists ? -1 : unlink(target);
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
        char why[BN_PLACE_BYTES];
        if (!o->place.temporary) continue;
        const char *wrong = bn_place_commit(&o->place, why);
        if (wrong) {
            report(EXIT_FAILED, "%s: %s", output_name(o->argument), wrong);
            while (i-- > 0)
                if (outputs[i].is_placed) take_back(&outputs[i]);
            return false;
        }
        o->is_placed = true;
    }
    return true;
}

bool outputs_commit(struct output *outputs, size_t count) {
    /* one rename is whole by itself */
    for (size_t i = 0; i < count && count_files(outputs, count) > 1; i++)
        if (outputs[i].place.temporary) keep_old(&outputs[i]);
    return put_in_place(outputs, count);
}

void outputs_free(struct output *outputs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct output *o = &outputs[i];
        if (o->previous) unlink(o->previous);
        free(o->previous);
        o->previous = NULL;
        if (o->lock > 0) close(o->lock);
        o->lock = 0;
        if (o->is_looked_at) bn_place_cancel(&o->place);
        o->is_looked_at = false;
        location_free(&o->location);
    }
}
