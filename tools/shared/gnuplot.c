/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* pipe2 */
#include "gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "messages.h"
#include "nn/machine.h"

extern char **environ;

double gnuplot_seconds = 60;
enum { SECONDS_TO_BE_THERE = 10 };

/* Its ends are closed in every program that is started, but for those that it gets as standard input and output. */
struct pipes {
    int in[2], out[2];
};

/* What goes in and has come out. */
struct exchange {
    int in, out; /* in: -1 when all of it is given */
    const char *left;
    char *text;
    size_t length, room;
    double deadline;
};

static bool fail(const char *what, int error) {
    report(EXIT_FAILED, "gnuplot %s: %s", what, strerror(error));
    return false;
}

static bool not_found(void) {
    report(EXIT_FAILED, "gnuplot was not found (Debian: gnuplot-nox)");
    return false;
}

/* Signals. A hanging gnuplot must not outlive the command, which has another process group. */

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
enum { SIGNALS = sizeof signals / sizeof signals[0] };
static struct sigaction before[SIGNALS]; /* what they did, and will do again */
static volatile pid_t group;             /* 0: none */
static volatile sig_atomic_t interrupted;

/* gnuplot ends; then the signal has the effect that it had before. */
static void pass_on(int number) {
    if (group > 0) kill(-group, SIGKILL);
    interrupted = 1;
    for (int i = 0; i < SIGNALS; i++) {
        if (signals[i] != number) continue;
        void (*const handler)(int) = before[i].sa_handler;
        if (before[i].sa_flags & (int)SA_RESETHAND) before[i] = (struct sigaction){.sa_handler = SIG_DFL};
        if (handler != SIG_DFL) {
            handler(number);
        } else {
            sigaction(number, &before[i], NULL);
            raise(number); /* comes when this handler is left */
        }
    }
}

static void take_signals(void) {
    struct sigaction own = {.sa_handler = pass_on};
    sigemptyset(&own.sa_mask);
    for (int i = 0; i < SIGNALS; i++) sigaddset(&own.sa_mask, signals[i]);
    interrupted = 0;
    for (int i = 0; i < SIGNALS; i++)
        if (sigaction(signals[i], NULL, &before[i]) == 0 && before[i].sa_handler != SIG_IGN) sigaction(signals[i], &own, NULL);
}

static void give_signals_back(void) {
    for (int i = 0; i < SIGNALS; i++)
        if (before[i].sa_handler != SIG_IGN) sigaction(signals[i], &before[i], NULL);
}

/* The process. */

