/* SPDX-License-Identifier: MIT */
/* Any bytes as a checkpoint: refused with a message, or every tensor that it lists is there. */
#include <stdlib.h>
#include <string.h>

#include "model/torch.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    char why[BN_ONNX_BYTES] = "";
    struct bn_torch torch;
    unsigned char *copy = malloc(count + 1); /* a sanitizer sees what is read behind it */
    fuzz_expect(copy != NULL);
    copy = realloc(copy, count ? count : 1);
    if (count) memcpy(copy, bytes, count);
    const struct bn_map map = {.base = copy, .bytes = count};
    if (bn_torch_is(&map)) {
        if (bn_torch_index(&torch, &map, why) != BATCHNORM_OK) fuzz_refused(why, NULL);
        for (size_t i = 0; i < torch.tensor_count; i++) {
            const struct bn_torch_tensor *t = &torch.tensors[i];
            size_t elements = 1;
            for (int d = 0; d < t->rank; d++) fuzz_expect(!__builtin_mul_overflow(elements, (size_t)t->dims[d], &elements));
            if (elements > 1 << 16) continue;
            double *values = calloc(elements + 1, sizeof *values);
            unsigned char *raw = malloc(elements * 16 + 1); /* no type has more */
            fuzz_expect(values != NULL && raw != NULL);
            bn_torch_bytes(&torch, t, raw, elements);
            fuzz_took(raw, elements * bn_onnx_type_bytes(t->type));
            free(raw);
            const batchnorm_status status = bn_torch_read(&torch, t, values, elements, why);
            fuzz_expect(status == BATCHNORM_OK || status == BATCHNORM_BAD_DTYPE);
            fuzz_took(values, elements * sizeof *values);
            fuzz_took(t->name, strlen(t->name));
            free(values);
        }
        bn_torch_free(&torch);
    }
    free(copy);
    return 0;
}
