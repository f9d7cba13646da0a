/* SPDX-License-Identifier: MIT */
/* Where outputs go: through links, into pipes and open files, with the mode of what was there; and what killed runs left. */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "place/place.h"
#include "tests/support/files.h"
#include "tests/support/test.h"

/* file_path() has one place for its result. */
static const char *path_of(const char *name) {
    static char paths[8][600];
    static int next;
    char *path = paths[next++ % 8];
    strcpy(path, file_path(name));
    return path;
}

/* Writes "new" there; NULL, or what is wrong. */
static const char *put_new(const char *path) {
    static char why[BN_PLACE_BYTES];
    struct bn_place place;
    const char *wrong = bn_place_find(&place, path, why);
    if (!wrong) wrong = bn_place_create(&place, why);
    if (!wrong && write(place.fd, "new", 3) != 3) wrong = "write";
    if (!wrong) wrong = bn_place_finish(&place, why);
    if (!wrong) wrong = bn_place_commit(&place, why);
    bn_place_cancel(&place);
    return wrong;
}

static void assert_holds(const char *name, const char *text) {
    char bytes[64];
    const size_t count = file_get(path_of(name), bytes, sizeof bytes);
    assert_int_equal(count, strlen(text));
    assert_memory_equal(bytes, text, count);
}

static mode_t mode_of(const char *name) {
    struct stat status;
    assert_int_equal(lstat(path_of(name), &status), 0);
    return status.st_mode;
}

/* An empty directory for each function. */
FIXTURE(clear) {
    char directory[600];
    strcpy(directory, file_path(""));
    directory[strlen(directory) - 1] = '\0'; /* the slash */
    files_remove(directory);
    return mkdir(directory, 0777);
}

TEST(a_file_is_replaced_and_keeps_its_mode) {
    const mode_t modes[] = {0600, 0664, 0640, 0444 | S_IWUSR};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        file_put(path_of("f"), "old", 3);
        assert_int_equal(chmod(path_of("f"), modes[i]), 0);
        assert_null(put_new(path_of("f")));
        assert_holds("f", "new");
        assert_int_equal(mode_of("f") & 07777, modes[i]);
    }
    const mode_t before = umask(027);
    assert_null(put_new(path_of("g")));
    umask(before);
    assert_int_equal(mode_of("g") & 07777, 0640);
    assert_int_equal(files_count(), 2);
}

TEST(links_are_written_through) {
    file_put(path_of("real"), "old", 3);
    assert_int_equal(symlink("real", path_of("one")), 0);
    assert_int_equal(symlink(path_of("one"), path_of("two")), 0);
    assert_null(put_new(path_of("two")));
    assert_holds("real", "new");
    assert_true(S_ISLNK(mode_of("one")) && S_ISLNK(mode_of("two")) && S_ISREG(mode_of("real")));
    assert_int_equal(symlink("not_yet", path_of("three")), 0);
    assert_null(put_new(path_of("three")));
    assert_holds("not_yet", "new");
    assert_true(S_ISLNK(mode_of("three")));
    assert_int_equal(symlink("b", path_of("a")), 0);
    assert_int_equal(symlink("a", path_of("b")), 0);
    assert_non_null(strstr(put_new(path_of("a")), strerror(ELOOP)));
    assert_int_equal(symlink("nowhere/x", path_of("c")), 0);
    assert_string_equal(put_new(path_of("c")), "no file can be created there: No such file or directory");
}

TEST(open_files_are_written_to) {
    const int fd = open(path_of("f"), O_RDWR | O_CREAT | O_TRUNC, 0666);
    char name[64], link[64];
    assert_int_equal(write(fd, "old ", 4), 4);
    snprintf(name, sizeof name, "/dev/fd/%d", fd);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    assert_null(put_new(name));
    assert_null(put_new(link));
    assert_int_equal(symlink(link, path_of("l")), 0);
    assert_null(put_new(path_of("l")));
    assert_int_equal(write(fd, " end", 4), 4);
    close(fd);
    assert_holds("f", "old newnewnew end");
    assert_true(S_ISLNK(mode_of("l")));
    assert_non_null(put_new(name)); /* closed */
    snprintf(name, sizeof name, "/dev/fd/%d", open(path_of("f"), O_RDONLY));
    assert_string_equal(put_new(name), "is open for reading only");
    close(atoi(name + strlen("/dev/fd/")));
    assert_int_equal(files_count(), 2);
}

