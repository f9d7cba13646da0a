/* SPDX-License-Identifier: MIT */
/* Pickles: every opcode that is known gives its value, everything else is refused, and nothing takes what is not there. */
#include <string.h>

#include "model/pickle.h"
#include "model_support.h"
#include "tests/support/test.h"

static void free_pickle(void *p) { bn_pickle_free(p); }

/* Reads a pickle that must be good, and returns its value. */
static const struct bn_value *read_good(struct bn_pickle *p, const void *bytes, size_t count) {
    const bool ok = bn_pickle_read(p, bytes, (struct bn_slice){0, count});
    if (!ok) fail_msg("byte %zu: %s", p->at, p->wrong ? p->wrong : "no end");
    assert_int_equal(p->at, count);
    keep(p, free_pickle);
    return &p->values[p->root];
}

static void expect(const char *bytes, size_t count, enum bn_kind kind, int64_t integer) {
    static struct bn_pickle p; /* for let_go() */
    const struct bn_value *v = read_good(&p, bytes, count);
    assert_int_equal(v->kind, kind);
    if (kind == BN_P_INT || kind == BN_P_BOOL) assert_int_equal(v->integer, integer);
    if (kind == BN_P_TEXT) assert_int_equal(v->text.end - v->text.at, integer);
    if (kind >= BN_P_TUPLE && kind != BN_P_GLOBAL) assert_int_equal(v->count, integer);
    let_go(NULL);
}
#define EXPECT(text, kind, integer) expect(text, sizeof(text) - 1, kind, integer)

TEST(values) {
    EXPECT("N.", BN_P_NONE, 0);
    EXPECT("\x80\2N.", BN_P_NONE, 0);
    EXPECT("\x80\4\x95\1\0\0\0\0\0\0\0N.", BN_P_NONE, 0); /* a frame */
    EXPECT("\x88.", BN_P_BOOL, 1);
    EXPECT("\x89.", BN_P_BOOL, 0);
    EXPECT("J\xfe\xff\xff\xff.", BN_P_INT, -2);
    EXPECT("K\xff.", BN_P_INT, 255);
    EXPECT("M\xff\xff.", BN_P_INT, 65535);
    EXPECT("\x8a\0.", BN_P_INT, 0);
    EXPECT("\x8a\1\xff.", BN_P_INT, -1);
    EXPECT("\x8a\2\xff\0.", BN_P_INT, 255);
    EXPECT("\x8a\x08\0\0\0\0\0\0\0\x80.", BN_P_INT, INT64_MIN);
    EXPECT("\x8a\x09\0\0\0\0\0\0\0\0\1.", BN_P_LARGE, 0);
    EXPECT("\x8b\1\0\0\0\7.", BN_P_INT, 7);
    EXPECT("G\x3f\xf0\0\0\0\0\0\0.", BN_P_FLOAT, 0);
    EXPECT("X\3\0\0\0abc.", BN_P_TEXT, 3);
    EXPECT("\x8c\3abc.", BN_P_TEXT, 3);
    EXPECT("\x8d\3\0\0\0\0\0\0\0abc.", BN_P_TEXT, 3);
    EXPECT("T\3\0\0\0abc.", BN_P_TEXT, 3);
    EXPECT("U\3abc.", BN_P_TEXT, 3);
    EXPECT("B\3\0\0\0abc.", BN_P_TEXT, 3);
    EXPECT("C\3abc.", BN_P_TEXT, 3);
    EXPECT("\x8e\3\0\0\0\0\0\0\0abc.", BN_P_TEXT, 3);
    EXPECT("cmodule\nname\n.", BN_P_GLOBAL, 0);
    EXPECT("X\1\0\0\0mX\1\0\0\0n\x93.", BN_P_GLOBAL, 0);
}

TEST(containers) {
    EXPECT("}.", BN_P_DICT, 0);
    EXPECT("].", BN_P_LIST, 0);
    EXPECT("\x8f.", BN_P_LIST, 0);
    EXPECT(").", BN_P_TUPLE, 0);
    EXPECT("(t.", BN_P_TUPLE, 0);
    EXPECT("(NNNt.", BN_P_TUPLE, 3);
    EXPECT("N\x85.", BN_P_TUPLE, 1);
    EXPECT("NN\x86.", BN_P_TUPLE, 2);
    EXPECT("NNN\x87.", BN_P_TUPLE, 3);
    EXPECT("]Na.", BN_P_LIST, 1);
    EXPECT("](NNe.", BN_P_LIST, 2);
    EXPECT("\x8f(NN\x90.", BN_P_LIST, 2);
    EXPECT("}NNs.", BN_P_DICT, 2);
    EXPECT("}(NNNNu.", BN_P_DICT, 4);
    EXPECT("}(u.", BN_P_DICT, 0);
    EXPECT("N0N.", BN_P_NONE, 0);     /* POP */
    EXPECT("N2\x86.", BN_P_TUPLE, 2); /* DUP */
    EXPECT("cm\nn\n)R.", BN_P_CALL, 2);
    EXPECT("cm\nn\n)\x81.", BN_P_CALL, 2);
    EXPECT("cm\nn\n)R}b.", BN_P_CALL, 2); /* BUILD */
    EXPECT("NQ.", BN_P_PERSISTENT, 1);
}

