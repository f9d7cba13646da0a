/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "ranks_module.h"

#include <dlfcn.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ranks.h"
#include "tools/shared/started.h"

static const struct ranks_module *module;

#ifdef TOOLS_HAVE_MPI

#define TEXT_OF(name) #name
#define NAME_OF(name) TEXT_OF(name)

/* Beside the command, as in the folder of a build, or where it is installed; from nowhere else. */
static void *load(char *message) {
    char self[4096], path[sizeof self + sizeof TOOLS_MODULE_FOLDER + sizeof TOOLS_MODULE];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) {
        snprintf(message, NN_MESSAGE_BYTES, "/proc/self/exe cannot be read, beside which " TOOLS_MODULE " is");
        return NULL;
    }
    self[length] = '\0';
    const char *folder = dirname(self);
    snprintf(path, sizeof path, "%s/" TOOLS_MODULE, folder);
    if (access(path, F_OK) != 0) snprintf(path, sizeof path, "%s/" TOOLS_MODULE_FOLDER "/" TOOLS_MODULE, folder);
    void *loaded = dlopen(path, RTLD_NOW | RTLD_GLOBAL); /* an MPI's own modules need its functions */
    if (!loaded) snprintf(message, NN_MESSAGE_BYTES, "%s", dlerror());
    return loaded;
}

static const struct ranks_module *find_module(char *message) {
    static const int version[] = RANKS_MODULE_VERSION;
    void *loaded = load(message);
    const struct ranks_module *found = loaded ? dlsym(loaded, NAME_OF(RANKS_MODULE)) : NULL;
    if (loaded && (!found || memcmp(found->version, version, sizeof version) != 0)) {
        snprintf(message, NN_MESSAGE_BYTES, TOOLS_MODULE " is of another version than this command");
        return NULL;
    }
    return found;
}

#else

static const struct ranks_module *find_module(char *message) {
    snprintf(message, NN_MESSAGE_BYTES,
             "this batchnorm was built without MPI; install one (Debian: libopenmpi-dev) and build again");
    return NULL;
}

#endif

bool ranks_begin(struct batchnorm_group *group, nn_scatter **scatter, char *message) {
    char why[NN_MESSAGE_BYTES];
    int rank, ranks;
    *group = (struct batchnorm_group){.size = sizeof *group, .ranks = 1};
    message[0] = '\0';
    *scatter = NULL;
    if (!started_with_others(&rank, &ranks) || ranks == 1) return true;
    module = find_module(why);
    if (module) *scatter = module->scatter;
    if (module) return module->begin(group, rank, message);
    if (rank == 0)
        snprintf(message, NN_MESSAGE_BYTES, "started as %d processes, of which each would train alone: %.4000s", ranks, why);
    return false;
}

void ranks_end(bool lost, int code) {
    if (module) module->end(lost, code);
}
