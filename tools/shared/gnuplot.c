/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* pipe2 */
#include "gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "messages.h"

extern char **environ;

/* Its ends are closed in every program that is started, but for those that it gets as standard input and output. */
struct pipes {
    int in[2], out[2];
};

static bool fail(const char *what, int error) {
    report(EXIT_FAILED, "gnuplot %s: %s", what, strerror(error));
    return false;
}

static bool not_found(void) {
    report(EXIT_FAILED, "gnuplot was not found (Debian: gnuplot-nox)");
    return false;
}

static bool start(struct pipes *p, pid_t *child) {
    static char *const arguments[] = {"gnuplot", "-d", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return fail("cannot be started", error);
    error = posix_spawnattr_init(&attributes);
    if (error) {
        posix_spawn_file_actions_destroy(&actions);
        return fail("cannot be started", error);
    }
    /* a process group of its own: Ctrl-C is for the command, which still wants its drawings then */
    error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    if (!error) error = posix_spawn_file_actions_adddup2(&actions, p->in[0], STDIN_FILENO);
    if (!error) error = posix_spawn_file_actions_adddup2(&actions, p->out[1], STDOUT_FILENO);
    if (!error) error = posix_spawnp(child, arguments[0], &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error == ENOENT) return not_found();
    return error ? fail("cannot be started", error) : true;
}

/* It may be gone before it has read everything; its exit status then tells. */
static void give(int fd, const char *text) {
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    sigaction(SIGPIPE, &ignore, &before);
    for (size_t left = strlen(text); left > 0;) {
        const ssize_t written = write(fd, text, left);
        if (written < 0 && errno != EINTR) break;
        if (written < 0) continue;
        text += written;
        left -= (size_t)written;
    }
    sigaction(SIGPIPE, &before, NULL);
}

/* Everything up to the end, as a text; NULL: reported. */
static char *take(int fd) {
    char *text = NULL, *more;
    size_t length = 0, room = 0;
    for (;;) {
        if (room - length < 2) {
            room = room ? 2 * room : 1 << 16;
            if (!(more = realloc(text, room))) break;
            text = more;
        }
        const ssize_t got = read(fd, text + length, room - length - 1);
        if (got < 0 && errno != EINTR) break;
        if (got == 0) {
            text[length] = '\0';
            return text;
        }
        if (got > 0) length += (size_t)got;
    }
    fail("cannot be read from", errno);
    free(text);
    return NULL;
}

static bool succeeded(pid_t child) {
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return fail("is lost", errno);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    /* where posix_spawnp() cannot tell, as under an emulator */
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return not_found();
    report(EXIT_FAILED, "gnuplot failed, with %s %d", WIFEXITED(status) ? "status" : "signal",
           WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return false;
}

char *gnuplot_run(const char *script) {
    struct pipes p = {{-1, -1}, {-1, -1}};
    pid_t child;
    char *text = NULL;
    bool started = false;
    if (pipe2(p.in, O_CLOEXEC) != 0 || pipe2(p.out, O_CLOEXEC) != 0)
        fail("cannot be started", errno);
    else
        started = start(&p, &child);
    close(p.in[0]);
    close(p.out[1]);
    if (started) give(p.in[1], script);
    close(p.in[1]);
    if (started) text = take(p.out[0]);
    close(p.out[0]);
    if (started && !succeeded(child)) {
        free(text);
        text = NULL;
    }
    return text;
}
