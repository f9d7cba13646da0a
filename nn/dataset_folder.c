/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset_classes.h"

enum { EVERY = 6, BLOCK = 64 }; /* every 6th image is for testing; a block is decoded by all threads together */

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

/* One loading of both sets. */
struct loading {
    const char *root;
    const nn_data_options *options;
    const char *first; /* the first image's file, and the shape that all must have */
    nn_shape size;
    char *message;
};

/* A path as it is told: from the root of the set on. */
static const char *inside(const struct loading *l, const char *path) {
    path += strlen(l->root);
    while (*path == '/') path++;
    return path;
}

static void pass_over(const struct loading *l, const char *path) {
    nn_data_notes *notes = l->options->notes;
    if (notes && notes->passed_over++ == 0)
        snprintf(notes->first_passed_over, sizeof notes->first_passed_over, "%s", inside(l, path));
}

/* All images of a class into `train`, or, if `test` is not NULL, every 6th into `test`. */
static bool add_class(const struct loading *l, const char *directory, uint8_t label, struct files *train, struct files *test) {
    char path[NN_PATH_BYTES];
    nn_listing listing;
    size_t count = 0, tests = 0;
    if (!nn_list(directory, &listing, l->message)) return false;
    bool done = true;
    for (int i = 0; done && i < listing.count; i++) {
        const bool is_test = test && (count + tests) % EVERY == EVERY - 1;
        done = nn_join(path, directory, listing.entries[i]->d_name, l->message);
        const nn_entry kind = done ? nn_entry_kind(path) : NN_ENTRY_OTHER;
        if (kind == NN_ENTRY_FOLDER)
            done = nn_wrong(l->message, path, "a folder in the folder of a class, which must have PNG and JPEG files only");
        else if (done && kind == NN_ENTRY_OTHER)
            pass_over(l, path);
        else if (done)
            done = add_file(is_test ? test : train, path, is_test ? tests++ : count++, label, l->message);
    }
    if (done && count == 0)
        done = nn_wrong(l->message, directory, "the folder of this class has no images; it must have PNG or JPEG files");
    nn_free_listing(&listing);
    return done;
}

