/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *nn_path_name(const char *path) { return strcmp(path, "-") == 0 ? "standard input" : path; }

bool nn_wrong(char *message, const char *path, const char *format, ...) {
    const int length = snprintf(message, NN_MESSAGE_BYTES, "%s: ", nn_path_name(path));
    if (length < 0 || length >= NN_MESSAGE_BYTES) return false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message + length, (size_t)(NN_MESSAGE_BYTES - length), format, arguments);
    va_end(arguments);
    return false;
}
