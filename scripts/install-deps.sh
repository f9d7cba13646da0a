#!/bin/bash
# SPDX-License-Identifier: MIT
# install-deps.sh demo|test|bench|deb...: install what is missing, on Debian and its descendants. Asks the network for nothing
# when everything is there.
set -euo pipefail
demo="gcc libc6-dev make cmake pkg-config
libjansson-dev zlib1g-dev libpng-dev libjpeg-dev libdnnl-dev
scdoc gnuplot-nox dataset-fashion-mnist"
test="g++ clang libclang-rt-dev libomp-dev libopenblas-dev
libopenmpi-dev openmpi-bin libmpich-dev mpich iproute2
libcmocka-dev valgrind python3 python3-dev python3-venv libonnx-testdata chromium
clang-format doxygen binutils mandoc
gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-arm-linux-gnueabihf libc6-dev-armhf-cross
gcc-riscv64-linux-gnu libc6-dev-riscv64-cross gcc-s390x-linux-gnu libc6-dev-s390x-cross
gcc-i686-linux-gnu libc6-dev-i386-cross musl-tools qemu-user
dpkg-dev file mmdebstrap"
bench="gcc libc6-dev make cmake libdnnl-dev gnuplot-nox python3 python3-venv"
deb="dpkg-dev file lintian mmdebstrap"

wanted=""
for group; do
    case $group in
    demo) wanted+=" $demo" ;;
    test) wanted+=" $test" ;;
    bench) wanted+=" $bench" ;;
    deb) wanted+=" $deb" ;;
    *) echo "install-deps.sh: unknown group \"$group\"; there are: demo test bench deb" >&2; exit 2 ;;
    esac
done
[ -n "$wanted" ] || { echo "usage: install-deps.sh demo|test|bench|deb..." >&2; exit 2; }

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "install-deps.sh: no apt here; going on with what is installed. Debian's names of what is used:"$wanted >&2
    exit 0
fi
missing=""
for package in $wanted; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=" $package"
done
[ -n "$missing" ] || exit 0

echo "installing:$missing"
as_root=""
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "install-deps.sh: run as root: apt-get install$missing" >&2; exit 1; }
    as_root=sudo
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q "$@" >"$log" 2>&1 </dev/null || { tail -20 "$log" >&2; exit 1; }
}
apt update
apt install -y --no-install-recommends $missing
