#!/bin/bash
# SPDX-License-Identifier: MIT
# runpath.sh READELF BUILD_DIR: no program or library, of the build or installed, looks for libraries in a relative path or in
# an empty one, which is the current directory: what lies there would run inside it. The command looks nowhere.
readelf=$1 build=$2
. "$(dirname "$0")/common.sh"

prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
cmake --install "$build" --prefix "$prefix" >/dev/null

count=0
while IFS= read -r file; do
    dynamic=$("$readelf" -d "$file" 2>/dev/null | grep -E '\((RPATH|RUNPATH)\)') || dynamic=""
    count=$((count + 1))
    [ -n "$dynamic" ] || continue
    path=${dynamic#*[} path=${path%]*}
    case $(basename "$file") in batchnorm) wrong "$file: looks for libraries in '$path', and needs none of them" ;; esac
    grep -qE '^(/|\$ORIGIN)[^:]*(:(/|\$ORIGIN)[^:]*)*$' <<<"$path" || wrong "$file: looks for libraries in '$path'"
done < <(find "$build" "$prefix" -path "$build/test" -prune -o -type f \( -perm -u+x -o -name '*.so*' \) -print |
    while IFS= read -r file; do [ "$(head -c 4 "$file" | tr -d '\0')" != $'\x7fELF' ] || echo "$file"; done)
echo "$count programs and libraries"
[ $count -gt 10 ] && exit $failed
