/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct kept {
    char *name;
    int64_t last_use;
    struct runtime_array *of; /* [batches]; data NULL: in the file, if there are bytes */
    uint64_t *offsets;
    int fd; /* -1: no file yet */
    uint64_t end;
};

static bool fail(char *message, const char *what, const char *why) {
    snprintf(message, RUNTIME_MESSAGE, "%s%s%s", what, why ? ": " : "", why ? why : "");
    return false;
}

void store_open(struct store *s, size_t batches, uint64_t room) { *s = (struct store){.batches = batches, .room = room}; }

static void free_kept(struct kept *k, size_t batches) {
    for (size_t i = 0; k->of && i < batches; i++) free(k->of[i].data);
    free(k->of);
    free(k->offsets);
    free(k->name);
    if (k->fd >= 0) close(k->fd);
}

void store_close(struct store *s) {
    for (size_t i = 0; i < s->count; i++) free_kept(&s->values[i], s->batches);
    free(s->values);
    *s = (struct store){0};
}

static struct kept *find(const struct store *s, const char *name) {
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->values[i].name, name) == 0) return &s->values[i];
    return NULL;
}

static struct kept *add(struct store *s, const char *name, int64_t last_use) {
    struct kept *more = realloc(s->values, (s->count + 1) * sizeof *more);
    if (!more) return NULL;
    s->values = more;
    struct kept k = {strdup(name), last_use, calloc(s->batches + 1, sizeof *k.of), calloc(s->batches + 1, sizeof *k.offsets),
                     -1,           0};
    if (!k.name || !k.of || !k.offsets) {
        free_kept(&k, 0);
        return NULL;
    }
    s->values[s->count] = k;
    return &s->values[s->count++];
}

/* A file that is gone as soon as nobody has it open. */
static int open_file(void) {
    const char *folder = getenv("TMPDIR");
    char path[4096];
    if (!folder || !*folder) folder = "/tmp";
#ifdef O_TMPFILE
    const int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) return fd;
#endif
    if (snprintf(path, sizeof path, "%s/batchnorm-XXXXXX", folder) >= (int)sizeof path) return errno = ENAMETOOLONG, -1;
    const int named = mkostemp(path, O_CLOEXEC);
    if (named >= 0) unlink(path);
    return named;
}

static bool write_all(int fd, const char *from, size_t bytes, uint64_t at) {
    while (bytes > 0) {
        const ssize_t written = pwrite(fd, from, bytes < (1u << 30) ? bytes : 1u << 30, (off_t)at);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        from += written;
        at += (uint64_t)written;
        bytes -= (size_t)written;
    }
    return true;
}

static bool to_file(struct store *s, struct kept *k, size_t batch, const struct runtime_array *a, char *message) {
    if (k->fd < 0) k->fd = open_file();
    if (k->fd < 0) return fail(message, "a temporary file in TMPDIR cannot be made", strerror(errno));
    if (!write_all(k->fd, a->data, a->bytes, k->end))
        return fail(message, "a temporary file in TMPDIR cannot be written (--memory keeps more in memory)", strerror(errno));
    k->offsets[batch] = k->end;
    k->end += a->bytes;
    s->in_files += a->bytes;
    return true;
}

bool store_put(struct store *s, const char *name, int64_t last_use, size_t batch, struct runtime_array *a, char *message) {
    struct kept *k = find(s, name);
    if (!k) k = add(s, name, last_use);
    if (!k) return fail(message, "no memory for what is between two parts", NULL);
    if (runtime_type_bytes(a->type) == 0) return fail(message, "a value between two parts of the model has no numbers", name);
    k->of[batch] = *a;
    k->of[batch].name = NULL;
    if (s->used + a->bytes > s->room && a->bytes > 0) {
        k->of[batch].data = NULL;
        return to_file(s, k, batch, a, message);
    }
    s->used += a->bytes;
    a->data = NULL;
    return true;
}

int store_type(const struct store *s, const char *name) {
    const struct kept *k = find(s, name);
    return k && s->batches ? k->of[0].type : 0;
}

bool store_get(const struct store *s, const char *name, size_t batch, struct runtime_array *a, char *message) {
    const struct kept *k = find(s, name);
    if (!k) return fail(message, "a value that an earlier part should have given is not there", name);
    char *const own = a->name;
    *a = k->of[batch];
    a->name = own;
    if (a->data) return true;
    char *to = malloc(a->bytes + 1);
    a->data = to;
    if (!to) return fail(message, "no memory for what is between two parts", NULL);
    for (size_t done = 0; done < a->bytes;) {
        const ssize_t got = pread(k->fd, to + done, a->bytes - done, (off_t)(k->offsets[batch] + done));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return fail(message, "a temporary file cannot be read", got < 0 ? strerror(errno) : "it is cut off");
        done += (size_t)got;
    }
    return true;
}

void store_done(const struct store *s, const char *name, size_t batch, struct runtime_array *a) {
    const struct kept *k = find(s, name);
    if (!k || k->of[batch].data != a->data) free(a->data);
    a->data = NULL;
}

static void drop(struct store *s, struct runtime_array *a) {
    if (!a->data) return;
    s->used -= a->bytes;
    free(a->data);
    a->data = NULL;
    a->bytes = 0;
}

void store_drop(struct store *s, int64_t part, size_t batch) {
    for (size_t i = 0; i < s->count; i++)
        if (s->values[i].last_use <= part) drop(s, &s->values[i].of[batch]);
}

void store_drop_all(struct store *s, int64_t part) {
    size_t left = 0;
    for (size_t i = 0; i < s->count; i++) {
        struct kept *k = &s->values[i];
        if (k->last_use > part) {
            s->values[left++] = *k;
            continue;
        }
        for (size_t b = 0; b < s->batches; b++) drop(s, &k->of[b]);
        free_kept(k, s->batches);
    }
    s->count = left;
}
