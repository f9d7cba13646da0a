/* SPDX-License-Identifier: MIT */
/* Longer than 300 lines, because it is one machine: its opcodes are cases of one switch, and share stack and memo. */
#include "model/pickle.h"

#include <stdlib.h>
#include <string.h>

/* The opcodes that checkpoints have, and some that those of other writers have. */
enum {
    MARK = '(',
    STOP = '.',
    POP = '0',
    POP_MARK = '1',
    DUP = '2',
    BINFLOAT = 'G',
    BININT = 'J',
    BININT1 = 'K',
    BININT2 = 'M',
    NONE = 'N',
    BINPERSID = 'Q',
    REDUCE = 'R',
    BINUNICODE = 'X',
    APPEND = 'a',
    BUILD = 'b',
    GLOBAL = 'c',
    APPENDS = 'e',
    BINGET = 'h',
    LONG_BINGET = 'j',
    BINPUT = 'q',
    LONG_BINPUT = 'r',
    SETITEM = 's',
    TUPLE = 't',
    SETITEMS = 'u',
    EMPTY_DICT = '}',
    EMPTY_LIST = ']',
    EMPTY_TUPLE = ')',
    BINSTRING = 'T',
    SHORT_BINSTRING = 'U',
    BINBYTES = 'B',
    SHORT_BINBYTES = 'C',
    PROTO = 0x80,
    NEWOBJ = 0x81,
    TUPLE1 = 0x85,
    TUPLE2,
    TUPLE3,
    NEWTRUE,
    NEWFALSE,
    LONG1,
    LONG4,
    SHORT_BINUNICODE = 0x8c,
    BINUNICODE8,
    BINBYTES8,
    EMPTY_SET,
    ADDITEMS,
    FROZENSET,
    NEWOBJ_EX,
    STACK_GLOBAL,
    MEMOIZE,
    FRAME
};

/* Values, and items of one value, at most: a byte of a pickle makes a value of dozens of bytes. */
enum { ITEMS_MAX = 1 << 24 };

static bool fail(struct bn_pickle *p, const char *wrong) {
    if (!p->wrong) p->wrong = wrong;
    return false;
}

/* Makes room for one more item. */
static bool more(struct bn_pickle *p, void *at, uint32_t count, uint32_t *room, size_t bytes) {
    void *old;
    if (count < *room) return true;
    memcpy(&old, at, sizeof old);
    const size_t want = 2 * ((size_t)count + 8);
    if (want > ITEMS_MAX) return fail(p, "a pickle with more values than any checkpoint has");
    void *new = realloc(old, want * bytes);
    p->no_memory = p->no_memory || !new;
    if (!new) return fail(p, "no memory for the values of a pickle");
    memcpy(at, &new, sizeof new);
    *room = (uint32_t)want;
    return true;
}

static bool push(struct bn_pickle *p, uint32_t value) {
    if (!more(p, &p->stack, p->stack_count, &p->stack_room, sizeof *p->stack)) return false;
    p->stack[p->stack_count++] = value;
    return true;
}

static bool push_new(struct bn_pickle *p, struct bn_value value) {
    if (!more(p, &p->values, p->value_count, &p->value_room, sizeof *p->values)) return false;
    p->values[p->value_count] = value;
    return push(p, p->value_count++);
}

static bool pop(struct bn_pickle *p, uint32_t *value) {
    if (p->stack_count == 0) return fail(p, "a pickle that takes more than it has");
    *value = p->stack[--p->stack_count];
    return p->values[*value].kind != BN_P_MARK || fail(p, "a pickle that takes a mark for a value");
}

static bool add(struct bn_pickle *p, uint32_t to, uint32_t item) {
    struct bn_value *v = &p->values[to];
    if (!more(p, &v->items, v->count, &v->room, sizeof *v->items)) return false;
    v->items[v->count++] = item;
    return true;
}

/* Returns where the items above the topmost mark begin, and takes the mark away; UINT32_MAX: there is none. */
static uint32_t above_mark(const struct bn_pickle *p) {
    for (uint32_t i = p->stack_count; i-- > 0;)
        if (p->values[p->stack[i]].kind == BN_P_MARK) return i;
    return UINT32_MAX;
}

