/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "keras.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batchnorm/model.h"

bool keras_is(const char *path) {
    static const char *const entries[] = {"metadata.json", "config.json", "model.weights.h5"}; /* one of them is the first */
    char first[64] = "";
    FILE *f = fopen(path, "rb");
    const size_t got = f ? fread(first, 1, sizeof first - 1, f) : 0;
    if (f) fclose(f);
    if (got >= 8 && memcmp(first, "\x89HDF\r\n\x1a\n", 8) == 0) return true;
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        if (got > 46 && memcmp(first, "PK\3\4", 4) == 0 && strncmp(first + 30, entries[i], strlen(entries[i])) == 0)
            return true;
    return false;
}

#ifdef TOOLS_HAVE_KERAS

extern char **environ;

/* The program is beside the command, as in the folder of a build, or where it is installed; nowhere else. */
static bool find_program(char *path, size_t bytes) {
    static const char name[] = "batchnorm-keras";
    char self[2048];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) return false;
    self[length] = '\0';
    *(strrchr(self, '/') + 1) = '\0';
    snprintf(path, bytes, "%s%s", self, name);
    if (access(path, X_OK) == 0) return true;
    snprintf(path, bytes, "%s" TOOLS_PROGRAM_FOLDER "/%s", self, name);
    return access(path, X_OK) == 0;
}

static int run(const char *program, const char *path, FILE *output, FILE *errors) {
    char to[32];
    pid_t child;
    int status = -1;
    posix_spawn_file_actions_t actions;
    snprintf(to, sizeof to, "/dev/fd/%d", fileno(output));
    char *const words[] = {"batchnorm-keras", (char *)(uintptr_t)path, to, NULL};
    if (posix_spawn_file_actions_init(&actions)) return -1;
    const bool ok = !posix_spawn_file_actions_adddup2(&actions, fileno(errors), STDERR_FILENO) &&
                    !posix_spawn(&child, program, &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    while (ok && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return ok ? status : -1;
}

FILE *keras_read(const char *path, char *message) {
    char program[4200];
    FILE *output = tmpfile(), *errors = tmpfile();
    const bool is_found = find_program(program, sizeof program);
    const int status = is_found && output && errors ? run(program, path, output, errors) : -1;
    const bool is_told = status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE;
    const bool ok = status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
    message[0] = '\0';
    if (is_told && lseek(fileno(errors), 0, SEEK_SET) == 0)
        message[fread(message, 1, BATCHNORM_MODEL_MESSAGE - 1, errors)] = '\0';
    else if (!is_found)
        snprintf(message, BATCHNORM_MODEL_MESSAGE,
                 "is a file of Keras, and batchnorm-keras, which reads them, is not installed");
    else if (status < 0)
        snprintf(message, BATCHNORM_MODEL_MESSAGE, "is a file of Keras, and batchnorm-keras cannot be run: %s",
                 strerror(errno));
    else if (!ok)
        snprintf(message, BATCHNORM_MODEL_MESSAGE, "is damaged: libhdf5 ended on it");
    if (errors) fclose(errors);
    if (ok && lseek(fileno(output), 0, SEEK_SET) == 0) return output; /* both programs have one position in it */
    if (output) fclose(output);
    return NULL;
}

#else

FILE *keras_read(const char *path, char *message) {
    (void)path;
    snprintf(message, BATCHNORM_MODEL_MESSAGE,
             "is a file of Keras, and this build reads none, because it was made without libhdf5 (Debian: libhdf5-dev)");
    return NULL;
}

#endif
