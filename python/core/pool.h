/* SPDX-License-Identifier: MIT */
/* The threads of the package: one pool for the process, started by the first call that has work for it. */
#ifndef BN_PYTHON_POOL_H
#define BN_PYTHON_POOL_H

#include "batchnorm/batchnorm.h"

/* How a call of the library runs on the pool. */
batchnorm_exec pool_exec(char *message, size_t message_bytes);

/* How many threads calls have, the caller's included. A new number ends the threads that there are. */
int pool_threads(void);
void pool_set_threads(int threads);

/* How many cores this process may use. */
int pool_cores(void);

/* How many forks lie between the first process and this one: what a thread of the parent had locked is nobody's here. */
unsigned pool_forks(void);

/* Ends the threads for good; calls that come later run on their caller's. */
void pool_close(void);

#endif
