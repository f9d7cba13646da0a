/* SPDX-License-Identifier: MIT */
/* Any bytes as an IDX file: refused with a message, or an array all of whose elements are there. */
#include <stdlib.h>

#include "nn/idx.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    char message[NN_MESSAGE_BYTES] = "";
    nn_idx idx;
    if (!nn_idx_read(fuzz_file(NULL, 0, bytes, count), &idx, message)) {
        fuzz_refused(message, idx.bytes);
        return 0;
    }
    size_t total = 1;
    for (int d = 0; d < idx.rank; d++) total *= idx.shape[d];
    fuzz_took(idx.bytes, total);
    free(idx.bytes);
    return 0;
}
