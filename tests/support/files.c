/* SPDX-License-Identifier: MIT */
#define _XOPEN_SOURCE 700
#include "files.h"

#include <dirent.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/test.h"

static char directory[256];

int files_setup(void **state UNUSED) {
    const char *base = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/batchnorm-test-XXXXXX", base ? base : "/tmp");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *place) {
    (void)about, (void)kind, (void)place;
    return remove(path);
}

int files_teardown(void **state UNUSED) { return nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS); }

void files_remove(const char *path) {
    if (access(path, F_OK) == 0) assert_int_equal(nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

size_t files_count(void) {
    DIR *d = opendir(directory);
    assert_non_null(d);
    size_t count = 0;
    for (struct dirent *e; (e = readdir(d));) count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return count;
}

const char *file_path(const char *name) {
    static char paths[4][600];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

void file_put(const char *path, const void *bytes, size_t count) {
    remove(path); /* file systems take longer to replace what is in a file */
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, count, f), count);
    assert_int_equal(fclose(f), 0);
}

size_t file_get(const char *path, void *bytes, size_t most) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t count = fread(bytes, 1, most, f);
    while (fgetc(f) != EOF) count++;
    fclose(f);
    return count;
}

void file_make_directories(const char *path) {
    char part[600];
    for (const char *end = path + 1; (end = strchr(end, '/')); end++) {
        snprintf(part, sizeof part, "%.*s", (int)(end - path), path);
        mkdir(part, 0700); /* if it fails, so does what is done in it */
    }
}

bool file_exists(const char *path) { return access(path, F_OK) == 0; }

void file_make_pipe(const char *path) { assert_int_equal(mkfifo(path, 0600), 0); }

void files_full_disk(long bytes) {
    signal(SIGXFSZ, SIG_IGN); /* so that the write fails instead */
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < 0 ? limit.rlim_max : (rlim_t)bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}
