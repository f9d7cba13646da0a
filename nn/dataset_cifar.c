/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "dataset_kinds.h"
#include "reader.h"

enum { SIDE = 32, PLANE = SIDE * SIDE, NAMES_BYTES = 1 << 16 };

/* A record: its labels, a byte each, of which the last one counts; then the planes of red, green and blue. */
struct version {
    const char *train[6], *test; /* names; NULL behind the last */
    const char *names;           /* the file of the names of classes */
    size_t labels, classes;
    size_t times; /* a training file has this many times the images of the test file */
};

static const struct version versions[] = {
    {.train = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
     .test = "test_batch.bin",
     .names = "batches.meta.txt",
     .labels = 1,
     .classes = 10,
     .times = 1},
    {.train = {"train.bin"}, .test = "test.bin", .names = "fine_label_names.txt", .labels = 2, .classes = 100, .times = 5},
};

/* Planes of colours become pixels. */
static void take(const uint8_t *planes, uint8_t *pixels) {
    for (size_t i = 0; i < PLANE; i++) {
        for (size_t c = 0; c < 3; c++) pixels[3 * i + c] = planes[c * PLANE + i];
    }
}

/* Adds the records of one file. */
static bool add(const struct version *version, const char *path, const uint8_t *bytes, size_t count, nn_dataset *dataset,
                char *message) {
    const size_t record = version->labels + 3 * PLANE, n = count / record;
    if (count % record != 0) {
        return nn_wrong(message, path, "%zu bytes; it must be images of %zu bytes each, so the last one is cut off", count,
                        record);
    }
    if (n == 0) return nn_wrong(message, path, "there are no images");
    if (n > UINT32_MAX - dataset->count) return nn_wrong(message, path, "there are too many images");
    uint8_t *pixels = realloc(dataset->pixels, (dataset->count + n) * 3 * PLANE);
    if (pixels) dataset->pixels = pixels;
    uint8_t *labels = realloc(dataset->labels, dataset->count + n);
    if (labels) dataset->labels = labels;
    if (!pixels || !labels) return nn_wrong(message, path, NN_NO_MEMORY);
    for (size_t i = 0; i < n; i++, bytes += record) {
        const uint8_t label = bytes[version->labels - 1];
        if (label >= version->classes) {
            return nn_wrong(message, path, "the label of image %zu is %u; it must be 0 to %zu", i, (unsigned)label,
                            version->classes - 1);
        }
        labels[dataset->count] = label;
        take(bytes + version->labels, pixels + (size_t)dataset->count++ * 3 * PLANE);
    }
    return true;
}

static bool read_all(const char *path, size_t most, uint8_t **bytes, size_t *count, char *message) {
    nn_reader reader;
    *bytes = NULL;
    if (!nn_reader_open(&reader, path, message)) return false;
    const bool done = nn_reader_all(&reader, most, bytes, count);
    nn_reader_close(&reader);
    return done;
}

static bool load_file(const struct version *version, const char *directory, const char *name, nn_dataset *dataset,
                      char *message) {
    char path[NN_PATH_BYTES];
    uint8_t *bytes;
    size_t count;
    if (!nn_find_file(path, directory, name)) {
        return nn_wrong(message, directory, "there is no %s or %s.gz here, which belongs to the other files of CIFAR-%zu", name,
                        name, version->classes);
    }
    const bool done =
        read_all(path, SIZE_MAX / 2, &bytes, &count, message) && add(version, path, bytes, count, dataset, message);
    free(bytes);
    return done;
}

/* One name in a line. */
static bool load_names(const struct version *version, const char *directory, nn_dataset *train, char *message) {
    char path[NN_PATH_BYTES];
    uint8_t *bytes;
    size_t count = 0, found = 0;
    const char *names[NN_MAX_CLASSES];
    if (!nn_find_file(path, directory, version->names)) return true; /* numbers will do */
    bool done = read_all(path, NAMES_BYTES - 1, &bytes, &count, message);
    if (done) {
        char text[NAMES_BYTES];
        memcpy(text, bytes, count);
        text[count] = '\0';
        for (char *line = strtok(text, "\r\n"); line && found < version->classes; line = strtok(NULL, "\r\n"))
            names[found++] = line;
        done = found == version->classes ||
               nn_wrong(message, path, "%zu names; it must be %zu, one in each line", found, version->classes);
        if (done) train->class_names = nn_copy_names(names, found);
        if (done && !train->class_names) done = nn_wrong(message, path, NN_NO_MEMORY);
    }
    free(bytes);
    return done;
}

/* A file that was cut off between two images would otherwise look whole. */
static bool check_count(const struct version *version, const char *directory, const char *name, size_t n, size_t tests,
                        char *message) {
    char path[NN_PATH_BYTES];
    if (n == version->times * tests) return true;
    nn_find_file(path, directory, name);
    return nn_wrong(message, path, "%zu images; it must be %zu, since %s has %zu", n, version->times * tests, version->test,
                    tests);
}

static bool load(const struct version *version, const char *directory, nn_dataset *train, nn_dataset *test, char *message) {
    train->image = test->image = (nn_shape){SIDE, SIDE, 3};
    train->classes = test->classes = version->classes;
    if (!load_file(version, directory, version->test, test, message)) return false;
    for (size_t i = 0; version->train[i]; i++) {
        const size_t before = train->count;
        if (!load_file(version, directory, version->train[i], train, message) ||
            !check_count(version, directory, version->train[i], train->count - before, test->count, message)) {
            return false;
        }
    }
    return load_names(version, directory, train, message);
}

/* Whether a file of this name is there, or, where the path is a file, is it. */
static bool is_here(const char *path, const char *name) {
    char file[NN_PATH_BYTES];
    if (nn_is_directory(path)) return nn_find_file(file, path, name);
    const char *own = nn_name_of(path);
    const size_t length = strlen(name);
    return strncmp(own, name, length) == 0 && (strcmp(own + length, "") == 0 || strcmp(own + length, ".gz") == 0);
}

nn_loaded nn_load_cifar(const char *path, const nn_data_options *options, nn_dataset *train, nn_dataset *test, char *message) {
    (void)options;
    char directory[NN_PATH_BYTES];
    if (!nn_directory_of(directory, path, message)) return NN_BROKEN;
    for (size_t v = 0; v < sizeof versions / sizeof versions[0]; v++) {
        bool here = is_here(path, versions[v].test);
        for (size_t i = 0; versions[v].train[i]; i++) here = here || is_here(path, versions[v].train[i]);
        if (here) return load(&versions[v], directory, train, test, message) ? NN_LOADED : NN_BROKEN;
    }
    return NN_NOT_THIS_KIND;
}
