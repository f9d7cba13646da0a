/* SPDX-License-Identifier: MIT */
/* A directory for the files of a test, and whole files in one call. Every failure fails the test. */
#ifndef TESTS_SUPPORT_FILES_H
#define TESTS_SUPPORT_FILES_H

#include <stdbool.h>
#include <stddef.h>

/* cmocka's setup and teardown for a group: make a new directory, and remove it with all that is in it. */
int files_setup(void **state);
int files_teardown(void **state);
/* A file, or a directory with all that is in it, which need not be there. */
void files_remove(const char *path);

/* The path of a file in the directory; valid until four calls later. */
const char *file_path(const char *name);

void file_put(const char *path, const void *bytes, size_t count);
/* At most `most` bytes into `bytes`; returns the size of the file. */
size_t file_get(const char *path, void *bytes, size_t most);
/* The directories that the path of a file goes through. */
void file_make_directories(const char *path);
bool file_exists(const char *path);
/* How many files there are in the directory, those with a leading dot included. */
size_t files_count(void);

/* Make a pipe in the directory: something that is no regular file. Tests take it, never a device of the machine, which a
 * mistake in the code under test would replace. */
void file_make_pipe(const char *path);

/* From now on no file can grow beyond this many bytes, as on a full disk; back to no limit with files_full_disk(-1). */
void files_full_disk(long bytes);

#endif
