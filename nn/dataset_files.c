/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataset_kinds.h"

static bool put_path(char path[NN_PATH_BYTES], const char *directory, const char *name, const char *ending) {
    const int length = snprintf(path, NN_PATH_BYTES, "%s/%s%s", directory, name, ending);
    return length > 0 && length < NN_PATH_BYTES;
}

bool nn_join(char path[NN_PATH_BYTES], const char *directory, const char *name, char *message) {
    return put_path(path, directory, name, "") || nn_wrong(message, directory, "the path of %s in it is too long", name);
}

bool nn_find_file(char path[NN_PATH_BYTES], const char *directory, const char *name) {
    return (put_path(path, directory, name, "") && access(path, F_OK) == 0) ||
           (put_path(path, directory, name, ".gz") && access(path, F_OK) == 0);
}

bool nn_is_directory(const char *path) {
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

bool nn_directory_of(char directory[NN_PATH_BYTES], const char *path, char *message) {
    const char *slash = strrchr(path, '/');
    const char *from = nn_is_directory(path) || slash ? path : ".";
    const size_t length = from == path && !nn_is_directory(path) ? (size_t)(slash - path) : strlen(from);
    if (length + 1 > NN_PATH_BYTES) return nn_wrong(message, path, "the path is too long");
    memcpy(directory, from, length);
    directory[length] = '\0';
    if (length == 0) strcpy(directory, "/");
    return true;
}

const char *nn_name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char **nn_copy_names(const char *const *names, size_t count) {
    char number[24];
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) bytes += names ? strlen(names[i]) + 1 : sizeof number;
    char **copy = malloc(count * sizeof *copy + bytes);
    if (!copy) return NULL;
    char *text = (char *)(copy + count);
    for (size_t i = 0; i < count; i++) {
        if (!names) snprintf(number, sizeof number, "%zu", i);
        copy[i] = strcpy(text, names ? names[i] : number);
        text += strlen(text) + 1;
    }
    return copy;
}

bool nn_check_size(const char *path, size_t height, size_t width, char *message) {
    if (height >= 1 && width >= 1 && height <= NN_IMAGE_MAX_SIDE && width <= NN_IMAGE_MAX_SIDE) return true;
    return nn_wrong(message, path, "images are %zu wide and %zu high; each must be 1 to %d", width, height, NN_IMAGE_MAX_SIDE);
}
