#!/bin/bash
# SPDX-License-Identifier: MIT
# test-all.sh [NAME...]: every build of the matrix (or those named) and its tests, under build/test/NAME. The last line is
# "N passed, N failed" over all of them; the exit code says the same.
set -uo pipefail
cd "$(dirname "$0")/.."
jobs=$(nproc)
only=" $* "
passed=0 failed=0 skipped=0
# Tests run side by side: threads that spin while they wait would take the cores from each other.
export OMP_WAIT_POLICY=passive

# One configuration: run <name> <cmake arguments...> [-- <ctest arguments...>]
run() {
    local name=$1 dir=build/test/$1 configure=() result start=$SECONDS
    shift
    [[ $only = "  " || $only = *" $name "* ]] || return 0
    while [ $# -gt 0 ] && [ "$1" != -- ]; do configure+=("$1"); shift; done
    mkdir -p "$dir"
    echo "== $name"
    if ! { cmake -S . -B "$dir" -DBATCHNORM_WERROR=ON "${configure[@]}" && cmake --build "$dir" --parallel "$jobs"; } \
        >"$dir/build.log" 2>&1; then
        tail -40 "$dir/build.log"
        echo "== $name: the build failed; see $dir/build.log"
        failed=$((failed + 1))
        return
    fi
    ctest --test-dir "$dir" --output-on-failure --no-tests=error -j "$jobs" "${@:2}" 2>&1 |
        sed -u '/^ *Start /d; /^Internal ctest/d' | tee "$dir/test.log"
    result=$?
    count "$dir/test.log" $result
    echo "== $name: $((SECONDS - start)) s"
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

# Thread sanitizer: without OpenMP, whose runtime it does not understand.
run gcc -DCMAKE_C_COMPILER=gcc -DBATCHNORM_TEST_VALGRIND=ON
run clang -DCMAKE_C_COMPILER=clang -DBATCHNORM_FUZZ=ON
run address -DCMAKE_C_COMPILER=gcc -DBATCHNORM_SANITIZE=address
# The other MPI, with as little else as there can be.
[ ! -x "$(command -v mpicc.mpich)" ] ||
    run mpich -DCMAKE_C_COMPILER=gcc -DMPI_C_COMPILER=mpicc.mpich -DBATCHNORM_SIMD=OFF -DBATCHNORM_BUILD_FILE=OFF \
        -DBATCHNORM_BUILD_MODEL=OFF -DBATCHNORM_BUILD_TOOLS=OFF -DBATCHNORM_BUILD_PYTHON=OFF -- -R '(^|\.)mpi'
run thread -DCMAKE_C_COMPILER=gcc -DBATCHNORM_SANITIZE=thread -DBATCHNORM_OPENMP=OFF -- -L threads
# Other machines, most of them emulated, and another C library. What takes long is compiling the kernels where vectors become
# scalars: nearly half of it goes into debug information, which nobody looks at there.
for machine in aarch64 s390x riscv64 armhf i386 musl; do
    run $machine -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/toolchain-$machine.cmake" "-DCMAKE_C_FLAGS_RELWITHDEBINFO=-O2 -DNDEBUG"
done

# Packages, built and tried: one test each. package <name> <script>
package() {
    local name=$1 log=build/test/$1.log start=$SECONDS
    [[ $only = "  " || $only = *" $name "* ]] || return 0
    mkdir -p build/test
    echo "== $name"
    "$2" >"$log" 2>&1
    case $? in
    0) passed=$((passed + 1)) && tail -1 "$log" ;;
    77) skipped=$((skipped + 1)) && tail -1 "$log" ;;
    *) failed=$((failed + 1)) && tail -40 "$log" ;;
    esac
    echo "== $name: $((SECONDS - start)) s"
}
package wheel scripts/wheel.sh
package deb scripts/deb.sh

echo "$skipped skipped, $SECONDS s"
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
