/* SPDX-License-Identifier: MIT */
/* In the place of mpirun: the command forks the other ranks itself, over sockets, and waits for them. For tests, which need no
 * MPI then, and can say what becomes of a rank when:
 *
 *     BATCHNORM_TEST_RANKS=3             so many processes
 *     BATCHNORM_TEST_SIGNAL=1:KILL:40    process 1 sends itself that signal in its exchange number 40
 *     BATCHNORM_TEST_DIRECTORY=1:other   process 1 begins in another directory */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/train/ranks.h"

enum { RANKS_MAX = 16 };

/* Of rank 0 one socket for each of the others; of those one, to rank 0. */
static struct batchnorm_group *own;
static int sockets[RANKS_MAX];
static pid_t others[RANKS_MAX];
static size_t counts[RANKS_MAX], room;
static char *all;
static long exchanges;

static bool send_all(int to, const void *bytes, size_t count) {
    const char *at = bytes;
    while (count > 0) {
        const ssize_t sent = send(to, at, count, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        at += sent;
        count -= (size_t)sent;
    }
    return true;
}

static bool receive_all(int from, void *bytes, size_t count) {
    char *at = bytes;
    while (count > 0) {
        const ssize_t got = recv(from, at, count, 0);
        if (got <= 0) return false;
        at += got;
        count -= (size_t)got;
    }
    return true;
}

static bool make_room(size_t bytes) {
    if (bytes <= room) return true;
    char *memory = realloc(all, bytes);
    if (!memory) return false;
    all = memory;
    room = bytes;
    return true;
}

/* Rank 0 gathers, and tells the others. */
static bool gather_first(const void *bytes, size_t count) {
    size_t sum = count;
    counts[0] = count;
    if (!make_room(count)) return false;
    memcpy(all, bytes, count);
    for (int i = 1; i < own->ranks; i++) {
        if (!receive_all(sockets[i], &counts[i], sizeof counts[i]) || !make_room(sum + counts[i]) ||
            !receive_all(sockets[i], all + sum, counts[i]))
            return false;
        sum += counts[i];
    }
    for (int i = 1; i < own->ranks; i++)
        if (!send_all(sockets[i], counts, sizeof counts) || !send_all(sockets[i], all, sum)) return false;
    return true;
}

static bool gather_other(const void *bytes, size_t count) {
    const int first = sockets[0];
    size_t sum = 0;
    if (!send_all(first, &count, sizeof count) || !send_all(first, bytes, count)) return false;
    if (!receive_all(first, counts, sizeof counts)) return false;
    for (int i = 0; i < own->ranks; i++) sum += counts[i];
    return make_room(sum) && receive_all(first, all, sum);
}

/* What a variable says of this rank: after "RANK:"; NULL: nothing. */
static const char *told(const char *name) {
    const char *text = getenv(name);
    return text && atoi(text) == own->rank ? strchr(text, ':') + 1 : NULL;
}

static void signal_self(void) {
    const char *text = told("BATCHNORM_TEST_SIGNAL");
    if (!text || atol(strchr(text, ':') + 1) != exchanges) return;
    raise(strncmp(text, "KILL", 4) == 0 ? SIGKILL : SIGTERM);
}

static int gather(void *user, const void *bytes, size_t count, const void **result, const size_t **result_counts) {
    (void)user;
    signal_self();
    exchanges++;
    *result_counts = counts;
    const bool done = own->rank == 0 ? gather_first(bytes, count) : gather_other(bytes, count);
    *result = all;
    return done ? 0 : 1;
}

static const char *why(void *user) {
    (void)user;
    return "another process has gone";
}

static void fork_rank(int rank) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) abort();
    others[rank] = fork();
    if (others[rank] < 0) abort();
    close(pair[others[rank] == 0 ? 0 : 1]);
    sockets[others[rank] == 0 ? 0 : rank] = pair[others[rank] == 0 ? 1 : 0];
    if (others[rank] != 0) return;
    for (int i = 1; i < rank; i++) close(sockets[i]); /* or nobody would see that rank 0 has gone */
    own->rank = rank;
}

/* Rank 0 ends last, and well only if all have. */
static bool wait_for_others(void) {
    bool good = true;
    for (int i = 1; own->rank == 0 && i < own->ranks; i++) {
        int status = 0;
        if (others[i] > 0 && waitpid(others[i], &status, 0) == others[i]) good = good && status == 0;
        others[i] = 0;
    }
    return good;
}

static void at_exit(void) { wait_for_others(); }

bool ranks_begin(struct batchnorm_group *group, nn_scatter **scatter, char *message) {
    const char *text = getenv("BATCHNORM_TEST_RANKS");
    *group = (struct batchnorm_group){.size = sizeof *group, .ranks = text ? atoi(text) : 1, .gather = gather, .message = why};
    own = group;
    message[0] = '\0';
    *scatter = NULL;
    if (group->ranks < 1 || group->ranks > RANKS_MAX) abort();
    for (int i = 1; i < group->ranks && group->rank == 0; i++) fork_rank(i);
    atexit(at_exit);
    const char *directory = told("BATCHNORM_TEST_DIRECTORY");
    if (directory && chdir(directory) != 0) abort();
    return true;
}

void ranks_end(bool lost, int code) {
    for (int i = 0; lost && i < RANKS_MAX; i++)
        if (sockets[i] > 0) close(sockets[i]);
    if (!wait_for_others() && code == 0) {
        fprintf(stderr, "another process has failed, and the first one has not\n");
        _exit(3);
    }
}
