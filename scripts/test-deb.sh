#!/bin/bash
# SPDX-License-Identifier: MIT
# test-deb.sh PACKAGE...: lintian finds no error in Debian's packages, and in a bare Debian of its own (mmdebstrap makes it, as
# root and with Debian's mirror at hand) dpkg installs and removes them, the manual page can be found, and a program is
# compiled by pkg-config and runs. Where no such Debian can be made they are unpacked into a folder and used from there.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || { echo "usage: test-deb.sh PACKAGE..." >&2; exit 2; }
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

if command -v lintian >/dev/null; then
    # No bug number of Debian is closed by them; the libraries are three in one package, whose name is that of the first; the
    # address is nobody's unless DEBFULLNAME and DEBEMAIL told one.
    accepted=initial-upload-closes-no-bugs,package-name-doesnt-match-sonames
    [ -n "${DEBEMAIL:-}" ] || accepted+=,bogus-mail-host,bogus-mail-host-in-debian-changelog
    lintian --allow-root --fail-on error --suppress-tags $accepted "$@"
    echo "lintian finds no error"
else
    echo "lintian is not there"
fi

program='#include <batchnorm/layer.h>
#include <batchnorm/model.h>
#include <stdio.h>
int main(void) {
    float x[4] = {1, 2, 3, 4}, y[4];
    const int64_t shape[] = {2, 2};
    batchnorm_layer_options options = batchnorm_layer_defaults(1, 2);
    batchnorm_layer *layer;
    batchnorm_model *model;
    if (batchnorm_layer_create(&options, &layer)) return 1;
    batchnorm_status status = batchnorm_layer_forward(layer, batchnorm_tensor_contiguous(x, BATCHNORM_F32, 2, shape),
                                                      batchnorm_tensor_contiguous(y, BATCHNORM_F32, 2, shape), NULL, 0, NULL);
    batchnorm_layer_destroy(layer);
    printf("%s %g, and %s\n", batchnorm_version(), (double)y[0],
           batchnorm_status_string(batchnorm_model_open("/etc/hostname", NULL, &model, NULL)));
    return status;
}'

needs=$(for package; do dpkg-deb -f "$package" Depends | tr , '\n' | sed 's/^ *//; s/[ (|].*//'; done |
    grep -v batchnorm | sort -u | tr '\n' ,)
if [ "$(id -u)" = 0 ] && command -v mmdebstrap >/dev/null &&
    mmdebstrap --quiet --variant=essential --include="$needs"gcc,libc6-dev,pkg-config \
        "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$root" >/dev/null 2>"$root.log"; then
    rm -f "$root.log"
    cp "$@" "$root/tmp"
    printf '%s\n' "$program" >"$root/tmp/program.c"
    cp tests/house/install/mpi.c "$root/tmp"
    names=$(for package; do dpkg-deb -f "$package" Package; done)
    chroot "$root" env names="$(tr '\n' ' ' <<<"$names")" sh -ec '
        cd /tmp
        dpkg --install *.deb >/dev/null 2>&1
        dpkg --status $names | grep -c "^Status: install ok installed" | grep -qx $(echo $names | wc -w)
        gcc program.c -o shared $(pkg-config --cflags --libs batchnorm-model batchnorm)
        ./shared
        gcc program.c -o static $(pkg-config --static --cflags --libs batchnorm-model-static)
        ./static
        case $names in *-mpi-dev*) mpicc mpi.c -o mpi $(pkg-config --cflags --libs batchnorm-mpi) ;; esac
        batchnorm --version
        gzip -dc /usr/share/man/man1/batchnorm.1.gz | grep -q "^\.SH"
        dpkg --purge $names >/dev/null 2>&1
        left=$(find / -xdev -name "*batchnorm*" -not -path "/tmp/*" -not -path "/proc/*")
        [ -z "$left" ] || { echo "still there: $left"; exit 1; }'
    echo "installed, used and removed in a bare Debian"
else
    [ ! -s "$root.log" ] || tail -3 "$root.log"
    rm -f "$root.log"
    for package; do dpkg-deb -x "$package" "$root"; done
    libraries=$(dirname "$(find "$root" -name libbatchnorm.so)")
    export PKG_CONFIG_LIBDIR=$libraries/pkgconfig LD_LIBRARY_PATH=$libraries
    printf '%s\n' "$program" | cc -x c - -o "$root/program" $(pkg-config --cflags --libs batchnorm-model batchnorm)
    "$root/program"
    "$root/usr/bin/batchnorm" --version
    echo "unpacked and used; for a bare Debian be root and install mmdebstrap"
fi
