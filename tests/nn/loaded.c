/* SPDX-License-Identifier: MIT */
#include "loaded.h"

#include <string.h>

#include "tests/support/files.h"
#include "tests/support/test.h"

char message[NN_MESSAGE_BYTES];
nn_dataset train, test;

int unload(void **state UNUSED) {
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    return 0;
}

void load(const char *name, uint32_t limit) {
    unload(NULL);
    message[0] = '\0';
    if (!nn_dataset_load(file_path(name), limit, &train, &test, message)) fail_msg("%s", message);
}

void assert_says(const char *name, const char *what) {
    if (!strstr(message, name) || !strstr(message, what)) fail_msg("\"%s\" lacks \"%s\" or \"%s\"", message, name, what);
}

void assert_bad_dataset(const char *path, const char *name, const char *what) {
    unload(NULL);
    message[0] = '\0';
    assert_false(nn_dataset_load(file_path(path), 0, &train, &test, message));
    assert_true(!train.pixels && !train.labels && !train.class_names && !test.pixels && !test.labels && !test.class_names);
    assert_says(name, what);
}
