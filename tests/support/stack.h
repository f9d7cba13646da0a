/* SPDX-License-Identifier: MIT */
/* How much stack a function takes. */
#ifndef TESTS_SUPPORT_STACK_H
#define TESTS_SUPPORT_STACK_H

#include <stddef.h>

/* Runs it in a thread with a painted stack of 1 MB: how many bytes of the paint are gone, those of the C library included. */
size_t stack_taken(void (*run)(void *), void *arg);

#endif
