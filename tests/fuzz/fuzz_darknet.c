/* SPDX-License-Identifier: MIT */
/* Any bytes as a Darknet network, the text up to the first zero and then the numbers: refused with a message, or every tensor
 * that it lists is there. */
#include <stdlib.h>
#include <string.h>

#include "model/darknet.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    char why[BN_ONNX_BYTES] = "";
    struct bn_torch torch;
    const uint8_t *zero = count ? memchr(bytes, 0, count) : NULL;
    const size_t text = zero ? (size_t)(zero - bytes) : count, rest = zero ? count - text - 1 : 0;
    unsigned char *cfg = malloc(text ? text : 1), *numbers = malloc(rest ? rest : 1); /* a sanitizer sees what is read behind */
    fuzz_expect(cfg != NULL && numbers != NULL);
    if (text) memcpy(cfg, bytes, text);
    if (rest) memcpy(numbers, zero + 1, rest);
    const struct bn_map cfg_map = {.base = cfg, .bytes = text}, map = {.base = numbers, .bytes = rest};
    const bool ok = bn_darknet_index(&torch, &map, &cfg_map, why) == BATCHNORM_OK;
    if (!ok) fuzz_refused(why, NULL);
    for (size_t i = 0; ok && i < torch.tensor_count; i++) {
        const struct bn_torch_tensor *t = &torch.tensors[i];
        size_t elements = 1;
        for (int d = 0; d < t->rank; d++) fuzz_expect(!__builtin_mul_overflow(elements, (size_t)t->dims[d], &elements));
        fuzz_expect(elements <= count); /* all are in the file, once */
        double *values = calloc(elements + 1, sizeof *values);
        fuzz_expect(values != NULL);
        fuzz_expect(bn_torch_read(&torch, t, values, elements, why) == BATCHNORM_OK);
        fuzz_took(values, elements * sizeof *values);
        free(values);
    }
    bn_torch_free(&torch);
    free(cfg);
    free(numbers);
    return 0;
}
