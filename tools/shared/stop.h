/* SPDX-License-Identifier: MIT */
/* Signals that end long work early: what there is by then is kept. */
#ifndef TOOLS_SHARED_STOP_H
#define TOOLS_SHARED_STOP_H

/* From now on SIGINT, SIGTERM and SIGHUP call `stop`, each once: a second one has its usual effect. A signal that the command
 * was started to ignore (nohup) stays ignored. */
void stop_on_signals(void (*stop)(int signal));

/* Between these, such signals wait, also in threads that begin then: code that a library generates need not expect one. */
void stop_hold(void);
void stop_let_go(void);

/* After all is kept and cleaned up: if such a signal came, end the process by it, so that a shell sees a command that was
 * interrupted (its status is 130 after SIGINT) and stops its script, too. What stdio holds is written before. Returns if none
 * came. */
void stop_end_by_signal(void);

#endif
