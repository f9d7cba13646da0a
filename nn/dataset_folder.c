/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset_kinds.h"

enum { EVERY = 6, BLOCK = 64 }; /* every 6th image is for testing; a block is decoded by all threads together */

/* What a directory has, in the order of names, without hidden entries. */
struct listing {
    struct dirent **entries;
    int count;
};

static int is_visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }
static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static bool list(const char *directory, struct listing *listing, char *message) {
    listing->count = scandir(directory, &listing->entries, is_visible, by_name);
    return listing->count >= 0 || nn_wrong(message, directory, "%s", strerror(errno));
}

static void free_listing(struct listing *listing) {
    for (int i = 0; i < listing->count; i++) free(listing->entries[i]);
    if (listing->count >= 0) free(listing->entries);
}

/* The subfolders of `directory` are the classes. Their names are those of a set, which has none yet. */
static bool list_classes(const char *directory, nn_dataset *dataset, char *message) {
    const char *names[NN_MAX_CLASSES];
    char path[NN_PATH_BYTES];
    struct listing listing;
    size_t count = 0;
    if (!list(directory, &listing, message)) return false;
    bool done = true;
    for (int i = 0; done && i < listing.count; i++) {
        done = nn_join(path, directory, listing.entries[i]->d_name, message);
        if (!done || !nn_is_directory(path)) continue;
        if (count < NN_MAX_CLASSES) names[count] = listing.entries[i]->d_name;
        count++;
    }
    if (done && count > NN_MAX_CLASSES) {
        done = nn_wrong(message, directory, "%zu folders, one for each class; at most %d classes are supported", count,
                        NN_MAX_CLASSES);
    }
    if (done && count > 0) {
        dataset->class_names = nn_copy_names(names, count);
        dataset->classes = count;
        if (!dataset->class_names) done = nn_wrong(message, directory, NN_NO_MEMORY);
    }
    free_listing(&listing);
    return done;
}

/* The files of a set. */
struct file {
    char *path;
    size_t turn; /* its number among the files of its class */
    uint8_t label;
};

struct files {
    struct file *at;
    size_t count, room;
};

static bool add_file(struct files *files, const char *path, size_t turn, uint8_t label, char *message) {
    if (files->count == files->room) {
        const size_t room = files->room > 0 ? 2 * files->room : 1024;
        struct file *larger = realloc(files->at, room * sizeof *larger);
        if (!larger) return nn_wrong(message, path, NN_NO_MEMORY);
        files->at = larger;
        files->room = room;
    }
    if (files->count == UINT32_MAX) return nn_wrong(message, path, "there are too many images before it");
    struct file *file = &files->at[files->count];
    *file = (struct file){.path = strdup(path), .turn = turn, .label = label};
    if (!file->path) return nn_wrong(message, path, NN_NO_MEMORY);
    files->count++;
    return true;
}

static void free_files(struct files *files) {
    for (size_t i = 0; i < files->count; i++) free(files->at[i].path);
    free(files->at);
}

static int in_turns(const void *a, const void *b) {
    const struct file *x = a, *y = b;
    return x->turn != y->turn ? (x->turn < y->turn ? -1 : 1) : (x->label > y->label) - (x->label < y->label);
}

/* All files of a class into `train`, or, if `test` is not NULL, every 6th into `test`. */
static bool add_class(const char *directory, uint8_t label, struct files *train, struct files *test, char *message) {
    char path[NN_PATH_BYTES];
    struct listing listing;
    size_t count = 0, tests = 0;
    if (!list(directory, &listing, message)) return false;
    bool done =
        listing.count > 0 || nn_wrong(message, directory, "the folder of this class is empty; it must have PNG or JPEG files");
    for (int i = 0; done && i < listing.count; i++) {
        const bool is_test = test && i % EVERY == EVERY - 1;
        done = nn_join(path, directory, listing.entries[i]->d_name, message);
        if (done && nn_is_directory(path)) {
            done = nn_wrong(message, path, "a folder in the folder of a class, which must have PNG and JPEG files only");
        }
        done = done && add_file(is_test ? test : train, path, is_test ? tests++ : count++, label, message);
    }
    free_listing(&listing);
    return done;
}

