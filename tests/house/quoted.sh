#!/bin/bash
# SPDX-License-Identifier: MIT
# quoted.sh: every line of C in docs/tutorial.md stands in the example that is named with it: for a table in the last cell of
# the row; for a block in a line "(from [NAME.c]..." right after it, or else in the last link to an example before it.
. "$(dirname "$0")/common.sh"

page=docs/tutorial.md

# "FILE<tab>LINE" for each line of C.
quotes() {
    awk '
        function file_of(text) { match(text, /[a-z0-9_]+\.c/); return substr(text, RSTART, RLENGTH) }
        function flush() { for (i = 1; i <= lines; i++) print file "\t" block[i]; lines = 0 }
        /^```c$/ { inside = 1; next }
        /^```/ && inside { inside = 0; waiting = 1; next }
        inside { sub(/^ +/, ""); if ($0 != "") block[++lines] = $0; next }
        waiting && /[^ ]/ { if (/^\(from \[/) file = file_of($0); flush(); waiting = 0 }
        /\[[a-z0-9_]+\.c\]\(/ { file = file_of($0) }
        /^\|.*\| `[a-z0-9_]+\.c` \|$/ {
            split($0, cells, " \\| ")
            named = file_of(cells[3])
            while (match(cells[2], /`[^`]+`/)) {
                print named "\t" substr(cells[2], RSTART + 1, RLENGTH - 2)
                cells[2] = substr(cells[2], RSTART + RLENGTH)
            }
        }
        END { flush() }' "$page"
}

count=0
while IFS=$'\t' read -r file line; do
    count=$((count + 1))
    [ -n "$file" ] && grep -qF -- "$line" "examples/$file" && continue
    wrong "$page quotes \"$line\", which is not in examples/${file:-?}"
done < <(quotes)
echo "$count lines are quoted"
[ $count -gt 20 ] && exit $failed
