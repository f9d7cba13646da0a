#!/bin/bash
# SPDX-License-Identifier: MIT
# hardened.sh READELF NM BUILD_DIR: libraries and the command are linked with RELRO and NOW, no stack is executable, and buffers
# on the stack and in calls of libc are checked.
readelf=$1 nm=$2 build=$3
. "$(dirname "$0")/common.sh"
grep -q '^BATCHNORM_HARDEN:BOOL=ON' "$build/CMakeCache.txt" || { echo "skipped: BATCHNORM_HARDEN is off"; exit 77; }
grep -q '^CMAKE_BUILD_TYPE:STRING=R' "$build/CMakeCache.txt" || { echo "skipped: this build is not optimized"; exit 77; }

count=0
for file in "$build"/libbatchnorm.so "$build"/libbatchnorm-file.so "$build"/libbatchnorm-model.so "$build"/libbatchnorm-mpi.so \
    "$build"/batchnorm "$build"/batchnorm-keras; do
    [ -e "$file" ] || continue
    count=$((count + 1))
    "$readelf" -lW "$file" | grep GNU_RELRO >/dev/null || wrong "$file: not linked with -z relro"
    "$readelf" -dW "$file" | grep -E 'BIND_NOW|FLAGS_1.* NOW' >/dev/null || wrong "$file: not linked with -z now"
    "$readelf" -lW "$file" | grep -E 'GNU_STACK.* RW ' >/dev/null || wrong "$file: its stack is executable"
    "$nm" -D "$file" | grep __stack_chk_fail >/dev/null || wrong "$file: not compiled with -fstack-protector-strong"
    # the core has hardly a call that could be checked
    [ "$(basename "$file")" = libbatchnorm.so ] || "$nm" -D "$file" | grep -E '__[a-z]+_chk(@|$)' >/dev/null ||
        wrong "$file: not compiled with _FORTIFY_SOURCE"
done
echo "$count files"
[ $count -gt 0 ] && exit $failed
