/* SPDX-License-Identifier: MIT */
/* New names in the directory of a file: ".batchnorm-PID-N". They are freed by the caller. */
#ifndef TOOLS_SHARED_BESIDE_H
#define TOOLS_SHARED_BESIDE_H

#include <stddef.h>

/* "directory/" of path, or "./"; room for more bytes after it. NULL without memory. */
char *directory_of(const char *path, size_t more);

/* How much of path is its directory, with the slash; 0 without one. */
size_t directory_length(const char *path);

/* An empty file beside path, open for writing. Its mode follows the umask. NULL: errno says why. */
char *create_beside(const char *path, int *fd);

/* A second name of the file at path. NULL: errno says why. */
char *link_beside(const char *path);

/* A power failure must not bring back what was in the directory of path. An error changes nothing that could be undone now. */
void sync_directory(const char *path);

#endif
