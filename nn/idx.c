/* SPDX-License-Identifier: MIT */
#include "idx.h"

#include <stdlib.h>

#include "reader.h"

static bool fail(const nn_reader *reader, const char *what) { return nn_wrong(reader->message, reader->path, "%s", what); }

static bool ends_early(const nn_reader *reader) { return fail(reader, "the file ends before the data its header announces"); }

static bool read_four(nn_reader *reader, uint8_t four[4]) {
    size_t got = 0;
    return nn_reader_some(reader, four, 4, &got) && (got == 4 || ends_early(reader));
}

static bool read_header(nn_reader *reader, nn_idx *idx, size_t *total) {
    uint8_t magic[4], size[4];
    if (!read_four(reader, magic)) return false;
    if (magic[0] != 0 || magic[1] != 0) return fail(reader, "not an IDX file: it must begin with two zero bytes");
    if (magic[2] != 8) return fail(reader, "elements must be unsigned bytes (IDX type 8)");
    if (magic[3] < 1 || magic[3] > NN_IDX_MAX_RANK) return fail(reader, "must have 1 to 4 dimensions");
    idx->rank = magic[3];
    *total = 1;
    for (int i = 0; i < idx->rank; i++) {
        if (!read_four(reader, size)) return false;
        idx->shape[i] = (size_t)size[0] << 24 | (size_t)size[1] << 16 | (size_t)size[2] << 8 | size[3];
        if (idx->shape[i] > 0 && *total > SIZE_MAX / 2 / idx->shape[i]) return fail(reader, "the sizes are too large");
        *total *= idx->shape[i];
    }
    return true;
}

static bool read_body(nn_reader *reader, nn_idx *idx, size_t total) {
    size_t count = 0;
    bool end = false;
    if (!nn_reader_all(reader, total, &idx->bytes, &count)) return false;
    if (count < total) return ends_early(reader);
    if (!nn_reader_at_end(reader, &end)) return false;
    return end || fail(reader, "there is more data than the header announces");
}

bool nn_idx_read(const char *path, nn_idx *idx, char *message) {
    nn_reader reader;
    size_t total = 0;
    *idx = (nn_idx){0};
    if (!nn_reader_open(&reader, path, message)) return false;
    const bool done = read_header(&reader, idx, &total) && read_body(&reader, idx, total);
    nn_reader_close(&reader);
    if (done) return true;
    free(idx->bytes);
    idx->bytes = NULL;
    return false;
}
