/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset_kinds.h"
#include "idx.h"

enum { NAME_BYTES = 256 };

static const char *const fashion_names[] = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                            "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};

/* Nothing in the files says what they show. But no other set has these first labels. */
static bool is_fashion(const nn_dataset *train) {
    static const uint8_t first[] = {9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9, 5, 5, 7, 9, 1, 0, 6, 4, 3, 1, 4, 8};
    return train->count == 60000 && train->classes == 10 && memcmp(train->labels, first, sizeof first) == 0;
}

static bool load_images(const char *path, nn_dataset *dataset, char *message) {
    nn_idx idx;
    if (!nn_idx_read(path, &idx, message)) return false;
    dataset->pixels = idx.bytes;
    if (idx.rank != 3 && (idx.rank != 4 || (idx.shape[3] != 1 && idx.shape[3] != 3))) {
        return nn_wrong(message, path,
                        "images must have 3 dimensions (count, height, width), or 4 of which the last is 1 or 3");
    }
    if (idx.shape[0] == 0) return nn_wrong(message, path, "there are no images");
    if (!nn_check_size(path, idx.shape[1], idx.shape[2], message)) return false;
    dataset->count = (uint32_t)idx.shape[0]; /* the format has 32 bits for it */
    dataset->image = (nn_shape){idx.shape[1], idx.shape[2], idx.rank == 4 ? idx.shape[3] : 1};
    return true;
}

static bool load_labels(const char *path, nn_dataset *dataset, char *message) {
    nn_idx idx;
    if (!nn_idx_read(path, &idx, message)) return false;
    dataset->labels = idx.bytes;
    if (idx.rank != 1) return nn_wrong(message, path, "labels must have 1 dimension");
    if (idx.shape[0] != dataset->count) {
        return nn_wrong(message, path, "%zu labels for %u images", idx.shape[0], (unsigned)dataset->count);
    }
    for (uint32_t i = 0; i < dataset->count; i++) {
        if (idx.bytes[i] >= dataset->classes) dataset->classes = (size_t)idx.bytes[i] + 1;
    }
    return true;
}

/* In place, the last of them; `with` is not longer. */
static bool replace(char *name, const char *what, const char *with) {
    char *last = NULL;
    for (char *p = name; (p = strstr(p, what)); p++) last = p;
    if (!last) return false;
    memmove(last + strlen(with), last + strlen(what), strlen(last + strlen(what)) + 1);
    memcpy(last, with, strlen(with));
    return true;
}

static bool missing(const char *directory, const char *name, char *message) {
    return nn_wrong(message, directory, "there is no %s or %s.gz here", name, name);
}

/* The labels follow the images' name; both are there. */
static void labels_of(const char *images, char labels[NAME_BYTES]) {
    strcpy(labels, images);
    replace(labels, "images", "labels");
    if (!replace(labels, "idx3", "idx1")) replace(labels, "idx4", "idx1");
}

/* The images of that name and their labels, whose name follows from it. */
static bool load_set(const char *directory, const char *images, nn_dataset *dataset, char *message) {
    char path[NN_PATH_BYTES], labels[NAME_BYTES];
    labels_of(images, labels);
    if (!nn_find_file(path, directory, images)) return missing(directory, images, message);
    if (!load_images(path, dataset, message)) return false;
    if (!nn_find_file(path, directory, labels)) return missing(directory, labels, message);
    return load_labels(path, dataset, message);
}

static bool fits(const char *directory, const char *images, const nn_dataset *train, const nn_dataset *test, char *message) {
    char path[NN_PATH_BYTES], labels[NAME_BYTES];
    const nn_shape a = train->image, b = test->image;
    if (a.height != b.height || a.width != b.width || a.channels != b.channels) {
        nn_find_file(path, directory, images);
        return nn_wrong(message, path,
                        "test images are %zu x %zu x %zu (height, width, channels); the training images are %zu x %zu x %zu",
                        b.height, b.width, b.channels, a.height, a.width, a.channels);
    }
    labels_of(images, labels);
    nn_find_file(path, directory, labels);
    for (uint32_t i = 0; i < test->count; i++) {
        if (test->labels[i] < train->classes) continue;
        return nn_wrong(message, path, "the label of image %u is %u; the training labels are 0 to %zu", (unsigned)i,
                        (unsigned)test->labels[i], train->classes - 1);
    }
    return true;
}

/* train: the name of the training images, without .gz. */
static bool load(const char *directory, const char *train_name, nn_dataset *train, nn_dataset *test, char *message) {
    char name[NAME_BYTES], other[NAME_BYTES], path[NN_PATH_BYTES];
    strcpy(name, train_name);
    strcpy(other, train_name);
    if (!replace(name, "train", "t10k")) {
        return nn_wrong(message, train_name, "not a name of training images, which has train in it; there must be one in %s",
                        directory);
    }
    replace(other, "train", "test");
    if (!nn_find_file(path, directory, name) && nn_find_file(path, directory, other)) strcpy(name, other);
    if (!load_set(directory, train_name, train, message) || !load_set(directory, name, test, message)) return false;
    if (!fits(directory, name, train, test, message)) return false;
    test->classes = train->classes;
    return !is_fashion(train) || (train->class_names = nn_copy_names(fashion_names, 10)) ||
           nn_wrong(message, directory, NN_NO_MEMORY);
}

/* A file of images by its name, which is copied without .gz. */
static bool is_images(const char *file, char name[NAME_BYTES]) {
    if (!strstr(file, "images") || (!strstr(file, "idx3") && !strstr(file, "idx4"))) return false;
    if (snprintf(name, NAME_BYTES, "%s", file) >= NAME_BYTES) return false;
    const size_t length = strlen(name);
    if (length > 3 && strcmp(name + length - 3, ".gz") == 0) name[length - 3] = '\0';
    return true;
}

/* The one set of a directory, by its training images, or by its test images if it has no others. */
static nn_loaded find(const char *directory, char found[NAME_BYTES], char *message) {
    char name[NAME_BYTES];
    nn_loaded result = NN_NOT_THIS_KIND;
    DIR *d = opendir(directory);
    if (!d) return nn_wrong(message, directory, "%s", strerror(errno)), NN_BROKEN;
    for (const struct dirent *entry; result != NN_BROKEN && (entry = readdir(d));) {
        if (entry->d_name[0] == '.' || !is_images(entry->d_name, name)) continue;
        const bool is_train = strstr(name, "train"), had_train = result == NN_LOADED && strstr(found, "train");
        if (is_train && had_train && strcmp(name, found) != 0) {
            nn_wrong(message, directory,
                     "there are several data sets here; choose one by the path of its training images, %s or %s",
                     strcmp(name, found) < 0 ? name : found, strcmp(name, found) < 0 ? found : name);
            result = NN_BROKEN;
        } else if (!had_train) {
            strcpy(found, name);
            result = NN_LOADED;
        }
    }
    closedir(d);
    return result;
}

nn_loaded nn_load_idx(const char *path, const nn_data_options *options, nn_dataset *train, nn_dataset *test, char *message) {
    (void)options;
    char directory[NN_PATH_BYTES], name[NAME_BYTES];
    nn_loaded found = NN_NOT_THIS_KIND;
    if (!nn_directory_of(directory, path, message)) return NN_BROKEN;
    if (nn_is_directory(path))
        found = find(directory, name, message);
    else if (is_images(nn_name_of(path), name))
        found = NN_LOADED;
    if (found != NN_LOADED) return found;
    return load(directory, name, train, test, message) ? NN_LOADED : NN_BROKEN;
}
