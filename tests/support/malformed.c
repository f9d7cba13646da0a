/* SPDX-License-Identifier: MIT */
#include "malformed.h"

#include <stdlib.h>
#include <string.h>

#include "batchnorm/safetensors.h"
#include "tests/support/files.h"
#include "tests/support/test.h"

/* Returns whether the file is read; if it is not, the message is there and without control characters: parts of it come from
 * hostile files, and it goes to a terminal. */
static bool is_read(malformed_reader *read, const void *bytes, size_t count, char *message) {
    message[0] = '\0';
    file_put(file_path("f"), bytes, count);
    const bool done = read(file_path("f"), message);
    if (!done) assert_true(message[0] != '\0');
    for (size_t i = 0; !done && message[i]; i++) assert_true((unsigned char)message[i] >= ' ');
    return done;
}

void every_one_is_refused(malformed_reader *read, malformed_composer *compose, const struct malformed *files, size_t count) {
    unsigned char bytes[1000];
    char message[BATCHNORM_MESSAGE_BYTES];
    for (const struct malformed *f = files; f < files + count; f++) {
        const size_t size = compose ? compose(bytes, f->bytes, f->count) : f->count;
        const char *name = compose ? f->bytes : f->says;
        if (is_read(read, compose ? (const char *)bytes : f->bytes, size, message)) fail_msg("%s: it is read", name);
        if (!strstr(message, f->says)) fail_msg("%s: %s", name, message);
    }
}

void every_cut_is_refused(malformed_reader *read, const void *bytes, size_t count) {
    char message[BATCHNORM_MESSAGE_BYTES];
    if (!is_read(read, bytes, count, message)) fail_msg("%s", message);
    for (size_t length = 0; length < count; length++)
        if (is_read(read, bytes, length, message)) fail_msg("%zu of %zu bytes are enough", length, count);
}

void every_change_is_stood(malformed_reader *read, const void *bytes, size_t count, size_t header, const char *others) {
    char message[BATCHNORM_MESSAGE_BYTES];
    unsigned char *changed = malloc(count);
    assert_non_null(changed);
    memcpy(changed, bytes, count);
    size_t done[2] = {0};
    for (size_t i = 0; i < header; i++) {
        const unsigned char kept = changed[i];
        for (size_t change = 0; change < 8 + strlen(others) + 1; change++) { /* the '\0' of others, too */
            changed[i] = change < 8 ? (unsigned char)(kept ^ 1u << change) : (unsigned char)others[change - 8];
            done[is_read(read, changed, count, message)]++;
        }
        changed[i] = kept;
    }
    free(changed);
    assert_true(done[false] > 1000 && done[true] > 100);
}
