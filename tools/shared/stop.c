/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "stop.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>

static volatile sig_atomic_t came; /* the first signal; 0: none */
static void (*volatile told)(int signal);

static void hear(int signal) {
    if (!came) came = signal;
    told(signal);
}

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
static sigset_t before_hold;

void stop_hold(void) {
    sigset_t held;
    sigemptyset(&held);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) sigaddset(&held, signals[i]);
    sigprocmask(SIG_BLOCK, &held, &before_hold);
}

void stop_let_go(void) { sigprocmask(SIG_SETMASK, &before_hold, NULL); }

void stop_on_signals(void (*stop)(int signal)) {
    struct sigaction action = {.sa_handler = hear, .sa_flags = (int)SA_RESETHAND | SA_RESTART}, before;
    told = stop;
    sigemptyset(&action.sa_mask); /* SA_RESTART: no write is cut short */
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) sigaction(signals[i], &action, NULL);
}

void stop_end_by_signal(void) {
    sigset_t own;
    if (!came) return;
    fflush(NULL);
    signal(came, SIG_DFL);
    sigemptyset(&own);
    sigaddset(&own, came);
    sigprocmask(SIG_UNBLOCK, &own, NULL);
    raise(came);
}