/* A tuple of the items from `first` on; what is below `bottom` stays. */
static bool make_tuple(struct bn_pickle *p, uint32_t first, uint32_t bottom) {
    struct bn_value tuple = {.kind = BN_P_TUPLE};
    if (first > p->stack_count) return fail(p, "a pickle that takes more than it has");
    if (!more(p, &p->values, p->value_count, &p->value_room, sizeof *p->values)) return false;
    const uint32_t value = p->value_count++;
    p->values[value] = tuple;
    for (uint32_t i = first; i < p->stack_count; i++)
        if (!add(p, value, p->stack[i])) return false;
    p->stack_count = bottom;
    return push(p, value);
}

/* Adds what is above the mark to the list or dict below it. */
static bool add_items(struct bn_pickle *p, bool pairs) {
    const uint32_t mark = above_mark(p);
    if (mark == UINT32_MAX || mark == 0) return fail(p, "a pickle without the mark that it needs");
    const uint32_t to = p->stack[mark - 1];
    if (pairs && (p->stack_count - mark - 1) % 2 != 0) return fail(p, "a dict of a pickle with a key that has no value");
    for (uint32_t i = mark + 1; i < p->stack_count; i++)
        if (!add(p, to, p->stack[i])) return false;
    p->stack_count = mark;
    return true;
}

static bool add_last(struct bn_pickle *p, uint32_t count) {
    if (p->stack_count < count + 1) return fail(p, "a pickle that takes more than it has");
    const uint32_t to = p->stack[p->stack_count - count - 1];
    for (uint32_t i = p->stack_count - count; i < p->stack_count; i++)
        if (!add(p, to, p->stack[i])) return false;
    p->stack_count -= count;
    return true;
}

static bool call(struct bn_pickle *p) {
    uint32_t arguments, callee;
    if (!pop(p, &arguments) || !pop(p, &callee)) return false;
    if (!push_new(p, (struct bn_value){.kind = BN_P_CALL})) return false;
    const uint32_t value = p->value_count - 1;
    return add(p, value, callee) && add(p, value, arguments);
}

static bool remember(struct bn_pickle *p, uint64_t index) {
    if (p->stack_count == 0) return fail(p, "a pickle that remembers nothing");
    if (index > p->at || index >= UINT32_MAX / 2)
        return fail(p, "a pickle that remembers more than it has"); /* one for each byte */
    while (index >= p->memo_room) {
        const uint32_t old = p->memo_room;
        if (!more(p, &p->memo, p->memo_room, &p->memo_room, sizeof *p->memo)) return false;
        for (uint32_t i = old; i < p->memo_room; i++) p->memo[i] = UINT32_MAX;
    }
    p->memo[index] = p->stack[p->stack_count - 1];
    p->memoized++; /* the number that MEMOIZE gives */
    return true;
}

static bool recall(struct bn_pickle *p, uint64_t index) {
    if (index >= p->memo_room || p->memo[index] == UINT32_MAX) return fail(p, "a pickle that recalls what it never had");
    return push(p, p->memo[index]);
}

/* The bytes that are still to be read. */
struct input {
    struct bn_pickle *p;
    size_t end;
};

static bool take(struct input *in, size_t bytes, uint64_t *number) {
    struct bn_pickle *p = in->p;
    if (in->end - p->at < bytes) return fail(p, "a pickle that is cut off");
    *number = 0;
    for (size_t i = 0; i < bytes; i++) *number |= (uint64_t)p->base[p->at + i] << 8 * i;
    p->at += bytes;
    return true;
}

static bool take_slice(struct input *in, uint64_t bytes, struct bn_slice *slice) {
    struct bn_pickle *p = in->p;
    if (bytes > in->end - p->at) return fail(p, "a pickle that is cut off");
    *slice = (struct bn_slice){p->at, p->at + (size_t)bytes};
    p->at = slice->end;
    return true;
}

