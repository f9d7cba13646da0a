/* SPDX-License-Identifier: MIT */
/* A model is opened, its batch norms are listed, and it is written again without those that can be folded:
 *     fold MODEL.onnx OUT.onnx */
#include <batchnorm/model.h>
#include <stdio.h>

int main(int argc, char **argv) {
    static const char *const outcomes[] = {[BATCHNORM_FOLD_LEFT] = "stays",
                                           [BATCHNORM_FOLD_BEFORE] = "goes into",
                                           [BATCHNORM_FOLD_AFTER] = "goes into",
                                           [BATCHNORM_FOLD_NORM] = "joins",
                                           [BATCHNORM_FOLD_PARTS] = "goes into the parts of",
                                           [BATCHNORM_FOLD_MUL_ADD] = "becomes a Mul and an Add",
                                           [BATCHNORM_FOLD_ADD] = "becomes an Add, its scale goes into"};
    char message[BATCHNORM_MODEL_MESSAGE];
    batchnorm_model *model;
    batchnorm_fold_counts counts = {.size = sizeof counts};
    if (argc != 3) {
        fprintf(stderr, "usage: fold MODEL.onnx OUT.onnx\n");
        return 2;
    }
    batchnorm_status status = batchnorm_model_open(argv[1], NULL, &model, message);
    for (size_t i = 0; i < batchnorm_model_norm_count(model); i++) {
        const batchnorm_model_norm *norm = batchnorm_model_norm_at(model, i);
        printf("%s (%lld channels, %zu with running_var < eps) %s %s%s\n", norm->name, (long long)norm->channels,
               norm->ill[BATCHNORM_VAR_BELOW_EPS], outcomes[norm->outcome], norm->target ? norm->target : "",
               norm->why ? norm->why : "");
    }
    if (status == BATCHNORM_OK) status = batchnorm_model_fold(model, argv[2], &counts, message);
    if (status == BATCHNORM_OK)
        printf("%s: %zu tensors changed\n", argv[2], counts.tensors);
    else
        fprintf(stderr, "%s: %s\n", argv[1], message);
    batchnorm_model_close(model);
    return status;
}