TEST(pipes_are_written_to) {
    assert_int_equal(mkfifo(path_of("p"), 0666), 0);
    const pid_t child = fork();
    if (child == 0) {
        char bytes[8];
        const int fd = open(path_of("p"), O_RDONLY);
        _exit(read(fd, bytes, sizeof bytes) == 3 && memcmp(bytes, "new", 3) == 0 ? 0 : 1);
    }
    assert_null(put_new(path_of("p")));
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_true(S_ISFIFO(mode_of("p")));
    assert_int_equal(files_count(), 1);
}

TEST(what_cannot_be_written_is_known_before) {
    char why[BN_PLACE_BYTES], name[700];
    struct bn_place place;
    static const struct {
        const char *name, *why;
    } cases[] = {{"d", "is a directory"},
                 {"d/", "is a directory"},
                 {"absent/f", "no file can be created there: No such file or directory"},
                 {"f/x", "no file can be created there: Not a directory"},
                 {"absent/", "no file can be created there: No such file or directory"}};
    assert_int_equal(mkdir(path_of("d"), 0777), 0);
    file_put(path_of("f"), "old", 3);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(name, sizeof name, "%s", path_of(cases[i].name));
        assert_non_null(bn_place_find(&place, name, why));
        assert_string_equal(why, cases[i].why);
        bn_place_cancel(&place);
    }
    assert_non_null(bn_place_find(&place, "", why));
    bn_place_cancel(&place);
    if (geteuid() == 0) return; /* may write everywhere */
    assert_int_equal(chmod(path_of("f"), 0444), 0);
    assert_string_equal(put_new(path_of("f")), "cannot be written: Permission denied");
    assert_int_equal(chmod(path_of("d"), 0555), 0);
    assert_string_equal(put_new(path_of("d/x")), "no file can be created there: Permission denied");
    assert_int_equal(chmod(path_of("d"), 0777), 0);
}

/* A name as a run of process `pid` would have made it for the file at `path`. */
static const char *leftover(const char *path, long pid) {
    static char paths[8][700];
    static int next;
    char *made = bn_place_name(path), *name = paths[next++ % 8];
    const char *process = strstr(made, ".batchnorm-"), *rest = strchr(process + strlen(".batchnorm-"), '-');
    snprintf(name, 700, "%.*s.batchnorm-%ld%s", (int)(process - made), made, pid, rest);
    free(made);
    file_put(name, "left", 4);
    return name;
}

TEST(what_killed_runs_left_is_removed) {
    const pid_t gone = fork();
    if (gone == 0) _exit(0);
    waitpid(gone, NULL, 0);
    char f[600], g[600];
    strcpy(f, file_path("f"));
    strcpy(g, file_path("g"));
    const char *dead = leftover(f, gone), *other = leftover(g, gone), *alive = leftover(f, (long)getpid()),
               *locked = leftover(f, gone), *no_process = leftover(f, 1000000000L + gone);
    const int fd = open(locked, O_RDONLY);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    file_put(path_of(".batchnorm-1x"), "", 0);
    assert_null(put_new(f));
    assert_false(file_exists(dead));
    assert_true(file_exists(other) && file_exists(alive) && file_exists(locked) && file_exists(path_of(".batchnorm-1x")));
    assert_true(file_exists(no_process));
    close(fd);
    assert_null(put_new(f));
    assert_false(file_exists(locked));
    assert_holds("f", "new");
}

/* Locks the directories of two places that it finds, `rounds` times, given in this order. */
static int lock_often(const char *one, const char *two, int rounds) {
    char why[BN_PLACE_BYTES];
    for (int i = 0; i < rounds; i++) {
        struct bn_place a, b;
        const struct bn_place *const both[] = {&a, &b};
        int locks[2];
        if (bn_place_find(&a, one, why) || bn_place_find(&b, two, why) || bn_place_lock(both, 2, locks, why)) return 1;
        for (int l = 0; l < 2; l++)
            if (locks[l] >= 0) close(locks[l]);
        bn_place_cancel(&a);
        bn_place_cancel(&b);
    }
    return 0;
}

