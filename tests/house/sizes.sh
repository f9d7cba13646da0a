#!/bin/bash
# SPDX-License-Identifier: MIT
# sizes.sh: a file of more than 300 lines, or with a function of more than 60, says at its top why: "Long because ...",
# "Longer than 300 lines, because ...".
. "$(dirname "$0")/common.sh"
list=$(sources '*.[ch]' '*.py' '*.sh' '*.cmake' CMakeLists.txt)
mapfile -t files <<<"$list"

says_why() {
    local why='([Ll]ong|[Ll]onger than|[Oo]ver) [^.]*(because|most of them|lines: )|[Ll]ong because'
    head -20 "$1" | tr -s '\n */#' ' ' | grep -qE "$why"
}

# "LINES NAME" of the longest function of a C file: from the line in column 0 that begins it to the brace that ends it.
longest() {
    awk '/^[a-zA-Z_][^:]*$/ || /^[a-zA-Z_].*[({]/ { if (!inside) { start = NR; name = $0 } }
         /\{$/ { inside = 1 }
         /^}/ { if (inside && name ~ /\(/ && NR - start + 1 > most) { most = NR - start + 1; which = name } inside = 0 }
         END {
             sub(/^(TEST|FIXTURE)\(/, "", which)
             sub(/[()].*/, "", which)
             sub(/.*[ *]/, "", which)
             print most + 0, which
         }' "$1"
}

for file in "${files[@]}"; do
    lines=$(wc -l <"$file")
    if [ "$lines" -gt 300 ] && ! says_why "$file"; then
        wrong "$file: $lines lines, and its top does not say why"
    fi
    case $file in *.[ch]) ;; *) continue ;; esac
    read -r lines name < <(longest "$file")
    if [ "$lines" -gt 60 ] && ! says_why "$file"; then
        wrong "$file: $name() has $lines lines, and the top of the file does not say why"
    fi
done
exit $failed
