/* SPDX-License-Identifier: MIT */
#ifndef NN_CLOCK_H
#define NN_CLOCK_H

/* Seconds since some fixed moment; never jumps. */
double nn_seconds(void);

#endif
