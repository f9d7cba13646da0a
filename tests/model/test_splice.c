/* SPDX-License-Identifier: MIT */
/* Splices: random changes of random messages give what the whole message is when it is built anew, and what is outside them
 * stays byte for byte, lengths that are longer than they must be included. */
#include <stdlib.h>
#include <string.h>

#include "model/splice.h"
#include "model_support.h"
#include "tests/support/test.h"

enum { NODES = 300, SMALL = 12 };

/* A field of the tree; the first is the whole message, which has no tag. */
struct node {
    int parent;
    bool is_message, is_long;  /* its length has more bytes than it must have */
    unsigned char text[SMALL]; /* of one that is no message: all of it, with its tag */
    size_t count;
    size_t tag, value, end;       /* in the file */
    bool is_replaced, is_changed; /* is_changed: something in it is */
    unsigned char before[SMALL], instead[SMALL], behind[SMALL];
    size_t before_count, instead_count, behind_count;
};

static struct node nodes[NODES];
static int node_count;

static int up_to(int most) { return rand() % most; }

static size_t random_bytes(unsigned char *to) {
    const size_t count = (size_t)up_to(SMALL + 1);
    for (size_t i = 0; i < count; i++) to[i] = (unsigned char)rand();
    return count;
}

/* A field that is whole: a varint, fixed numbers, or bytes. */
static size_t random_field(unsigned char *to) {
    switch (up_to(4)) {
    case 0:
        to[0] = 1 << 3;
        return 1 + bn_varint_write((uint64_t)rand() << 8, to + 1);
    case 1:
        memcpy(to, "\x1d\1\2\3\4", 5);
        return 5;
    case 2:
        memcpy(to, "\x11\1\2\3\4\5\6\7\x8", 9);
        return 9;
    default:
        memcpy(to, "\x22\3\xff\x80\x0a", 5);
        return 5;
    }
}

static void plant(void) {
    node_count = 2 + up_to(NODES - 2);
    nodes[0] = (struct node){.parent = -1, .is_message = true};
    for (int i = 1; i < node_count; i++) {
        struct node *n = &nodes[i];
        *n = (struct node){.parent = up_to(i), .is_message = up_to(3) == 0, .is_long = up_to(4) == 0};
        while (!nodes[n->parent].is_message) n->parent = nodes[n->parent].parent;
        if (!n->is_message) n->count = random_field(n->text);
    }
}

/* Writes a node as it was, or as the changes make it, and notes where it is as it was. */
static void write_node(struct bytes *b, int index, bool changed);

static void write_inner(struct bytes *b, int index, bool changed) {
    for (int i = index + 1; i < node_count; i++)
        if (nodes[i].parent == index) {
            if (changed) put(b, nodes[i].before, nodes[i].before_count);
            write_node(b, i, changed);
        }
    if (changed) put(b, nodes[index].behind, nodes[index].behind_count);
}

static void write_node(struct bytes *b, int index, bool changed) {
    struct node *n = &nodes[index];
    const size_t tag = b->count;
    size_t value = tag;
    if (changed && n->is_replaced) {
        put(b, n->instead, n->instead_count);
        return;
    }
    if (!n->is_message) {
        put(b, n->text, n->count);
    } else {
        static struct bytes pool[64];
        static int depth;
        struct bytes *inner = &pool[depth++];
        assert_true(depth < 64);
        inner->count = 0;
        write_inner(inner, index, changed);
        depth--;
        put_varint(b, 100 << 3 | 2);
        if (n->is_long && !(changed && n->is_changed)) {
            put_number(b, (inner->count & 0x7f) | 0x80, 1);
            put_number(b, (inner->count >> 7 & 0x7f) | 0x80, 1);
            put_number(b, inner->count >> 14, 1);
        } else {
            put_varint(b, inner->count);
        }
        value = b->count;
        put(b, inner->at, inner->count);
    }
    if (changed) return;
    n->tag = tag;
    n->value = value;
    n->end = b->count;
}

/* Places within inner messages were noted as if those began at 0. */
static void move_inner(int index, size_t by) {
    for (int i = index + 1; i < node_count; i++) {
        if (nodes[i].parent != index) continue;
        nodes[i].tag += by;
        nodes[i].value += by;
        nodes[i].end += by;
        if (nodes[i].is_message) move_inner(i, nodes[i].value);
    }
}

struct change {
    struct bn_slice old;
    size_t message;
    const unsigned char *bytes;
    size_t count;
};

static void mark(int index) {
    for (; index >= 0; index = nodes[index].parent) nodes[index].is_changed = true;
}

static bool is_gone(int index) {
    for (; index >= 0; index = nodes[index].parent)
        if (nodes[index].is_replaced) return true;
    return false;
}

