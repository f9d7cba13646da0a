/* SPDX-License-Identifier: MIT */
/* A user of the installed library: two channels in, mean 0 and variance 1 out. */
#include <batchnorm/layer.h>
#include <stdio.h>
#include <string.h>

int main(void) {
    float x[6] = {1, 10, 2, 20, 3, 30}, y[6];
    const batchnorm_shape shape = {3, 2, 1, BATCHNORM_F32};
    const batchnorm_strides nc = batchnorm_planar(shape);
    const batchnorm_forward_call call = {.size = sizeof call, .shape = shape, .x = {x, nc}, .y = {y, nc}};
    batchnorm_status status = batchnorm_forward(&call, NULL);
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", BATCHNORM_VERSION_MAJOR, BATCHNORM_VERSION_MINOR, BATCHNORM_VERSION_PATCH);
    printf("%s %s %s: %g %g\n", version, batchnorm_isa(), batchnorm_status_string(status), (double)y[0], (double)y[3]);
    return status != BATCHNORM_OK || strcmp(version, batchnorm_version()) != 0 || y[0] > -1.2f || y[0] < -1.3f || y[3] != 0;
}