TEST(what_is_remembered_comes_back) {
    EXPECT("K\7q\0000h\0.", BN_P_INT, 7);
    EXPECT("K\7r\1\0\0\0000j\1\0\0\0.", BN_P_INT, 7);
    EXPECT("K\7\2240K\x08\2240h\0.", BN_P_INT, 7); /* MEMOIZE counts */
    EXPECT("K\7\2240K\x08\2240h\1.", BN_P_INT, 8);
    EXPECT("}q\0h\0h\0s.", BN_P_DICT, 2); /* a circle is only built */
}

TEST(what_is_broken_is_refused) {
    static const struct {
        const char *bytes;
        size_t count;
        const char *wrong;
    } cases[] = {
        {"", 0, "cut off"},
        {"N", 1, "cut off"},
        {".", 1, "takes more than it has"},
        {"(.", 2, "takes a mark"},
        {"K", 1, "cut off"},
        {"X\xff\xff\xff\xff.", 6, "cut off"},
        {"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", 10, "cut off"},
        {"\x8b\xff\xff\xff\x7f.", 6, "cut off"},
        {"cmodule", 7, "cut off"},
        {"cmodule\nname", 12, "cut off"},
        {"t.", 2, "without the mark"},
        {"u.", 2, "without the mark"},
        {"(u.", 3, "without the mark"},
        {"e.", 2, "without the mark"},
        {"}(Nu.", 5, "a key that has no value"},
        {"\x85.", 2, "takes more than it has"},
        {"N\x87.", 3, "takes more than it has"},
        {"a.", 2, "takes more than it has"},
        {"Na.", 3, "takes more than it has"},
        {"NNs.", 4, "takes more than it has"},
        {"NR.", 3, "takes more than it has"},
        {"(NR.", 4, "takes a mark"},
        {"Q.", 2, "takes more than it has"},
        {"b.", 2, "takes more than it has"},
        {"2.", 2, "takes more than it has"},
        {"0.", 2, "takes more than it has"},
        {"NN\x93.", 4, "without a name"},
        {"q\0.", 3, "remembers nothing"},
        {"Nr\0\0\1\0.", 7, "remembers more than it has"},
        {"Nr\xff\xff\xff\x7f.", 7, "remembers more than it has"},
        {"Nr\xff\xff\xff\xff.", 7, "remembers more than it has"},
        {"h\0.", 3, "never had"},
        {"Nq\0h\1.", 6, "never had"},
        {"j\xff\xff\xff\xff.", 6, "never had"},
        {"\x80\6N.", 4, "of a protocol that there is not"},
        {"i.", 2, "an opcode that checkpoints do not have"},
        {"\x92.", 2, "an opcode that checkpoints do not have"},
        {"\xff.", 2, "an opcode that checkpoints do not have"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bn_pickle p;
        const bool ok = bn_pickle_read(&p, (const unsigned char *)cases[i].bytes, (struct bn_slice){0, cases[i].count});
        if (ok || !p.wrong || !strstr(p.wrong, cases[i].wrong))
            fail_msg("case %zu: %s", i, ok ? "is read" : p.wrong ? p.wrong : "no reason");
        assert_true(p.at <= cases[i].count);
        bn_pickle_free(&p);
    }
}

/* Every opcode with everything before it and nothing behind it: whatever happens, no more is taken than is there. */
TEST(no_opcode_takes_what_is_not_there) {
    static const char *const before[] = {"", "N", "(", "NN", "(N", "]", "](", "}(", "}(NN", "]N", "}NN", "cm\nn\n)", "(NNN"};
    for (size_t i = 0; i < sizeof before / sizeof *before; i++)
        for (int op = 0; op < 256; op++)
            for (size_t behind = 0; behind < 10; behind++) {
                struct bytes b = {.count = 0};
                struct bn_pickle p;
                put_text(&b, before[i]);
                put_number(&b, (uint64_t)op, 1);
                for (size_t k = 0; k < behind; k++) put_number(&b, k + 1 == behind ? '.' : 0, 1);
                const size_t count = b.count;
                if (bn_pickle_read(&p, b.at, (struct bn_slice){0, count}))
                    assert_true(p.root < p.value_count && p.values[p.root].kind != BN_P_MARK);
                assert_true(p.at <= count);
                bn_pickle_free(&p);
            }
}

TEST(a_global_is_known_by_both_names) {
    static struct bn_pickle p; /* for let_go() */
    read_good(&p, "ctorch\nFloatStorage\n.", 21);
    assert_true(bn_pickle_is(&p, p.root, "torch", "FloatStorage"));
    assert_false(bn_pickle_is(&p, p.root, "torch", "FloatStorag"));
    assert_false(bn_pickle_is(&p, p.root, "torc", "FloatStorage"));
    assert_false(bn_pickle_is(&p, 0, "torch", "FloatStorage"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(values, let_go),
        cmocka_unit_test_teardown(containers, let_go),
        cmocka_unit_test_teardown(what_is_remembered_comes_back, let_go),
        cmocka_unit_test(what_is_broken_is_refused),
        cmocka_unit_test(no_opcode_takes_what_is_not_there),
        cmocka_unit_test_teardown(a_global_is_known_by_both_names, let_go),
    };
    return cmocka_run_group_tests_name("model.pickle", tests, NULL, NULL);
}
