/* SPDX-License-Identifier: MIT */
/* How the command's threads wait for each other. */
#ifndef TOOLS_WAITING_H
#define TOOLS_WAITING_H

/* Threads of OpenMP soon sleep while they wait, unless a variable of the environment says how they wait. The program may begin
 * anew in this call, so it comes before anything is read, written or opened. Where that cannot be done nothing happens. */
void wait_asleep(char **argv);

#endif