static int spawn(const struct pipes *p, const sigset_t *mask, pid_t *child) {
    static char *const arguments[] = {"gnuplot", "-d", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return error;
    error = posix_spawnattr_init(&attributes);
    if (error) {
        posix_spawn_file_actions_destroy(&actions);
        return error;
    }
    /* a process group of its own: with whatever it starts, it can be ended, and Ctrl-C is for the command alone */
    error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    if (!error) error = posix_spawnattr_setsigmask(&attributes, mask);
    if (!error) error = posix_spawn_file_actions_adddup2(&actions, p->in[0], STDIN_FILENO);
    if (!error) error = posix_spawn_file_actions_adddup2(&actions, p->out[1], STDOUT_FILENO);
    if (!error) error = posix_spawnp(child, arguments[0], &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* No signal comes between its start and the note of its group. */
static bool start(const struct pipes *p, pid_t *child) {
    sigset_t held, mask;
    sigemptyset(&held);
    for (int i = 0; i < SIGNALS; i++) sigaddset(&held, signals[i]);
    sigprocmask(SIG_BLOCK, &held, &mask);
    const int error = spawn(p, &mask, child);
    group = error ? 0 : *child;
    sigprocmask(SIG_SETMASK, &mask, NULL);
    if (error == ENOENT) return not_found();
    return error ? fail("cannot be started", error) : true;
}

/* It may be gone before it has read everything; its exit status then tells. */
static void give(struct exchange *e) {
    const ssize_t written = write(e->in, e->left, strlen(e->left));
    if (written > 0) e->left += written;
    if (*e->left && (written >= 0 || errno == EINTR || errno == EAGAIN)) return;
    close(e->in);
    e->in = -1;
}

/* false: that was all, or there is no memory for more, and text is NULL. */
static bool take(struct exchange *e) {
    if (e->room - e->length < 2) {
        e->room = e->room ? 2 * e->room : 1 << 16;
        char *more = realloc(e->text, e->room);
        if (!more) free(e->text);
        e->text = more;
        if (!more) return fail("cannot be read from", ENOMEM);
    }
    const ssize_t got = read(e->out, e->text + e->length, e->room - e->length - 1);
    if (got > 0) e->length += (size_t)got;
    e->text[e->length] = '\0';
    return got > 0 || (got < 0 && errno == EINTR);
}

/* Until it has closed its output. false: it is late, or a signal came. */
static bool exchange(struct exchange *e) {
    for (;;) {
        const double left = e->deadline - nn_seconds();
        struct pollfd files[] = {{e->out, POLLIN, 0}, {e->in, POLLOUT, 0}}; /* a negative one is passed over */
        if (left <= 0 || interrupted) return false;
        const int ready = poll(files, 2, (int)(1e3 * left) + 1);
        if (ready < 0 && errno != EINTR) return false;
        if (ready <= 0) continue;
        if (files[1].revents) give(e);
        if (files[0].revents && !take(e)) return true;
    }
}

/* It has closed its output and may still not end. */
static bool ends_in_time(pid_t child, double deadline, int *status) {
    const struct timespec moment = {0, 2000000};
    while (!interrupted && nn_seconds() < deadline) {
        const pid_t ended = waitpid(child, status, WNOHANG);
        if (ended == child) return true;
        if (ended < 0 && errno != EINTR) return false;
        nanosleep(&moment, NULL);
    }
    return false;
}

static bool succeeded(int status) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    /* where posix_spawnp() cannot tell, as under an emulator */
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return not_found();
    report(EXIT_FAILED, "gnuplot failed, with %s %d", WIFEXITED(status) ? "status" : "signal",
           WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return false;
}

/* Gives and takes, and sees it end. */
static bool converse(pid_t child, struct exchange *e, double seconds) {
    struct sigaction ignore = {.sa_handler = SIG_IGN}, pipe_action;
    int status = 0;
    sigaction(SIGPIPE, &ignore, &pipe_action);
    fcntl(e->in, F_SETFL, O_NONBLOCK);
    const bool in_time = exchange(e) && ends_in_time(child, e->deadline, &status);
    if (!in_time) {
        kill(-child, SIGKILL);
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    }
    group = 0;
    sigaction(SIGPIPE, &pipe_action, NULL);
    if (in_time) return succeeded(status) && e->text;
    if (interrupted)
        report(EXIT_FAILED, "gnuplot was ended by the signal");
    else
        report(EXIT_FAILED, "gnuplot took more than %g s, and was ended", seconds);
    return false;
}

static char *run(const char *script, double seconds) {
    struct pipes p = {{-1, -1}, {-1, -1}};
    struct exchange e = {.left = script, .deadline = nn_seconds() + seconds};
    pid_t child;
    bool ok = false;
    take_signals();
    if (pipe2(p.in, O_CLOEXEC) != 0 || pipe2(p.out, O_CLOEXEC) != 0)
        fail("cannot be started", errno);
    else
        ok = start(&p, &child);
    close(p.in[0]);
    close(p.out[1]);
    e.in = p.in[1];
    e.out = p.out[0];
    if (ok) ok = converse(child, &e, seconds);
    if (e.in >= 0) close(e.in);
    close(e.out);
    give_signals_back();
    if (ok) return e.text;
    free(e.text);
    return NULL;
}

char *gnuplot_run(const char *script) { return run(script, gnuplot_seconds); }

bool gnuplot_there(void) {
    char *nothing = run("", gnuplot_seconds < SECONDS_TO_BE_THERE ? gnuplot_seconds : SECONDS_TO_BE_THERE);
    free(nothing);
    return nothing != NULL;
}
