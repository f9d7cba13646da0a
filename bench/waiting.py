# SPDX-License-Identifier: MIT
"""How the sides of a benchmark wait. Threads of OpenMP spin for milliseconds after their work before they sleep. Where sides
take turns, they would take the cores from the next one."""
import os
import re
import threading
import time

PATIENCE = 5
VARIABLES = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY"


def running(process, itself):
    """Whether a thread of this process runs, or would if there were a core for it, apart from thread `itself`."""
    for thread in os.listdir(f"/proc/{process}/task"):
        try:
            with open(f"/proc/{process}/task/{thread}/stat", "rb") as stat:
                state = stat.read().rpartition(b") ")[2][:1]
        except OSError:
            continue  # it has ended
        if state == b"R" and int(thread) != itself:
            return True
    return False


def until_others_sleep(*children):
    """Return when the other threads of this process, and all of these child processes, sleep: then a turn may begin."""
    itself, end = threading.get_native_id(), time.perf_counter() + PATIENCE
    for process in (os.getpid(), *children):
        while running(process, itself):
            if time.perf_counter() > end:
                raise SystemExit(f"threads do not sleep {PATIENCE} s after their work: see {', '.join(VARIABLES)}")
            time.sleep(1e-4)


def are_shared():
    """Whether all sides in this process have the same threads: there is one OpenMP, and no side waits for those of another."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return len(set(re.findall(r"/\S*/lib(?:gomp|i?omp5?)\b\S*\.so\S*", maps.read()))) < 2


def as_in_the_command(environment):
    """This environment with what the command adds to it, unless it says how threads wait."""
    own = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}
    return {**environment, **({} if set(VARIABLES) & set(environment) else own)}


def choice(environment):
    """`OMP_WAIT_POLICY=passive`, or what else says in this environment how threads of OpenMP wait."""
    said = " ".join(f"{name}={environment[name]}" for name in VARIABLES if name in environment)
    return said or "as their OpenMP does by itself"
