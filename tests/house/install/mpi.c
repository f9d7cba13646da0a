/* SPDX-License-Identifier: MIT */
/* A user of the installed library for MPI: one process is a group of one rank. */
#include <batchnorm/mpi.h>
#include <stdio.h>

int main(int argc, char **argv) {
    char message[BATCHNORM_MPI_MESSAGE] = "";
    float x[3] = {1, 2, 3}, y[3];
    batchnorm_mpi *mpi = NULL;
    MPI_Init(&argc, &argv);
    batchnorm_status status = batchnorm_mpi_create(MPI_COMM_WORLD, 0, &mpi, message);
    batchnorm_group group = batchnorm_mpi_group(mpi, NULL);
    const batchnorm_shape shape = {3, 1, 1, BATCHNORM_F32};
    const batchnorm_strides nc = batchnorm_planar(shape);
    const batchnorm_forward_call call = {.size = sizeof call, .shape = shape, .x = {x, nc}, .y = {y, nc}, .group = &group};
    if (status == BATCHNORM_OK) status = batchnorm_forward(&call, NULL);
    printf("%s%s: %d rank, %g\n", message, batchnorm_status_string(status), group.ranks, (double)y[1]);
    batchnorm_mpi_destroy(mpi);
    MPI_Finalize();
    return status != BATCHNORM_OK || group.ranks != 1 || y[1] != 0;
}
