/* SPDX-License-Identifier: MIT */
/* OpenMP's threads spin for long while they wait, and on a machine with other work they take the cores from it and from each
 * other. An OpenMP library reads how to wait when it is loaded, before any code of this program runs, and libgomp has no
 * function for it. So the environment is set, and the program begins once more in the same process. */
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

#define POLICY "OMP_WAIT_POLICY"
/* How often libgomp's threads look before they sleep; LLVM's, which count in milliseconds, sleep at once. 1000 times, 12 us on
 * a Xeon, are nearly as fast as 300000, libgomp's own choice, where nothing else runs, and nearly as fast as sleeping at once
 * where the cores are wanted (docs/measurements.md). */
#define SPINS "GOMP_SPINCOUNT"
#define FEW_SPINS "1000"

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
    static const char *const names[] = {POLICY, SPINS, "KMP_BLOCKTIME", "KMP_LIBRARY"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (getenv(names[i])) return true;
    return false;
}

void wait_asleep(char **argv) {
    const char *path = is_said() ? NULL : own_path();
    if (!path) return;
    if (setenv(POLICY, "passive", 1) == 0 && setenv(SPINS, FEW_SPINS, 1) == 0) execv(path, argv);
    unsetenv(POLICY); /* they are not true of this process */
    unsetenv(SPINS);
}

#else

void wait_asleep(char **argv) { (void)argv; }

#endif
