/* SPDX-License-Identifier: MIT */
/* cmocka with the headers that it wants before itself, and the heads of functions that it calls. Most of them make no use of
 * what their fixture left in `state`; those that do find it there. */
#ifndef TESTS_SUPPORT_TEST_H
#define TESTS_SUPPORT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define UNUSED __attribute__((unused))
#define TEST(name) static void name(void **state UNUSED)
/* A setup or a teardown: 0 is success. */
#define FIXTURE(name) static int name(void **state UNUSED)

/* What is kept is released by let_go(), the last first: the teardown of tests that make things, so that it happens also when a
 * test fails. Nothing can be kept of what could not be made: the test fails. Returns what it keeps. */
void *keep(void *what, void (*release)(void *what));
int let_go(void **state);

/* Of a loop over very many configurations, slow builds, for a sanitizer or an emulated machine, and runs that repeat others on
 * another instruction set do every seventh: BATCHNORM_TEST_EVERY=7, of the build or in the environment. */
#ifndef BATCHNORM_TEST_EVERY
#define BATCHNORM_TEST_EVERY 1
#endif
bool is_left_out(void);

#endif
