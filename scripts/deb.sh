#!/bin/bash
# SPDX-License-Identifier: MIT
# deb.sh: build Debian's packages libbatchnorm0, libbatchnorm-dev and batchnorm into build/deb, and with MPI libbatchnorm-mpi0
# and libbatchnorm-mpi-dev, and try them (test-deb.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/deb
for tool in dpkg-shlibdeps dpkg-deb file; do
    command -v $tool >/dev/null || { echo "deb.sh: $tool is not there (Debian: dpkg-dev and file)" >&2; exit 77; }
done
mkdir -p $build
rm -f $build/*.deb
# Where the system looks for libraries is no run path needed, and as root no other owner than root.
log=$build/build.log
{ cmake -S . -B $build -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr -DCMAKE_SKIP_RPATH=ON -DBATCHNORM_DEB=ON \
    -DBATCHNORM_BUILD_TESTS=OFF -DBATCHNORM_BUILD_EXAMPLES=OFF -DBATCHNORM_BUILD_PYTHON=OFF &&
    cmake --build $build --parallel "$(nproc)" && (cd $build && cpack -G DEB); } >$log 2>&1 || { tail -30 $log >&2; exit 1; }
scripts/test-deb.sh $build/*.deb
ls -l $build/*.deb | awk '{ print $9, $5, "bytes" }'
