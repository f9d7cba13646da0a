/* SPDX-License-Identifier: MIT */
/* Writing a file so that its path holds either the old or the new one, whole, whenever the machine stops. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "file/file.h"

static batchnorm_status fail(const struct bn_output_file *out, const char *why) {
    return bn_fail(out->place.no_memory ? BATCHNORM_NO_MEMORY : BATCHNORM_IO, out->message, "%s", why);
}

batchnorm_status bn_output_begin(struct bn_output_file *out, const char *path, char *message) {
    char why[BN_PLACE_BYTES];
    out->message = message;
    const char *wrong = bn_place_find(&out->place, path, why);
    if (!wrong) wrong = bn_place_create(&out->place, why);
    return wrong ? fail(out, wrong) : BATCHNORM_OK;
}

batchnorm_status bn_output_write(struct bn_output_file *out, const void *from, size_t bytes) {
    if (!bn_place_write(out->place.fd, from, bytes))
        return bn_fail(BATCHNORM_IO, out->message, "cannot be written: %s", strerror(errno));
    return BATCHNORM_OK;
}

batchnorm_status bn_output_commit(struct bn_output_file *out) {
    char why[BN_PLACE_BYTES];
    const char *wrong = bn_place_finish(&out->place, why);
    if (!wrong) wrong = bn_place_commit(&out->place, why);
    return wrong ? fail(out, wrong) : BATCHNORM_OK;
}

void bn_output_cancel(struct bn_output_file *out) { bn_place_cancel(&out->place); }
