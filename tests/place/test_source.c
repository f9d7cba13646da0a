/* SPDX-License-Identifier: MIT */
/* Where inputs come from: files, pipes, sockets, the rest of an open file. */
#define _DEFAULT_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "place/source.h"
#include "tests/support/files.h"
#include "tests/support/test.h"

enum { BYTES = 200000 };

static char bytes[BYTES];

static bool is_good(const unsigned char *first) { return memcmp(first, bytes, BN_SOURCE_FIRST) == 0; }

FIXTURE(fill) {
    for (int i = 0; i < BYTES; i++) bytes[i] = (char)(i * 7 + i / 256);
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

/* A child that writes `count` bytes from `from` on, again and again `times` times, and has no other end of the pipe. */
static pid_t writer(int fd, int other, const char *from, size_t count, long times) {
    const pid_t child = fork();
    if (child != 0) return child;
    if (other >= 0) close(other);
    for (long i = 0; i < times; i++)
        for (size_t at = 0; at < count;) {
            const ssize_t put = write(fd, from + at, count - at < 1000 ? count - at : 1000);
            if (put < 0) _exit(0);
            at += (size_t)put;
        }
    _exit(0);
}

static void expect(const char *path, const char *want, size_t count) {
    static char got[BYTES];
    char why[BN_SOURCE_BYTES];
    struct bn_source source;
    assert_null(bn_source_open(&source, path, is_good, why));
    assert_int_equal(source.bytes, count);
    assert_null(bn_source_read(&source, 0, got, count, why));
    assert_memory_equal(got, want, count);
    assert_null(bn_source_read(&source, count / 2, got, count - count / 2, why));
    assert_memory_equal(got, want + count / 2, count - count / 2);
    assert_null(bn_source_read(&source, count, got, 0, why));
    const char *wrong = bn_source_read(&source, count, got, 1, why);
    assert_true(wrong != NULL && strncmp(wrong, "ends at byte ", 13) == 0);
    bn_source_close(&source);
}

TEST(files_are_read_where_they_lie) {
    file_put(file_path("f"), bytes, BYTES);
    expect(file_path("f"), bytes, BYTES);
    file_put(file_path("f"), bytes, 0);
    expect(file_path("f"), bytes, 0);
}

TEST(pipes_and_sockets_are_read_to_their_end) {
    for (int kind = 0; kind < 2; kind++)
        for (size_t count = 0; count <= BYTES; count += count < 10 ? 1 : 39998) {
            int ends[2];
            char path[40];
            if (kind == 0) assert_int_equal(pipe(ends), 0);
            if (kind == 1) assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
            const pid_t child = writer(ends[1], ends[0], bytes, count, 1);
            close(ends[1]);
            snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
            expect(path, bytes, count);
            close(ends[0]);
            waitpid(child, NULL, 0);
        }
    assert_int_equal(mkfifo(file_path("fifo"), 0600), 0);
    const pid_t child = fork();
    if (child == 0) {
        const int fd = open(file_path("fifo"), O_WRONLY);
        waitpid(writer(fd, -1, bytes, BYTES, 1), NULL, 0);
        _exit(0);
    }
    expect(file_path("fifo"), bytes, BYTES);
    waitpid(child, NULL, 0);
    unlink(file_path("fifo"));
}

/* What was read of an open file is not read again. */
TEST(an_open_file_goes_on_where_it_is) {
    char path[40];
    for (int i = 0; i < BYTES; i++) bytes[i] = (char)i; /* the rest begins as it should, too */
    file_put(file_path("f"), bytes, BYTES);
    const int fd = open(file_path("f"), O_RDONLY);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    expect(path, bytes, BYTES);
    assert_int_equal(lseek(fd, 512, SEEK_SET), 512);
    expect(path, bytes + 512, BYTES - 512);
    close(fd);
}

/* What cannot be right is left after its first bytes, for a pipe may be endless. */
TEST(an_endless_pipe_of_something_else_ends) {
    int ends[2];
    char path[40], why[BN_SOURCE_BYTES];
    struct bn_source source;
    assert_int_equal(pipe(ends), 0);
    const pid_t child = writer(ends[1], ends[0], bytes + 1, 1000, 1000000000);
    close(ends[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    assert_null(bn_source_open(&source, path, is_good, why));
    assert_in_range(source.bytes, BN_SOURCE_FIRST, 65536);
    bn_source_close(&source);
    close(ends[0]);
    waitpid(child, NULL, 0);
}

TEST(what_is_neither_is_said) {
    char why[BN_SOURCE_BYTES];
    struct bn_source source;
    static const char *const table[][2] = {{"/dev/zero", "is neither a file nor a pipe"},
                                           {"/", "is neither a file nor a pipe"},
                                           {"/dev/fd/999", "cannot be opened: Bad file descriptor"},
                                           {"", "the name is empty"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const char *wrong = bn_source_open(&source, table[i][0], is_good, why);
        assert_non_null(wrong);
        assert_string_equal(wrong, table[i][1]);
        bn_source_close(&source);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(files_are_read_where_they_lie, fill),
        cmocka_unit_test_setup(pipes_and_sockets_are_read_to_their_end, fill),
        cmocka_unit_test_setup(an_open_file_goes_on_where_it_is, fill),
        cmocka_unit_test_setup(an_endless_pipe_of_something_else_ends, fill),
        cmocka_unit_test(what_is_neither_is_said),
    };
    return cmocka_run_group_tests_name("place.source", tests, files_setup, files_teardown);
}
