/* SPDX-License-Identifier: MIT */
/* OpenMP's threads spin while they wait, and on a machine with other work they take the cores from it and from each other. An
 * OpenMP library reads how to wait when it is loaded, before any code of this program runs, and libgomp has no function for it.
 * So the environment is set, and the program begins once more in the same process. */
#define _POSIX_C_SOURCE 200809L
#include "waiting.h"

#if defined TOOLS_HAVE_OPENMP && defined __linux__

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { TASK_NAME_BYTES = 16 }; /* what Linux keeps of a name, with its end */

/* The path that the kernel was given to start this program. NULL where it started another one, which then loaded this: an
 * emulator, valgrind or the dynamic linker. The name of the task is the last part of what the kernel started. */
static const char *own_path(void) {
    const char *path = (const char *)getauxval(AT_EXECFN); // NOLINT(performance-no-int-to-ptr)
    char task[TASK_NAME_BYTES] = "";
    if (!path || prctl(PR_GET_NAME, task) != 0) return NULL;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return strncmp(task, name, sizeof task - 1) == 0 ? path : NULL;
}

/* Someone has said how threads wait, perhaps this program before it began anew. */
static bool is_said(void) {
    static const char *const names[] = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (getenv(names[i])) return true;
    return false;
}

void wait_asleep(char **argv) {
    const char *path = is_said() ? NULL : own_path();
    if (!path || setenv("OMP_WAIT_POLICY", "passive", 1) != 0) return;
    execv(path, argv);
    unsetenv("OMP_WAIT_POLICY"); /* it is not true of this process */
}

#else

void wait_asleep(char **argv) { (void)argv; }

#endif
