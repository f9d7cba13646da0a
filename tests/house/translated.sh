#!/bin/bash
# SPDX-License-Identifier: MIT
# translated.sh [PAGE TRANSLATION]: a page and its translation have, section by section, the same levels of headings, the
# same code blocks, tables of the same form with the same numbers, and the same inline code, links and numbers, whose order
# within a section is the translator's.
. "$(dirname "$0")/common.sh"

page=${1:-README.md} translation=${2:-README.zh-CN.md}

# facts PAGE OTHER: one line for each thing that must be the same, "SECTION KIND THING". A link to OTHER is "the other page".
facts() {
    awk -v other="$2" '
        function tell(kind, thing) { print section, kind, thing }
        # What a regular expression finds in `text`; `text` goes on without it. A number stands alone, or ends a word such as
        # nChw16c.
        function each(kind, pattern, opening, closing) {
            while (match(text, pattern)) {
                tell(kind, substr(text, RSTART + opening, RLENGTH - opening - closing))
                text = substr(text, 1, RSTART - 1) " " substr(text, RSTART + RLENGTH)
            }
        }
        /^```/ { fenced = !fenced }
        fenced || /^```/ || (/^    / && (blank || indented)) {
            indented = !fenced && !/^```/
            tell("code", sprintf("%04d %s", ++codes, $0))
            blank = 0
            next
        }
        { indented = 0; blank = /^$/; text = $0 }
        /^#+ / { section = sprintf("%02d", ++sections); codes = rows = 0; tell("heading", length($1)) }
        {
            each("inline-code", "`[^`]+`", 1, 1)
            while (match(text, /\]\([^)]+\)/)) {
                target = substr(text, RSTART + 2, RLENGTH - 3)
                tell("link", target == other ? "the other page" : target)
                text = substr(text, 1, RSTART) " " substr(text, RSTART + RLENGTH)
            }
        }
        /^\|/ {
            row = sprintf("%04d, of %d cells:", ++rows, split(text, cells, "|") - 2)
            while (match(text, /[0-9]+([.,][0-9]+)*/)) {
                row = row " " substr(text, RSTART, RLENGTH)
                text = substr(text, RSTART + RLENGTH)
            }
            tell("table-row", row)
            next
        }
        { each("number", "[0-9]+([.,][0-9]+)*", 0, 0) }' "$1" | LC_ALL=C sort
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
facts "$page" "$translation" >"$scratch/page"
facts "$translation" "$page" >"$scratch/translation"
for kind in heading code table-row inline-code link; do
    grep -q "^[0-9]* $kind " "$scratch/page" || { echo "$page has no $kind: this test does not see it"; exit 1; }
done

while read -r side section kind thing; do
    [ "$side" = "<" ] && has=$page lacks=$translation || has=$translation lacks=$page
    heading=$(awk -v n="$((10#$section))" '/^```/ { f = !f } !f && /^#+ / && ++i == n' "$has")
    wrong "section $section ($heading): $has has the $kind \"$thing\", $lacks has not"
done < <(diff "$scratch/page" "$scratch/translation" | grep '^[<>]')
[ $failed = 0 ] && echo "$(wc -l <"$scratch/page") things are the same in $page and $translation"
exit $failed