static bool take_line(struct input *in, struct bn_slice *line) {
    struct bn_pickle *p = in->p;
    const unsigned char *end = memchr(p->base + p->at, '\n', in->end - p->at);
    if (!end) return fail(p, "a pickle that is cut off");
    *line = (struct bn_slice){p->at, (size_t)(end - p->base)};
    p->at = line->end + 1;
    return true;
}

static bool push_text(struct input *in, size_t length_bytes) {
    struct bn_value v = {.kind = BN_P_TEXT};
    uint64_t bytes;
    return take(in, length_bytes, &bytes) && take_slice(in, bytes, &v.text) && push_new(in->p, v);
}

/* An integer of any length, two's complement, little-endian. */
static bool push_long(struct input *in, size_t length_bytes) {
    struct bn_value v = {.kind = BN_P_INT};
    struct bn_slice digits;
    uint64_t bytes, bits = 0;
    if (!take(in, length_bytes, &bytes) || !take_slice(in, bytes, &digits)) return false;
    v.text = digits;
    if (bytes > 8) v.kind = BN_P_LARGE;
    for (size_t i = 0; i < bytes && i < 8; i++) bits |= (uint64_t)in->p->base[digits.at + i] << 8 * i;
    if (bytes > 0 && bytes < 8 && in->p->base[digits.end - 1] >= 0x80) bits |= ~(uint64_t)0 << 8 * bytes;
    v.integer = (int64_t)bits;
    return push_new(in->p, v);
}

static bool push_integer(struct input *in, size_t bytes) {
    struct bn_value v = {.kind = BN_P_INT};
    uint64_t bits;
    if (!take(in, bytes, &bits)) return false;
    v.integer = bytes == 4 ? (int64_t)(int32_t)(uint32_t)bits : (int64_t)bits;
    return push_new(in->p, v);
}

static bool push_float(struct input *in) {
    struct bn_value v = {.kind = BN_P_FLOAT};
    uint64_t bits, reversed = 0;
    if (!take(in, 8, &bits)) return false;
    for (int i = 0; i < 8; i++) reversed |= (bits >> 8 * i & 0xff) << 8 * (7 - i); /* it is big-endian */
    memcpy(&v.number, &reversed, sizeof v.number);
    return push_new(in->p, v);
}

static bool push_global(struct input *in) {
    struct bn_value v = {.kind = BN_P_GLOBAL};
    return take_line(in, &v.module) && take_line(in, &v.text) && push_new(in->p, v);
}

static bool push_stack_global(struct bn_pickle *p) {
    uint32_t name, module;
    if (!pop(p, &name) || !pop(p, &module)) return false;
    if (p->values[name].kind != BN_P_TEXT || p->values[module].kind != BN_P_TEXT)
        return fail(p, "a global of a pickle without a name");
    return push_new(p, (struct bn_value){.kind = BN_P_GLOBAL, .text = p->values[name].text, .module = p->values[module].text});
}

static bool push_persistent(struct bn_pickle *p) {
    uint32_t id;
    return pop(p, &id) && push_new(p, (struct bn_value){.kind = BN_P_PERSISTENT}) && add(p, p->value_count - 1, id);
}

/* What builds: containers and calls. */
static bool do_build(struct input *in, int op) {
    struct bn_pickle *p = in->p;
    uint32_t attributes, mark;
    switch (op) {
    case TUPLE:
        mark = above_mark(p);
        return mark == UINT32_MAX ? fail(p, "a pickle without the mark that it needs") : make_tuple(p, mark + 1, mark);
    case TUPLE1:
    case TUPLE2:
    case TUPLE3:
        mark = (uint32_t)(op - TUPLE1 + 1);
        return p->stack_count < mark ? fail(p, "a pickle that takes more than it has")
                                     : make_tuple(p, p->stack_count - mark, p->stack_count - mark);
    case APPEND:
        return add_last(p, 1);
    case SETITEM:
        return add_last(p, 2);
    case APPENDS:
    case ADDITEMS:
        return add_items(p, false);
    case SETITEMS:
        return add_items(p, true);
    case REDUCE:
    case NEWOBJ:
        return call(p);
    case BUILD:
        if (!pop(p, &attributes)) return false;
        if (p->stack_count > 0) p->values[p->stack[p->stack_count - 1]].built = attributes;
        return true;
    case BINPERSID:
        return push_persistent(p);
    case STACK_GLOBAL:
        return push_stack_global(p);
    default:
        return fail(p, "a pickle with an opcode that checkpoints do not have");
    }
}