TEST(locks_are_taken_in_one_order_and_once) {
    char a[600], b[600], c[600];
    assert_int_equal(mkdir(path_of("d"), 0777), 0);
    assert_int_equal(mkdir(path_of("d/e"), 0777), 0);
    strcpy(a, path_of("d/a"));
    strcpy(b, path_of("d/e/b"));
    strcpy(c, path_of("d/z"));
    const pid_t child = fork();
    if (child == 0) _exit(lock_often(b, a, 2000));
    assert_int_equal(lock_often(c, b, 2000), 0);
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(lock_often(a, c, 2), 0); /* one directory */
}

TEST(the_same_file_has_many_names) {
    char why[BN_PLACE_BYTES], other[700];
    struct bn_place a, b;
    assert_int_equal(mkdir(path_of("d"), 0777), 0);
    assert_int_equal(symlink("d", path_of("l")), 0);
    snprintf(other, sizeof other, "%s", path_of("l/../l/f"));
    assert_null(bn_place_find(&a, path_of("d/f"), why));
    assert_null(bn_place_find(&b, other, why));
    assert_true(bn_place_same(&a, &b));
    bn_place_cancel(&b);
    assert_null(bn_place_find(&b, path_of("d/g"), why));
    assert_false(bn_place_same(&a, &b));
    bn_place_cancel(&a);
    bn_place_cancel(&b);
}

static void do_nothing(int signal UNUSED) {}

/* Into a pipe whose reader sends two signals with every page: one ends a write in its middle, one before its first byte. */
TEST(everything_is_written_whatever_signals_come) {
    enum { NUMBERS = 1 << 19 };
    static uint32_t numbers[NUMBERS];
    struct sigaction old, handler = {.sa_handler = do_nothing}; /* no SA_RESTART */
    int ends[2], status;
    for (uint32_t i = 0; i < NUMBERS; i++) numbers[i] = i;
    assert_int_equal(pipe(ends), 0);
    sigaction(SIGALRM, &handler, &old);
    const pid_t reader = fork();
    if (reader == 0) {
        uint32_t next = 0, got;
        close(ends[1]);
        FILE *from = fdopen(ends[0], "rb");
        while (fread(&got, sizeof got, 1, from) == 1 && got == next++)
            for (int i = 0; next % 1024 == 0 && i < 2; i++) kill(getppid(), SIGALRM), usleep(100);
        _exit(next != NUMBERS);
    }
    close(ends[0]);
    const bool ok = bn_place_write(ends[1], numbers, sizeof numbers);
    close(ends[1]);
    while (waitpid(reader, &status, 0) < 0) assert_int_equal(errno, EINTR);
    sigaction(SIGALRM, &old, NULL);
    assert_true(ok && status == 0);
    assert_true(!bn_place_write(-1, numbers, 1) && errno == EBADF);
    assert_true(bn_place_write(-1, numbers, 0));
}

TEST(names_cannot_be_guessed) {
    char *one = bn_place_name("d/f"), *two = bn_place_name("d/f");
    assert_string_not_equal(one, two);
    assert_int_equal(strncmp(one, "d/.batchnorm-", strlen("d/.batchnorm-")), 0);
    free(one);
    free(two);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_file_is_replaced_and_keeps_its_mode, clear),
        cmocka_unit_test_setup(links_are_written_through, clear),
        cmocka_unit_test_setup(open_files_are_written_to, clear),
        cmocka_unit_test_setup(pipes_are_written_to, clear),
        cmocka_unit_test_setup(what_cannot_be_written_is_known_before, clear),
        cmocka_unit_test_setup(what_killed_runs_left_is_removed, clear),
        cmocka_unit_test_setup(locks_are_taken_in_one_order_and_once, clear),
        cmocka_unit_test_setup(the_same_file_has_many_names, clear),
        cmocka_unit_test_setup(everything_is_written_whatever_signals_come, clear),
        cmocka_unit_test_setup(names_cannot_be_guessed, clear),
    };
    return cmocka_run_group_tests_name("place.files", tests, files_setup, files_teardown);
}
