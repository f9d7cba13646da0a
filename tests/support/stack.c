/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE
#include "tests/support/stack.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/test.h"

enum { STACK = 1 << 20, PAINT = 0xa5 };

struct work {
    void (*run)(void *);
    void *arg;
};

static void *start(void *work) {
    const struct work *w = work;
    w->run(w->arg);
    return NULL;
}

/* A stack grows down. */
size_t stack_taken(void (*run)(void *), void *arg) {
    struct work w = {run, arg};
    pthread_attr_t attributes;
    pthread_t thread;
    unsigned char *stack = aligned_alloc(4096, STACK);
    assert_non_null(stack);
    memset(stack, PAINT, STACK);
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstack(&attributes, stack, STACK), 0);
    assert_int_equal(pthread_create(&thread, &attributes, start, &w), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attributes);
    size_t untouched = 0;
    while (untouched < STACK && stack[untouched] == PAINT) untouched++;
    free(stack);
    return STACK - untouched;
}