/* What is remembered, and what only moves. */
static bool do_memo(struct input *in, int op) {
    struct bn_pickle *p = in->p;
    uint64_t number;
    uint32_t value;
    switch (op) {
    case BINPUT:
        return take(in, 1, &number) && remember(p, number);
    case LONG_BINPUT:
        return take(in, 4, &number) && remember(p, number);
    case MEMOIZE:
        return remember(p, p->memoized);
    case BINGET:
        return take(in, 1, &number) && recall(p, number);
    case LONG_BINGET:
        return take(in, 4, &number) && recall(p, number);
    case PROTO:
        return take(in, 1, &number) && (number <= 5 || fail(p, "a pickle of a protocol that there is not"));
    case FRAME:
        return take(in, 8, &number);
    case POP:
        return pop(p, &value);
    case DUP:
        return p->stack_count == 0 ? fail(p, "a pickle that takes more than it has") : push(p, p->stack[p->stack_count - 1]);
    default:
        return do_build(in, op);
    }
}

static bool do_value(struct input *in, int op) {
    struct bn_pickle *p = in->p;
    switch (op) {
    case MARK:
        return push_new(p, (struct bn_value){.kind = BN_P_MARK});
    case NONE:
        return push(p, 0);
    case NEWTRUE:
    case NEWFALSE:
        return push_new(p, (struct bn_value){.kind = BN_P_BOOL, .integer = op == NEWTRUE});
    case BININT:
        return push_integer(in, 4);
    case BININT1:
        return push_integer(in, 1);
    case BININT2:
        return push_integer(in, 2);
    case LONG1:
        return push_long(in, 1);
    case LONG4:
        return push_long(in, 4);
    case BINFLOAT:
        return push_float(in);
    case SHORT_BINUNICODE:
    case SHORT_BINSTRING:
    case SHORT_BINBYTES:
        return push_text(in, 1);
    case BINUNICODE:
    case BINSTRING:
    case BINBYTES:
        return push_text(in, 4);
    case BINUNICODE8:
    case BINBYTES8:
        return push_text(in, 8);
    case EMPTY_DICT:
        return push_new(p, (struct bn_value){.kind = BN_P_DICT});
    case EMPTY_LIST:
    case EMPTY_SET:
        return push_new(p, (struct bn_value){.kind = BN_P_LIST});
    case EMPTY_TUPLE:
        return push_new(p, (struct bn_value){.kind = BN_P_TUPLE});
    case GLOBAL:
        return push_global(in);
    default:
        return do_memo(in, op);
    }
}

bool bn_pickle_read(struct bn_pickle *p, const unsigned char *base, struct bn_slice rest) {
    *p = (struct bn_pickle){.base = base, .at = rest.at};
    struct input in = {p, rest.end};
    if (!push_new(p, (struct bn_value){.kind = BN_P_NONE})) return false;
    p->stack_count = 0;
    for (uint64_t op; take(&in, 1, &op);) {
        const size_t at = p->at - 1;
        if (op == STOP) return pop(p, &p->root);
        if (do_value(&in, (int)op)) continue;
        p->at = at;
        return false;
    }
    return false;
}

void bn_pickle_free(struct bn_pickle *p) {
    for (uint32_t i = 0; i < p->value_count; i++) free(p->values[i].items);
    free(p->values);
    free(p->stack);
    free(p->memo);
    *p = (struct bn_pickle){0};
}

static bool is_text(const struct bn_pickle *p, struct bn_slice slice, const char *text) {
    return slice.end - slice.at == strlen(text) && memcmp(p->base + slice.at, text, strlen(text)) == 0;
}

bool bn_pickle_is(const struct bn_pickle *p, uint32_t value, const char *module, const char *name) {
    const struct bn_value *v = &p->values[value];
    return v->kind == BN_P_GLOBAL && is_text(p, v->module, module) && is_text(p, v->text, name);
}
