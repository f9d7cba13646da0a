/* SPDX-License-Identifier: MIT */
#include "model/splice.h"

#include <stdlib.h>
#include <string.h>

/* Makes room for one more item. */
static bool more(void *at, size_t count, size_t *room, size_t bytes) {
    void *old;
    if (count < *room) return true;
    memcpy(&old, at, sizeof old);
    void *new = realloc(old, 2 * (count + 32) * bytes);
    if (!new) return false;
    memcpy(at, &new, sizeof new);
    *room = 2 * (count + 32);
    return true;
}

void bn_splice_add(struct bn_splices *s, struct bn_slice old, size_t message, unsigned char *bytes, size_t count) {
    bn_splice_add_tail(s, old, message, bytes, count, (struct bn_tail){.bytes = 0});
}

void bn_splice_add_tail(struct bn_splices *s, struct bn_slice old, size_t message, unsigned char *bytes, size_t count,
                        struct bn_tail tail) {
    s->no_memory = s->no_memory || !more(&s->at, s->count, &s->room, sizeof *s->at);
    if (s->no_memory) {
        free(bytes);
        free(tail.of);
        return;
    }
    s->at[s->count] = (struct bn_splice){old, message, bytes, count, tail, s->count};
    s->count++;
}

void bn_splices_free(struct bn_splices *s) {
    for (size_t i = 0; i < s->count; i++) {
        free(s->at[i].bytes);
        free(s->at[i].tail.of);
    }
    free(s->at);
    free(s->lengths);
    *s = (struct bn_splices){0};
}

/* By place; what ends an inner message comes before what follows it in the outer one. Insertions keep the order in which they
 * were made. */
static int compare(const void *a, const void *b) {
    const struct bn_splice *p = a, *q = b;
    if (p->old.at != q->old.at) return p->old.at < q->old.at ? -1 : 1;
    if (p->message != q->message) return p->message > q->message ? -1 : 1;
    if (p->old.end != q->old.end) return p->old.end < q->old.end ? -1 : 1;
    return p->order < q->order ? -1 : p->order > q->order;
}

/* A way through the file: with `write` everything is handed out, without it lengths are found. */
struct way {
    struct bn_splices *finding; /* NULL: handing out */
    const struct bn_splices *splices;
    const unsigned char *base;
    size_t next; /* splice */
    bool (*write)(void *arg, const void *from, size_t bytes);
    void *arg;
    uint64_t bytes;
    bool failed;
};

static void give(struct way *w, const void *from, size_t bytes) {
    w->bytes += bytes;
    if (bytes && w->write && !w->failed) w->failed = !w->write(w->arg, from, bytes);
}

static void go_through(struct way *w, struct bn_slice message);

static int compare_lengths(const void *a, const void *b) {
    const struct bn_length *p = a, *q = b;
    return p->message < q->message ? -1 : p->message > q->message;
}

static uint64_t find_length(struct way *w, struct bn_slice message) {
    const struct bn_length key = {message.at, 0};
    if (!w->finding) {
        const struct bn_length *found =
            bsearch(&key, w->splices->lengths, w->splices->length_count, sizeof key, compare_lengths);
        return found ? found->bytes : 0;
    }
    struct bn_splices *s = w->finding;
    const uint64_t before = w->bytes;
    go_through(w, message);
    const struct bn_length length = {message.at, w->bytes - before};
    s->no_memory = s->no_memory || !more(&s->lengths, s->length_count, &s->length_room, sizeof length);
    if (!s->no_memory) s->lengths[s->length_count++] = length;
    return length.bytes;
}

/* Hands out the changes of this message that are at `at`; returns where it goes on. */
static size_t give_changes(struct way *w, size_t at, size_t message) {
    for (; w->next < w->splices->count; w->next++) {
        const struct bn_splice *s = &w->splices->at[w->next];
        if (s->old.at != at || s->message != message) break;
        give(w, s->bytes, s->count);
        w->bytes += s->tail.bytes;
        if (s->tail.bytes && w->write && !w->failed) w->failed = !s->tail.give(s->tail.of, w->write, w->arg);
        at = s->old.end;
    }
    return at;
}

