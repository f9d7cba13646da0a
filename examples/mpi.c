/* SPDX-License-Identifier: MIT */
/* A layer in a program over MPI: each process has some samples of a batch, and all normalize with the statistics of the whole.
 * What is printed has the same bits for any number of processes:
 *
 *     mpicc examples/mpi.c -Iinclude -Lbuild -lbatchnorm-mpi -lbatchnorm -lm -Wl,-rpath,build -o program
 *     mpirun -n 4 ./program
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <batchnorm/layer.h>
#include <batchnorm/mpi.h>

enum { SAMPLES = 24, CHANNELS = 2, LENGTH = 50, EACH = CHANNELS * LENGTH, GRAIN = 4, STEPS = 3 };

static float x[SAMPLES * EACH], y[SAMPLES * EACH], dy[SAMPLES * EACH], dx[SAMPLES * EACH];

/* MPI knows no way back from an error of some processes: whoever has one tells it and ends all. */
static void check(batchnorm_status status, const char *message) {
    if (status == BATCHNORM_OK) return;
    fprintf(stderr, "mpi: %s: %s\n", batchnorm_status_string(status), message);
    MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
}

static batchnorm_tensor part(float *data, int64_t samples) { /* (N, C, L) */
    return batchnorm_tensor_contiguous(data, BATCHNORM_F32, 3, (const int64_t[]){samples, CHANNELS, LENGTH});
}

int main(int argc, char **argv) {
    char message[BATCHNORM_MPI_MESSAGE];
    batchnorm_mpi *mpi;
    MPI_Init(&argc, &argv);
    check(batchnorm_mpi_check_start(message), message);
    check(batchnorm_mpi_create(MPI_COMM_WORLD, 60, &mpi, message), message);
    batchnorm_group group = batchnorm_mpi_group(mpi, "bn1");

    /* the samples of this process: whole chunks of GRAIN, so that the cut changes no bit */
    const int first = SAMPLES / GRAIN * group.rank / group.ranks * GRAIN;
    const int samples = SAMPLES / GRAIN * (group.rank + 1) / group.ranks * GRAIN - first;
    for (int i = 0; i < samples * EACH; i++) {
        x[i] = (float)(3 + sin(first * EACH + i));
        dy[i] = (float)cos(3 * (first * EACH + i));
    }

    batchnorm_layer *layer;
    const batchnorm_layer_options options = batchnorm_layer_defaults(1, CHANNELS);
    check(batchnorm_layer_create(&options, &layer), "the layer");
    check(batchnorm_layer_set_group(layer, &group, GRAIN, (size_t)first), batchnorm_layer_message(layer));
    for (int step = 0; step < STEPS; step++) {
        check(batchnorm_layer_forward(layer, part(x, samples), part(y, samples), NULL, 0, NULL),
              batchnorm_layer_message(layer));
        check(batchnorm_layer_backward(layer, NULL, part(x, samples), part(dy, samples), part(dx, samples), 0, NULL),
              batchnorm_layer_message(layer));
    }

    /* running statistics and gradients of parameters are those of the whole batch, on every process */
    const float *mean = batchnorm_layer_running_mean(layer).data, *dweight = batchnorm_layer_weight(layer)->grad.data;
    if (group.rank == 0)
        printf("running_mean: %a %a\nweight.grad: %a %a\n", (double)mean[0], (double)mean[1], (double)dweight[0],
               (double)dweight[1]);
    batchnorm_layer_destroy(layer);
    batchnorm_mpi_destroy(mpi);
    MPI_Finalize();
    return EXIT_SUCCESS;
}
