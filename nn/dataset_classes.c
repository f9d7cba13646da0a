/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "dataset_classes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_visible(const struct dirent *entry) { return entry->d_name[0] != '.' && strcmp(entry->d_name, "__MACOSX") != 0; }

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

bool nn_list(const char *directory, nn_listing *listing, char *message) {
    listing->count = scandir(directory, &listing->entries, is_visible, by_name);
    return listing->count >= 0 || nn_wrong(message, directory, "%s", strerror(errno));
}

void nn_free_listing(nn_listing *listing) {
    for (int i = 0; i < listing->count; i++) free(listing->entries[i]);
    if (listing->count >= 0) free(listing->entries);
}

/* Parts. In any case of letters; the first of these words that is there counts, and of several spellings of it the first. */

static const char *const train_words[] = {"train", "training", NULL};
static const char *const test_words[] = {"test", "testing", "val", "valid", "validation", NULL};

static bool is_one_of(const char *name, const char *const *words) {
    for (; *words; words++)
        if (strcasecmp(name, *words) == 0) return true;
    return false;
}

/* What a directory has that matters for parts. */
struct look {
    const char *train, *test; /* names; NULL: none */
    bool others;              /* folders that are called neither */
    bool folders;             /* any folder */
};

static bool is_folder_in(const char *directory, const char *name) {
    char path[NN_PATH_BYTES], message[NN_MESSAGE_BYTES];
    return nn_join(path, directory, name, message) && nn_is_directory(path);
}

static const char *find_word(const char *directory, const nn_listing *listing, const char *const *words) {
    const char *found = NULL;
    for (; *words && !found; words++) {
        for (int i = 0; i < listing->count; i++) {
            const char *name = listing->entries[i]->d_name;
            if (strcasecmp(name, *words) != 0 || !is_folder_in(directory, name)) continue;
            if (!found || strcmp(name, *words) == 0) found = name;
        }
    }
    return found;
}

static struct look look_at(const char *directory, const nn_listing *listing) {
    struct look look = {.train = find_word(directory, listing, train_words), .test = find_word(directory, listing, test_words)};
    for (int i = 0; i < listing->count; i++) {
        const char *name = listing->entries[i]->d_name;
        if (!is_folder_in(directory, name)) continue;
        look.folders = true;
        look.others = look.others || !(is_one_of(name, train_words) || is_one_of(name, test_words));
    }
    return look;
}

static bool has_folders(const char *directory, bool *has, char *message) {
    nn_listing listing;
    if (!nn_list(directory, &listing, message)) return false;
    *has = look_at(directory, &listing).folders;
    nn_free_listing(&listing);
    return true;
}

/* A folder called train is a part where it has folders. Where it has none it is the class of trains, if there are other classes
 * beside it. */
static bool choose_parts(const char *root, const struct look *look, char train[NN_PATH_BYTES], char test[NN_PATH_BYTES],
                         char *message) {
    bool has = false;
    if (!look->train) return strcpy(train, root);
    if (!nn_join(train, root, look->train, message) || !has_folders(train, &has, message)) return false;
    if (!has && look->others) return strcpy(train, root);
    if (!look->test)
        return nn_wrong(message, root, "there is a folder %s, but neither test nor val, which must have the same classes",
                        look->train);
    if (!has) return nn_wrong(message, train, "there must be a folder for each class in it");
    if (!nn_join(test, root, look->test, message) || !has_folders(test, &has, message)) return false;
    return has || nn_wrong(message, test, "there must be a folder for each class in it");
}

bool nn_find_parts(const char *root, char train[NN_PATH_BYTES], char test[NN_PATH_BYTES], char *message) {
    nn_listing listing;
    *test = '\0';
    if (!nn_list(root, &listing, message)) return false;
    const struct look look = look_at(root, &listing);
    const bool done = choose_parts(root, &look, train, test, message);
    nn_free_listing(&listing);
    return done;
}

/* Classes */

bool nn_list_classes(const char *directory, nn_dataset *dataset, char *message) {
    const char *names[NN_MAX_CLASSES];
    char path[NN_PATH_BYTES];
    nn_listing listing;
    size_t count = 0;
    if (!nn_list(directory, &listing, message)) return false;
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
    nn_free_listing(&listing);
    return done;
}

/* Files. Formats that are not read are images, too: to pass over a folder of photos without a word would be no help. */

static bool is_called_an_image(const char *path) {
    static const char *const endings[] = {".png", ".jpg",  ".jpeg", ".jpe",  ".jfif", ".gif", ".bmp",
                                          ".tif", ".tiff", ".webp", ".heic", ".heif", ".avif"};
    size_t length = strlen(path);
    if (length > 3 && strcasecmp(path + length - 3, ".gz") == 0) length -= 3;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        const size_t own = strlen(endings[i]);
        if (length > own && strncasecmp(path + length - own, endings[i], own) == 0) return true;
    }
    return false;
}

static bool begins_like_an_image(const char *path) {
    uint8_t bytes[8] = {0};
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return false;
    const bool begins = read(fd, bytes, sizeof bytes) > 0 && nn_image_begins(bytes, sizeof bytes);
    close(fd);
    return begins;
}

nn_entry nn_entry_kind(const char *path) {
    struct stat about;
    if (stat(path, &about) != 0) return is_called_an_image(path) ? NN_ENTRY_IMAGE : NN_ENTRY_OTHER; /* a link to nothing */
    if (S_ISDIR(about.st_mode)) return NN_ENTRY_FOLDER;
    if (!S_ISREG(about.st_mode)) return NN_ENTRY_OTHER;
    return is_called_an_image(path) || begins_like_an_image(path) ? NN_ENTRY_IMAGE : NN_ENTRY_OTHER;
}
