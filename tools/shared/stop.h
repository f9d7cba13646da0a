/* SPDX-License-Identifier: MIT */
/* Signals that end long work early: what there is by then is kept. */
#ifndef TOOLS_SHARED_STOP_H
#define TOOLS_SHARED_STOP_H

/* From now on SIGINT, SIGTERM and SIGHUP call `stop`, each once: a second one has its usual effect. A signal that the command
 * was started to ignore (nohup) stays ignored. */
void stop_on_signals(void (*stop)(int signal));

#endif