/* A field with changes inside: its tag, the new length, and what is in it. */
static void go_inside(struct way *w, const struct bn_field *f) {
    unsigned char length[BN_VARINT_BYTES];
    size_t tag = 1; /* bytes of the tag: a varint */
    while (w->base[f->tag + tag - 1] >= 0x80) tag++;
    give(w, w->base + f->tag, tag);
    give(w, length, bn_varint_write(find_length(w, f->value), length));
    if (!w->finding) go_through(w, f->value);
}

/* Returns whether the next change is of a message inside a field. */
static bool is_inside(const struct way *w, const struct bn_field *f, size_t message) {
    if (w->next == w->splices->count || f->type != BN_BYTES) return false;
    const size_t of = w->splices->at[w->next].message;
    return of != message && of >= f->value.at && of <= f->value.end;
}

static void go_through(struct way *w, struct bn_slice message) {
    size_t done = message.at;
    struct bn_wire walk = bn_wire_begin(w->base, message);
    for (struct bn_field f; w->next < w->splices->count && bn_wire_next(&walk, &f);) {
        const struct bn_splice *s = &w->splices->at[w->next];
        if (f.tag < done) continue; /* within what was replaced */
        if (s->message == message.at && s->old.at == f.tag) {
            give(w, w->base + done, f.tag - done);
            done = give_changes(w, f.tag, message.at);
            if (done > f.tag) continue;
        }
        if (!is_inside(w, &f, message.at)) continue;
        give(w, w->base + done, f.tag - done);
        go_inside(w, &f);
        done = f.value.end;
    }
    give(w, w->base + done, message.end - done);
    give_changes(w, message.end, message.at);
}

bool bn_splices_prepare(struct bn_splices *s, const unsigned char *base, size_t bytes, uint64_t *total) {
    if (s->count) qsort(s->at, s->count, sizeof *s->at, compare);
    for (size_t i = 1; i < s->count; i++)
        if (s->at[i].old.at < s->at[i - 1].old.end) return false;
    struct way w = {.finding = s, .splices = s, .base = base};
    go_through(&w, (struct bn_slice){0, bytes});
    if (s->length_count) qsort(s->lengths, s->length_count, sizeof *s->lengths, compare_lengths);
    *total = w.bytes;
    return !s->no_memory && w.next == s->count;
}

bool bn_splices_emit(const struct bn_splices *s, const unsigned char *base, size_t bytes,
                     bool (*write)(void *arg, const void *from, size_t bytes), void *arg) {
    struct way w = {.splices = s, .base = base, .write = write, .arg = arg};
    go_through(&w, (struct bn_slice){0, bytes});
    return !w.failed && w.next == s->count;
}

unsigned char *bn_put_bytes_room(struct bn_bytes_out *o, size_t count) {
    if (o->no_memory) return NULL;
    if (o->room - o->count < count || !o->at) {
        const size_t want = o->count + count, room = 2 * o->room > want && want < ((size_t)1 << 20) ? 2 * o->room : want + 64;
        unsigned char *more = realloc(o->at, room);
        o->no_memory = !more;
        if (!more) return NULL;
        o->at = more;
        o->room = room;
    }
    o->count += count;
    return o->at + o->count - count;
}

void bn_put_bytes(struct bn_bytes_out *o, const void *from, size_t count) {
    unsigned char *to = count ? bn_put_bytes_room(o, count) : NULL;
    if (to) memcpy(to, from, count);
}

static void put_varint(struct bn_bytes_out *o, uint64_t value) {
    unsigned char bytes[BN_VARINT_BYTES];
    bn_put_bytes(o, bytes, bn_varint_write(value, bytes));
}

void bn_put_number(struct bn_bytes_out *o, uint32_t field, uint64_t value) {
    put_varint(o, (uint64_t)field << 3 | BN_VARINT);
    put_varint(o, value);
}

void bn_put_opening(struct bn_bytes_out *o, uint32_t field, size_t count) {
    put_varint(o, (uint64_t)field << 3 | BN_BYTES);
    put_varint(o, count);
}

void bn_put_field(struct bn_bytes_out *o, uint32_t field, const void *from, size_t count) {
    bn_put_opening(o, field, count);
    bn_put_bytes(o, from, count);
}

unsigned char *bn_put_room(struct bn_bytes_out *o, uint32_t field, size_t count) {
    bn_put_opening(o, field, count);
    return bn_put_bytes_room(o, count);
}
