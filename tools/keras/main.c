/* SPDX-License-Identifier: MIT */
/* batchnorm-keras FILE OUTPUT: a file of Keras as safetensors. A program of its own, which the command runs: HDF5 is large, and
 * a damaged file may end it. What is wrong is a sentence on stderr, and the exit status 1. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive.h"

static bool is_archive(const char *path) {
    char first[4] = "";
    FILE *f = fopen(path, "rb");
    const bool is = f && fread(first, 1, sizeof first, f) == sizeof first && memcmp(first, "PK\3\4", 4) == 0;
    if (f) fclose(f);
    return is;
}

int main(int argc, char **argv) {
    struct network network = {.arrays = NULL};
    if (argc != 3) return fprintf(stderr, "usage: batchnorm-keras FILE OUTPUT\n"), 2;
    bool ok = is_archive(argv[1]) ? archive_read(&network, argv[1]) : network_read(&network, argv[1]);
    ok = ok && network_write(&network, argv[2]);
    if (!ok) fprintf(stderr, "%s", network.why);
    network_free(&network);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
