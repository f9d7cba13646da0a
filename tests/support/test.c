/* SPDX-License-Identifier: MIT */
#include "tests/support/test.h"

#include <stdlib.h>

struct kept {
    void *what;
    void (*release)(void *what);
    struct kept *next;
};
static struct kept *all_kept;

void *keep(void *what, void (*release)(void *what)) {
    struct kept *k = calloc(1, sizeof *k);
    assert_true(what != NULL && k != NULL);
    *k = (struct kept){what, release, all_kept};
    all_kept = k;
    return what;
}

int let_go(void **state UNUSED) {
    while (all_kept != NULL) {
        struct kept *k = all_kept;
        all_kept = k->next;
        k->release(k->what);
        free(k);
    }
    return 0;
}

/* Multiples of the golden ratio are spread evenly over every step of the loops, whatever their lengths are. */
bool is_left_out(void) {
    static uint32_t every, count;
    if (every == 0) {
        const char *said = getenv("BATCHNORM_TEST_EVERY");
        every = said ? (uint32_t)atoi(said) : BATCHNORM_TEST_EVERY;
    }
    return count++ * 2654435769u > UINT32_MAX / every;
}
