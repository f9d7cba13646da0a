#!/bin/bash
# SPDX-License-Identifier: MIT
# format.sh: every C file is as clang-format leaves it, and starts with its licence.
. "$(dirname "$0")/common.sh"
needs clang-format
list=$(sources)
mapfile -t files <<<"$list"
for file in "${files[@]}"; do
    [ "$(head -1 "$file")" = "/* SPDX-License-Identifier: MIT */" ] || wrong "$file: line 1 is not the SPDX line"
done
clang-format --dry-run -Werror "${files[@]}" || failed=1
exit $failed
