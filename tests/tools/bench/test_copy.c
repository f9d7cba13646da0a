/* SPDX-License-Identifier: MIT */
/* The copies that `batchnorm bench` compares with move every byte, on any number of threads, and write nothing else. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/test.h"
#include "tools/bench/copy.h"

/* Some steps of every width, and pieces for each of three threads; what follows an array must stay. */
enum { MOST_BYTES = 3 * 4096 + 700, ROOM = 16384, GUARD = 0x5a };

static unsigned char *arrays[BENCH_READS + BENCH_WRITES];

FIXTURE(allocate) {
    for (int i = 0; i < BENCH_READS + BENCH_WRITES; i++) {
        if (!(arrays[i] = aligned_alloc(64, ROOM))) return -1;
        for (size_t k = 0; k < ROOM; k++) arrays[i][k] = (unsigned char)((k * 2654435761u + (size_t)i * 40503u) >> 7);
    }
    return 0;
}

FIXTURE(release) {
    for (int i = 0; i < BENCH_READS + BENCH_WRITES; i++) free(arrays[i]);
    return 0;
}

static void check(int reads, int writes, size_t bytes, int threads, bool non_temporal) {
    struct bench_streams s = {.reads = reads, .writes = writes, .bytes = bytes};
    unsigned char want[ROOM];
    for (int i = 0; i < reads; i++) s.in[i] = arrays[i];
    for (int i = 0; i < writes; i++) s.out[i] = arrays[BENCH_READS + i];
    memset(want, GUARD, sizeof want);
    for (size_t k = 0; k < bytes; k++) {
        want[k] = 0;
        for (int i = 0; i < reads; i++) want[k] ^= s.in[i][k];
    }
    for (int i = 0; i < BENCH_WRITES; i++) memset(arrays[BENCH_READS + i], GUARD, ROOM);
    bench_copy(&s, threads, non_temporal);
    for (int i = 0; i < writes; i++) assert_memory_equal(s.out[i], want, ROOM);
    for (int i = writes; i < BENCH_WRITES; i++)
        for (size_t k = 0; k < ROOM; k++) assert_int_equal(arrays[BENCH_READS + i][k], GUARD);
}

TEST(every_byte_is_moved_and_no_other) {
    static const int pairs[][2] = {{1, 0}, {1, 1}, {2, 1}, {2, 2}, {3, 2}};
    for (size_t pair = 0; pair < sizeof pairs / sizeof pairs[0]; pair++)
        for (size_t bytes = 0; bytes <= MOST_BYTES; bytes += bytes < 700 ? 1 : 997)
            for (int threads = 1; threads <= 3; threads++)
                for (int non_temporal = 0; non_temporal <= bench_copy_has_non_temporal(); non_temporal++)
                    check(pairs[pair][0], pairs[pair][1], bytes, threads, non_temporal);
}

TEST(vectors_have_a_width) {
    const int bytes = bench_copy_vector_bytes();
    assert_true(bytes == 16 || bytes == 32 || bytes == 64);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_moved_and_no_other),
        cmocka_unit_test(vectors_have_a_width),
    };
    return cmocka_run_group_tests_name("tools.bench_copy", tests, allocate, release);
}
