/* SPDX-License-Identifier: MIT */
#ifndef NN_NETWORK_MEMORY_H
#define NN_NETWORK_MEMORY_H

#include "network.h"

/* Gives every value and gradient of a network its place: fills in y, dy, dx, dz, adds_x and adds_z of the nodes. */
nn_error nn_network_allocate(nn_network *network);

#endif