static bool add_classes(const char *directory, const nn_dataset *classes, struct files *train, struct files *test,
                        char *message) {
    char path[NN_PATH_BYTES];
    for (size_t i = 0; i < classes->classes; i++) {
        if (!nn_join(path, directory, classes->class_names[i], message)) return false;
        if (!add_class(path, (uint8_t)i, train, test, message)) return false;
    }
    qsort(train->at, train->count, sizeof *train->at, in_turns);
    if (test && test->count > 0) qsort(test->at, test->count, sizeof *test->at, in_turns);
    return true;
}

/* Grey becomes colour in the whole set, of which the first `filled` images are there. */
static bool widen(nn_dataset *dataset, size_t filled, const char *path, char *message) {
    const size_t size = dataset->image.height * dataset->image.width;
    if (dataset->image.channels == 3) return true;
    uint8_t *pixels = realloc(dataset->pixels, dataset->count * size * 3);
    if (!pixels) return nn_wrong(message, path, NN_NO_MEMORY);
    for (size_t i = filled * size; i-- > 0;) {
        const uint8_t grey = pixels[i]; /* memset may be done before it is read */
        memset(pixels + 3 * i, grey, 3);
    }
    dataset->pixels = pixels;
    dataset->image.channels = 3;
    return true;
}

static bool allocate(nn_dataset *dataset, const nn_image *first, const char *path, char *message) {
    const size_t size = first->height * first->width;
    if (dataset->count > SIZE_MAX / 2 / 3 / size) return nn_wrong(message, path, "there are too many images of this size");
    dataset->image = (nn_shape){first->height, first->width, first->channels};
    dataset->pixels = malloc(dataset->count * size * first->channels);
    return dataset->pixels || nn_wrong(message, path, NN_NO_MEMORY);
}

/* Image number i of the set. `first` is the file and `size` the shape that all must have. */
static bool put(nn_dataset *dataset, size_t i, nn_image *image, const char *path, const char *first, nn_shape size,
                char *message) {
    if (image->height != size.height || image->width != size.width) {
        return nn_wrong(message, path,
                        "the image is %zu wide and %zu high, but %s is %zu wide and %zu high; all must have one size",
                        image->width, image->height, first, size.width, size.height);
    }
    if (!dataset->pixels && !allocate(dataset, image, path, message)) return false;
    if (image->channels == 3 && !widen(dataset, i, path, message)) return false;
    if (!nn_image_set_channels(image, dataset->image.channels)) return nn_wrong(message, path, NN_NO_MEMORY);
    const size_t bytes = nn_shape_size(dataset->image);
    memcpy(dataset->pixels + i * bytes, image->pixels, bytes);
    return true;
}

struct decoded {
    nn_image image;
    bool done;
    char message[NN_MESSAGE_BYTES];
};

/* The messages do not depend on which thread was first: images are taken in their order. */
static bool load_block(const struct file *files, size_t start, size_t n, struct decoded *block, nn_dataset *dataset,
                       const char **first, nn_shape *size, char *message) {
    bool done = true;
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < n; i++) block[i].done = nn_image_read(files[i].path, &block[i].image, block[i].message);
    for (size_t i = 0; i < n; i++) {
        nn_image *image = &block[i].image;
        if (done && !block[i].done) {
            strcpy(message, block[i].message);
            done = false;
        }
        if (done && !*first) {
            *first = files[i].path;
            *size = (nn_shape){image->height, image->width, 0};
        }
        done = done && put(dataset, start + i, image, files[i].path, *first, *size, message);
        dataset->labels[start + i] = files[i].label;
        free(image->pixels);
    }
    return done;
}

