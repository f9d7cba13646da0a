#!/bin/bash
# SPDX-License-Identifier: MIT
# format.sh SOURCE_DIR: every C file is as clang-format leaves it, and starts with its licence.
set -euo pipefail
cd "$1"
command -v clang-format >/dev/null || { echo "skipped: clang-format was not found"; exit 77; }
mapfile -t files < <(find include src nn lab tools examples tests bench -name '*.[ch]' 2>/dev/null)
status=0
for file in "${files[@]}"; do
    [ "$(head -1 "$file")" = "/* SPDX-License-Identifier: MIT */" ] || { echo "$file: line 1 is not the SPDX line"; status=1; }
done
clang-format --dry-run -Werror "${files[@]}" || status=1
exit $status