static bool add_classes(const struct loading *l, const char *directory, const nn_dataset *classes, struct files *train,
                        struct files *test) {
    char path[NN_PATH_BYTES];
    for (size_t i = 0; i < classes->classes; i++) {
        if (!nn_join(path, directory, classes->class_names[i], l->message)) return false;
        if (!add_class(l, path, (uint8_t)i, train, test)) return false;
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

/* Image number i of the set. */
static bool put(struct loading *l, nn_dataset *dataset, size_t i, nn_image *image, const struct file *file) {
    if (!l->first) {
        l->first = file->path;
        l->size = (nn_shape){image->height, image->width, 0};
    }
    if (image->height != l->size.height || image->width != l->size.width) {
        return nn_wrong(l->message, file->path,
                        "the image is %zu wide and %zu high, but %s is %zu wide and %zu high; all must have one size%s",
                        image->width, image->height, l->first, l->size.width, l->size.height,
                        l->options->may_have_size ? ", or be made so by --size N" : "");
    }
    if (!dataset->pixels && !allocate(dataset, image, file->path, l->message)) return false;
    if (image->channels == 3 && !widen(dataset, i, file->path, l->message)) return false;
    if (!nn_image_set_channels(image, dataset->image.channels)) return nn_wrong(l->message, file->path, NN_NO_MEMORY);
    const size_t bytes = nn_shape_size(dataset->image);
    memcpy(dataset->pixels + i * bytes, image->pixels, bytes);
    dataset->labels[i] = file->label;
    return true;
}

struct decoded {
    nn_image image;
    bool done;
    char message[NN_MESSAGE_BYTES];
};

/* A file that is broken: passed over if that is wanted, or the end. */
static bool skip(const struct loading *l, const char *why) {
    nn_data_notes *notes = l->options->notes;
    if (!l->options->skip_bad) return strcpy(l->message, why), false;
    if (notes && notes->skipped++ == 0) strcpy(notes->first_skipped, why);
    return true;
}

/* Up to `n` images from as many files. Messages do not depend on which thread was first: images are taken in their order. */
static bool load_block(struct loading *l, const struct file *files, size_t n, struct decoded *block, nn_dataset *dataset,
                       size_t *filled) {
    const nn_image_options options = {.size = l->options->size};
    bool done = true;
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < n; i++) block[i].done = nn_image_read_as(files[i].path, &options, &block[i].image, block[i].message);
    for (size_t i = 0; i < n; i++) {
        if (done && !block[i].done)
            done = skip(l, block[i].message);
        else
            done = done && put(l, dataset, (*filled)++, &block[i].image, &files[i]);
        free(block[i].image.pixels);
    }
    return done;
}

/* `none`: what is said of the first where none can be read. */
static bool load_files(struct loading *l, const struct files *files, uint32_t limit, nn_dataset *dataset, const char *none) {
    struct decoded *block = malloc(BLOCK * sizeof *block);
    size_t filled = 0;
    dataset->count = limit > 0 && limit < files->count ? limit : (uint32_t)files->count;
    dataset->labels = malloc(dataset->count);
    bool done = (block && dataset->labels) || nn_wrong(l->message, files->at[0].path, NN_NO_MEMORY);
    for (size_t start = 0, n; done && filled < dataset->count && start < files->count; start += n) {
        const size_t left = files->count - start, wanted = dataset->count - filled, most = left < wanted ? left : wanted;
        n = most < BLOCK ? most : BLOCK;
        done = load_block(l, files->at + start, n, block, dataset, &filled);
    }
    if (done && filled == 0) done = nn_wrong(l->message, files->at[0].path, "%s", none);
    dataset->count = (uint32_t)filled;
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

/* The files of both sets. */
static nn_loaded find(const struct loading *l, nn_dataset *train, nn_dataset *test, struct files *trains, struct files *tests) {
    char a[NN_PATH_BYTES], b[NN_PATH_BYTES], *message = l->message;
    if (!nn_find_parts(l->root, a, b, message) || !nn_list_classes(a, train, message)) return NN_BROKEN;
    if (!*b) {
        if (train->classes == 0) return NN_NOT_THIS_KIND;
        if (!add_classes(l, a, train, trains, tests)) return NN_BROKEN;
        if (tests->count > 0) return NN_LOADED;
        nn_wrong(
            message, l->root,
            "every %dth image of a class is for testing, and no class has so many; it must be more images, or folders train "
            "and test",
            EVERY);
        return NN_BROKEN;
    }
    const bool done = nn_list_classes(b, test, message) && compare(a, train, b, test, message) &&
                      compare(b, test, a, train, message) && add_classes(l, a, train, trains, NULL) &&
                      add_classes(l, b, test, tests, NULL);
    free(test->class_names);
    test->class_names = NULL; /* the caller copies those of train */
    return done ? NN_LOADED : NN_BROKEN;
}

nn_loaded nn_load_folder(const char *path, const nn_data_options *options, nn_dataset *train, nn_dataset *test, char *message) {
    struct files trains = {0}, tests = {0};
    struct loading l = {.root = path, .options = options, .message = message};
    if (!nn_is_directory(path)) return NN_NOT_THIS_KIND;
    nn_loaded loaded = find(&l, train, test, &trains, &tests);
    if (loaded == NN_LOADED) {
        test->classes = train->classes;
        bool done = load_files(&l, &trains, options->limit, train, "neither it nor any other training image can be read") &&
                    load_files(&l, &tests, 0, test, "neither it nor any other test image can be read");
        if (done && train->image.channels != test->image.channels) {
            done = widen(train, train->count, path, message) && widen(test, test->count, path, message);
        }
        loaded = done ? NN_LOADED : NN_BROKEN;
    }
    free_files(&trains);
    free_files(&tests);
    return loaded;
}
