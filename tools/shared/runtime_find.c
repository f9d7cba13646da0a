/* SPDX-License-Identifier: MIT */
/* Where ONNX Runtime is: where the user says, where the linker looks, and where Python has it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <glob.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime.h"

extern char **environ;

/* The first library that fits a pattern and can be opened. Python's package has only a name with the whole version. */
static void *open_any(const char *folder, size_t bytes, const char *rest) {
    char pattern[4096];
    glob_t found;
    void *library = NULL;
    if (bytes == 0 || bytes + strlen(rest) >= sizeof pattern) return NULL;
    snprintf(pattern, sizeof pattern, "%.*s%s", (int)bytes, folder, rest);
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc && !library; i++) library = dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
    globfree(&found);
    return library;
}

/* A library, or a folder that it is in, at whatever depth Python's package has it. */
static void *open_given(const char *path) {
    static const char *const places[] = {"/libonnxruntime.so*", "/capi/libonnxruntime.so*",
                                         "/onnxruntime/capi/libonnxruntime.so*", "/lib/libonnxruntime.so*",
                                         "/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so*"};
    struct stat about;
    if (stat(path, &about) != 0 || !S_ISDIR(about.st_mode)) return dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *library = NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places && !library; i++) library = open_any(path, strlen(path), places[i]);
    return library;
}

static void *open_by_linker(void) {
    static const char *const names[] = {"libonnxruntime.so.1", "libonnxruntime.so"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (library) return library;
    }
    for (const char *folder = getenv("LD_LIBRARY_PATH"); folder && *folder;) {
        const size_t bytes = strcspn(folder, ":");
        void *library = open_any(folder, bytes, "/libonnxruntime.so*");
        if (library) return library;
        folder += bytes + (folder[bytes] == ':');
    }
    return NULL;
}

/* Asks the python3 on the PATH where its package is, which imports nothing of it. Returns false if it does not tell. */
static bool ask_python(char *folder, size_t room) {
    static char name[] = "python3", option[] = "-c",
                question[] = "import importlib.util as u; s = u.find_spec('onnxruntime'); print(s.origin if s else '')";
    char *const arguments[] = {name, option, question, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2], status = -1;
    pid_t child;
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    const bool started = posix_spawnp(&child, name, &actions, NULL, arguments, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    size_t used = 0;
    for (ssize_t got; started && used < room - 1 && (got = read(ends[0], folder + used, room - 1 - used)) > 0;)
        used += (size_t)got;
    close(ends[0]);
    if (started) waitpid(child, &status, 0);
    folder[used] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
    return slash && status == 0;
}

static void *open_by_python(void) {
    static const char package[] = "/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so*";
    char folder[4096];
    const char *environment = getenv("VIRTUAL_ENV");
    void *library = environment ? open_any(environment, strlen(environment), package) : NULL;
    if (!library && ask_python(folder, sizeof folder)) library = open_any(folder, strlen(folder), "/capi/libonnxruntime.so*");
    return library;
}

void *runtime_find(const char *given, char *message) {
    const char *variable = getenv("BATCHNORM_ONNXRUNTIME"), *where = given ? given : variable && *variable ? variable : NULL;
    if (where) {
        void *library = open_given(where);
        const char *why = library ? NULL : dlerror();
        if (!library)
            snprintf(message, RUNTIME_MESSAGE, "%s %.150s: there is no ONNX Runtime that can be loaded%s%.150s",
                     given ? "--runtime" : "BATCHNORM_ONNXRUNTIME is", where, why ? ": " : "", why ? why : "");
        return library;
    }
    void *library = open_by_linker();
    if (!library) library = open_by_python();
    if (!library)
        snprintf(message, RUNTIME_MESSAGE,
                 "ONNX Runtime was not found: not by --runtime PATH or BATCHNORM_ONNXRUNTIME, which name the library or its "
                 "folder; not by the linker or in LD_LIBRARY_PATH; and neither VIRTUAL_ENV nor the python3 on the PATH has the "
                 "package onnxruntime (pip install onnxruntime)");
    return library;
}
