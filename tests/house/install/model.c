/* SPDX-License-Identifier: MIT */
/* A user of the installed library of models: it says that there is no such file. */
#include <batchnorm/model.h>
#include <stdio.h>

int main(void) {
    char message[BATCHNORM_MODEL_MESSAGE];
    batchnorm_model *model;
    batchnorm_status status = batchnorm_model_open("no such file", NULL, &model, message);
    puts(message);
    return status != BATCHNORM_IO;
}