static size_t change_tree(struct change *changes, int chance) {
    size_t count = 0;
    for (int i = 0; i < node_count; i++) {
        struct node *n = &nodes[i];
        if (is_gone(i)) continue;
        const size_t message = i ? nodes[n->parent].value : 0;
        if (i && up_to(chance) == 0) {
            n->before_count = random_bytes(n->before);
            changes[count++] = (struct change){{n->tag, n->tag}, message, n->before, n->before_count};
            mark(n->parent);
        }
        if (i && up_to(chance) == 0) {
            n->is_replaced = true;
            n->instead_count = up_to(2) ? random_bytes(n->instead) : 0;
            changes[count++] = (struct change){{n->tag, n->end}, message, n->instead, n->instead_count};
            mark(n->parent);
        } else if (n->is_message && up_to(chance) == 0) {
            n->behind_count = random_bytes(n->behind);
            changes[count++] = (struct change){{n->end, n->end}, n->value, n->behind, n->behind_count};
            mark(i);
        }
    }
    return count;
}

static unsigned char *copy_of(const unsigned char *bytes, size_t count) {
    unsigned char *copy = malloc(count + 1);
    assert_non_null(copy);
    if (count) memcpy(copy, bytes, count);
    return copy;
}

static bool collect(void *arg, const void *from, size_t bytes) {
    put(arg, from, bytes);
    return true;
}

TEST(random_changes_give_the_message_that_is_built_anew) {
    static struct bytes before, after, got;
    static struct change changes[3 * NODES];
    srand(2026);
    for (int round = 0; round < 2000; round++) {
        before.count = after.count = got.count = 0;
        plant();
        write_inner(&before, 0, false);
        nodes[0].end = before.count;
        for (int i = 1; i < node_count; i++)
            if (nodes[i].parent == 0 && nodes[i].is_message) move_inner(i, nodes[i].value);
        const size_t count = change_tree(changes, 1 + up_to(30));
        write_inner(&after, 0, true);
        struct bn_splices splices = {0};
        for (size_t i = count; i > 1; i--) { /* in any order */
            const size_t k = (size_t)up_to((int)i);
            const struct change swap = changes[k];
            changes[k] = changes[i - 1];
            changes[i - 1] = swap;
        }
        for (size_t i = 0; i < count; i++)
            bn_splice_add(&splices, changes[i].old, changes[i].message, copy_of(changes[i].bytes, changes[i].count),
                          changes[i].count);
        uint64_t total;
        assert_true(bn_splices_prepare(&splices, before.at, before.count, &total));
        assert_int_equal(total, after.count);
        assert_true(bn_splices_emit(&splices, before.at, before.count, collect, &got));
        assert_int_equal(got.count, after.count);
        assert_memory_equal(got.at, after.at, after.count);
        bn_splices_free(&splices);
    }
}

TEST(changes_that_meet_are_refused) {
    struct bytes b = {.count = 0};
    struct bn_splices splices = {0};
    uint64_t total;
    put_string(&b, 1, "abc");
    put_string(&b, 2, "abc");
    bn_splice_add(&splices, (struct bn_slice){0, 5}, 0, NULL, 0);
    bn_splice_add(&splices, (struct bn_slice){0, 10}, 0, NULL, 0);
    assert_false(bn_splices_prepare(&splices, b.at, b.count, &total));
    bn_splices_free(&splices);
    bn_splice_add(&splices, (struct bn_slice){2, 2}, 2, NULL, 0); /* inside of what goes */
    bn_splice_add(&splices, (struct bn_slice){0, 5}, 0, NULL, 0);
    assert_false(bn_splices_prepare(&splices, b.at, b.count, &total));
    bn_splices_free(&splices);
}

TEST(insertions_keep_their_order) {
    struct bytes b = {.count = 0}, got = {.count = 0};
    struct bn_splices splices = {0};
    uint64_t total;
    put_int(&b, 1, 1);
    for (unsigned char c = 'a'; c < 'a' + 20; c++) bn_splice_add(&splices, (struct bn_slice){2, 2}, 0, copy_of(&c, 1), 1);
    assert_true(bn_splices_prepare(&splices, b.at, b.count, &total));
    assert_true(bn_splices_emit(&splices, b.at, b.count, collect, &got));
    assert_int_equal(got.count, 22);
    assert_memory_equal(got.at + 2, "abcdefghijklmnopqrst", 20);
    bn_splices_free(&splices);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_give_the_message_that_is_built_anew),
        cmocka_unit_test(changes_that_meet_are_refused),
        cmocka_unit_test(insertions_keep_their_order),
    };
    return cmocka_run_group_tests_name("model.splice", tests, NULL, NULL);
}