static bool load_files(const struct files *files, uint32_t limit, nn_dataset *dataset, const char **first, nn_shape *size,
                       char *message) {
    struct decoded *block = malloc(BLOCK * sizeof *block);
    dataset->count = limit > 0 && limit < files->count ? limit : (uint32_t)files->count;
    dataset->labels = malloc(dataset->count);
    bool done = (block && dataset->labels) || nn_wrong(message, files->at[0].path, NN_NO_MEMORY);
    for (size_t start = 0; done && start < dataset->count; start += BLOCK) {
        const size_t n = dataset->count - start < BLOCK ? dataset->count - start : BLOCK;
        done = load_block(files->at + start, start, n, block, dataset, first, size, message);
    }
    free(block);
    return done;
}

/* Both must have the same classes. */
static bool compare(const char *path, const nn_dataset *a, const char *other, const nn_dataset *b, char *message) {
    for (size_t i = 0; i < a->classes; i++) {
        bool found = false;
        for (size_t j = 0; j < b->classes; j++) found = found || strcmp(a->class_names[i], b->class_names[j]) == 0;
        if (!found) return nn_wrong(message, path, "it has a class %s, which %s lacks", a->class_names[i], other);
    }
    return true;
}

/* root/train and root/test or root/val; or root for both, and then *test is empty. */
static bool find_parts(const char *root, char train[NN_PATH_BYTES], char test[NN_PATH_BYTES], char *message) {
    *test = '\0';
    if (!nn_join(train, root, "train", message)) return false;
    if (!nn_is_directory(train)) return strcpy(train, root);
    if (nn_join(test, root, "test", message) && nn_is_directory(test)) return true;
    if (nn_join(test, root, "val", message) && nn_is_directory(test)) return true;
    return nn_wrong(message, root, "there is a folder train, but neither test nor val, which must have the same classes");
}

/* The files of both sets. */
static nn_loaded find(const char *root, nn_dataset *train, nn_dataset *test, struct files *trains, struct files *tests,
                      char *message) {
    char a[NN_PATH_BYTES], b[NN_PATH_BYTES];
    if (!find_parts(root, a, b, message) || !list_classes(a, train, message)) return NN_BROKEN;
    if (!*b) {
        if (train->classes == 0) return NN_NOT_THIS_KIND;
        if (!add_classes(a, train, trains, tests, message)) return NN_BROKEN;
        if (tests->count > 0) return NN_LOADED;
        nn_wrong(
            message, root,
            "every %dth image of a class is for testing, and no class has so many; it must be more images, or folders train "
            "and test",
            EVERY);
        return NN_BROKEN;
    }
    if (train->classes == 0) return nn_wrong(message, a, "there must be a folder for each class in it"), NN_BROKEN;
    const bool done = list_classes(b, test, message) && compare(a, train, b, test, message) &&
                      compare(b, test, a, train, message) && add_classes(a, train, trains, NULL, message) &&
                      add_classes(b, test, tests, NULL, message);
    free(test->class_names);
    test->class_names = NULL; /* the caller copies those of train */
    return done ? NN_LOADED : NN_BROKEN;
}

nn_loaded nn_load_folder(const char *path, uint32_t limit, nn_dataset *train, nn_dataset *test, char *message) {
    struct files trains = {0}, tests = {0};
    const char *first = NULL;
    nn_shape size = {0};
    if (!nn_is_directory(path)) return NN_NOT_THIS_KIND;
    nn_loaded loaded = find(path, train, test, &trains, &tests, message);
    if (loaded == NN_LOADED) {
        test->classes = train->classes;
        bool done =
            load_files(&trains, limit, train, &first, &size, message) && load_files(&tests, 0, test, &first, &size, message);
        if (done && train->image.channels != test->image.channels) {
            done = widen(train, train->count, path, message) && widen(test, test->count, path, message);
        }
        loaded = done ? NN_LOADED : NN_BROKEN;
    }
    free_files(&trains);
    free_files(&tests);
    return loaded;
}
