/* SPDX-License-Identifier: MIT */
/* A user of the installed file library: it says that there is no such file. */
#include <batchnorm/safetensors.h>
#include <stdio.h>

int main(void) {
    char message[BATCHNORM_MESSAGE_BYTES];
    batchnorm_safetensors *file;
    batchnorm_status status = batchnorm_safetensors_open("no such file", &file, message);
    puts(message);
    return status != BATCHNORM_IO;
}
