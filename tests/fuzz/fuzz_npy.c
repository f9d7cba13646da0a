/* SPDX-License-Identifier: MIT */
/* Any bytes as an .npy file: refused with a message, or an array all of whose elements are there. */
#include "tests/fuzz/fuzz.h"
#include "tools/shared/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    char message[MESSAGE_BYTES] = "";
    struct array array;
    const batchnorm_dtype f16 = BATCHNORM_F16; /* asked for every other time: only then integers are read */
    if (!npy_read(&array, fuzz_file(NULL, 0, bytes, count), count % 2 ? &f16 : NULL, message)) {
        fuzz_refused(message, NULL);
        array_free(&array);
        return 0;
    }
    fuzz_expect(array_convert(&array, BATCHNORM_F64, message));
    const batchnorm_tensor *view = &array.view;
    const int64_t elements = batchnorm_tensor_elements(view);
    int64_t last = 0;
    for (int d = 0; d < view->rank; d++) last += (view->shape[d] - 1) * view->stride[d];
    fuzz_expect(elements == 0 || last + 1 == elements);
    fuzz_took(array.memory, (size_t)elements * sizeof(double));
    array_free(&array);
    return 0;
}
