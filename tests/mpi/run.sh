#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh MPIRUN OTHER PROGRAM NAME [EXAMPLE]: one of the cases below, in processes that MPIRUN starts. OTHER is the mpirun of
# another MPI.
set -uo pipefail
mpirun=$1 other=$2 program=$3 name=$4
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 # containers have no other user
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none # there are fewer cores than ranks
export LSAN_OPTIONS=exitcode=0 # an MPI keeps what it has; our own leaks and errors are looked for
log=$(mktemp)
trap 'rm -f "$log"' EXIT

wrong() { echo "$*"; cat "$log"; exit 1; }
ranks() { timeout -k 5 60 "$mpirun" -n "$@" </dev/null >"$log" 2>&1; } # <number> <program> <case>
works() { # <number> <case>
    ranks "$1" "$program" "$2" || wrong "$2 with $1 ranks: exit code $?"
    ! grep -qE 'ERROR: Address|/src/mpi/' "$log" || wrong "$2 with $1 ranks: a sanitizer has found something"
}

# All that tell something say this, and the processes end in seconds, with an error.
ends() { # <case> <regular expression> <how many tell it at least>
    local start=$SECONDS told
    ranks 4 "$program" "$1" && wrong "$1: exit code 0"
    [ $((SECONDS - start)) -lt 20 ] || wrong "$1: it took $((SECONDS - start)) s"
    told=$(grep -c '^told by rank' "$log")
    [ "$told" -ge "$3" ] || wrong "$1: $told ranks have told something"
    [ "$(grep -cE "^told by rank [0-9]+: $2" "$log")" = "$told" ] || wrong "$1: not all say $2"
    cat "$log"
}

ranks 2 "$program" start
if ! grep -q '^2 ranks: ' "$log"; then
    echo "skipped: $mpirun does not start two ranks of this MPI here:"
    cat "$log"
    exit 77
fi
# a late rank may have ended the call in which the others have waited
call="layer1\.0\.bn2: call (6, for|7, back)ward: (rank [0-9] has given up: )?"
case $name in
bits) for n in 1 2 3 4; do works $n bits; done ;;
parts) works 4 parts && works 3 parts ;;
messages) works 3 bytes && works 2 large && works 3 disagree ;;
scatter) for n in 1 2 3 4; do works $n scatter; done ;;
refusals) works 1 refuse && works 2 refuse ;;
memory) ends memory "(rank 1 has given up: )?no memory for the messages of all ranks, 400000 bytes" 4 ;;
scatter_long) ends scatter_long "(rank [0-9] has given up: )?parts of more than 2147483647 bytes, which MPI counts to" 4 ;;
scatter_memory) ends scatter_memory "(rank 1 has given up: )?no memory for the messages of all ranks, 400000 bytes" 4 ;;
stopped) ends stopped "${call}rank 1 of 4 has not come within 3 s" 2 ;;
late) ends late "${call}rank 1 of 4 has not come within 2 s" 4 ;;
absent) ends absent "not all 4 ranks have called batchnorm_mpi_create\(\) within 0\.5 s" 1 ;;
killed) ends killed "" 0 ;;
other_mpirun)
    [ -x "$other" ] || { echo "skipped: there is no other MPI"; exit 77; }
    mpirun=$other EXPECT_ALONE=1
    export EXPECT_ALONE
    works 2 start
    [ "$(grep -c 'says that 2 processes were started, but each is alone' "$log")" = 2 ] || wrong "it is not told"
    unset EXPECT_ALONE
    "$program" start >"$log" 2>&1 || wrong "one process alone: exit code $?"
    ;;
example) # its output is that of one process
    program=$5
    export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" # what an MPI keeps would be told between its lines
    works 1 ""
    alone=$(cat "$log")
    grep -q '^weight.grad: -\?0x' <<<"$alone" || wrong "it prints no gradients"
    for n in 2 3 4; do
        works $n ""
        [ "$(cat "$log")" = "$alone" ] || wrong "$n ranks print something else than one, which prints $alone"
    done
    ;;
*) wrong "there is no case $name" ;;
esac
