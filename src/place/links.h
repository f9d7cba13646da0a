/* SPDX-License-Identifier: MIT */
/* For place.c: the parts of paths, and symbolic links. */
#ifndef BN_LINKS_H
#define BN_LINKS_H

/* "directory/" of path, or "./", in allocated memory; NULL without it. */
char *bn_directory_of(const char *path);

/* What path stands for when its links are followed, also where nothing is there yet, in allocated memory; NULL: errno says why.
 * The names of open files of this process (/dev/stdout, /dev/fd/3, /proc/self/fd/3) stand for these: *number is the file's, and
 * the result NULL. *number is -1 otherwise. */
char *bn_links_follow(const char *path, int *number);

#endif
