#!/bin/bash
# SPDX-License-Identifier: MIT
# test-all.sh [NAME...]: every build of the matrix (or those named) and its tests, under build/test/NAME. The last line is
# "N passed, N failed" over all of them; the exit code says the same.
#
# While the tests of one run, what comes next is built with the time that they leave: many of them wait.
set -uo pipefail
cd "$(dirname "$0")/.."
jobs=$(nproc)
only=" $* "
passed=0 failed=0 skipped=0
# Tests run side by side: threads that spin while they wait would take the cores from each other.
export OMP_WAIT_POLICY=passive
# Lines are all that a sanitizer and valgrind tell of the debug information, which is a third of compiling.
flags="-O2 -g1 -DNDEBUG"

# What there is: <function> <name> <targets> <arguments of ctest> <arguments of cmake...>, and <function> <name> <script>.
matrix() {
    $1 gcc all "" -DCMAKE_C_COMPILER=gcc -DBATCHNORM_TEST_VALGRIND=ON
    # What does not depend on the compiler has been seen with the first.
    $1 clang all "-LE once" -DCMAKE_C_COMPILER=clang -DBATCHNORM_FUZZ=ON
    # At -O1, as which it is compiled there, gcc warns of what cannot be.
    $1 address all "" -DCMAKE_C_COMPILER=gcc -DBATCHNORM_SANITIZE=address -DBATCHNORM_WERROR=OFF
    # The other MPI, with as little else as there can be.
    [ ! -x "$(command -v mpicc.mpich)" ] ||
        $1 mpich "test_mpi_ranks example_mpi" "-R (^|\.)mpi" -DCMAKE_C_COMPILER=gcc -DMPI_C_COMPILER=mpicc.mpich \
            -DBATCHNORM_SIMD=OFF -DBATCHNORM_BUILD_FILE=OFF -DBATCHNORM_BUILD_MODEL=OFF -DBATCHNORM_BUILD_TOOLS=OFF \
            -DBATCHNORM_BUILD_PYTHON=OFF
    # Without OpenMP, whose runtime the thread sanitizer does not understand, and intrinsics, whose stores it does not see.
    $1 thread "test_api_bits test_plan_decisions test_python_pool test_sync example_own_threads" "-L threads" \
        -DCMAKE_C_COMPILER=gcc -DBATCHNORM_SANITIZE=thread -DBATCHNORM_OPENMP=OFF -DBATCHNORM_SIMD=OFF \
        -DBATCHNORM_BUILD_TOOLS=OFF
    # Other machines, most of them emulated, and another C library.
    for machine in aarch64 s390x riscv64 armhf i386 musl; do
        flags="-O2 -DNDEBUG" $1 $machine all "" -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/toolchain-$machine.cmake"
    done
    # Packages, built and tried: one test each.
    $1 wheel scripts/wheel.sh
    $1 deb scripts/deb.sh
}
wanted() { [[ $only = "  " || $only = *" $1 "* ]]; }

# In the background: a line with the exit code of each.
build() {
    local name=$1 targets=$2 dir=build/test/$1
    wanted "$name" || return 0
    mkdir -p "$dir"
    if [ $# = 2 ]; then
        "$2" >"$dir/build.log" 2>&1
    else
        shift 3
        { cmake -S . -B "$dir" -DBATCHNORM_WERROR=ON -DCMAKE_C_FLAGS_RELWITHDEBINFO="$flags" "$@" &&
            cmake --build "$dir" --parallel "$jobs" --target $targets; } >"$dir/build.log" 2>&1
    fi
    echo $?
}
set -m # a group of processes of its own, which ends with this script
coproc builder { renice -n 19 $BASHPID >/dev/null && matrix build </dev/null; }
set +m
exec {built}<&"${builder[0]}" # bash closes its own when the last is built
trap "kill -- -$builder_PID 2>/dev/null" EXIT

# The tests of what has been built, or what a package's script found.
try() {
    local name=$1 dir=build/test/$1 code start
    wanted "$name" || return 0
    echo "== $name"
    read -r code <&$built || code=1
    start=$SECONDS
    if [ "$code" != 0 ] && [ "$code" != 77 ]; then
        tail -40 "$dir/build.log"
        echo "== $name: the build failed; see $dir/build.log"
        failed=$((failed + 1))
    elif [ $# = 2 ]; then
        tail -1 "$dir/build.log"
        if [ "$code" = 0 ]; then passed=$((passed + 1)); else skipped=$((skipped + 1)); fi
    else
        ctest --test-dir "$dir" --output-on-failure --no-tests=error -j "$jobs" $3 2>&1 |
            sed -u '/^ *Start /d; /^Internal ctest/d' | tee "$dir/test.log"
        count "$dir/test.log" $?
        echo "== $name: $((SECONDS - start)) s"
    fi
}

# Add the counts of a ctest log. A run that failed without saying so counts as one failure.
count() {
    local log=$1 result=$2 bad all left_out
    bad=$(sed -nE 's/.*tests passed, ([0-9]+) tests? failed out of [0-9]+$/\1/p' "$log")
    all=$(sed -nE 's/.*tests passed, [0-9]+ tests? failed out of ([0-9]+)$/\1/p' "$log")
    left_out=$(grep -c '\*\*\*\(Skipped\|Not Run (Disabled)\)' "$log")
    passed=$((passed + ${all:-0} - ${bad:-0} - left_out))
    if [ "$result" != 0 ] && [ "${bad:-0}" = 0 ]; then bad=1; fi
    failed=$((failed + ${bad:-0}))
    skipped=$((skipped + left_out))
}
matrix try

echo "$skipped skipped, $SECONDS s"
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
