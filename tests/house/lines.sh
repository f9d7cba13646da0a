#!/bin/bash
# SPDX-License-Identifier: MIT
# lines.sh: no line of a source file, code or comment, is longer than 128 columns, of the Python package 100; and a sentence
# in a string literal that goes on in the next line fills the line before.
. "$(dirname "$0")/common.sh"

export LC_ALL=C.UTF-8
mapfile -t files < <(sources '*.[ch]' '*.in' '*.py' '*.sh' '*.cmake' CMakeLists.txt Makefile run)
long=$(awk 'length > 128 { print FILENAME ":" FNR ": " length " columns; 128 is the limit" }' "${files[@]}")
[ -z "$long" ] || wrong "$long"

long=$(find python -name '*.py*' -not -name '*.pyc' -exec awk \
    'length > 100 { print FILENAME ":" FNR ": " length " columns; 100 is the limit" }' {} +)
[ -z "$long" ] || wrong "$long"

mapfile -t files < <(sources)
odd=$(awk '
    FNR == 1 { open = 0 }
    {
        text = $0
        if (open && match(text, /^ *"/)) {
            rest = substr(text, RLENGTH + 1)
            match(rest, /^(\\.|[^"\\ ])+ ?/)
            # a last word brings what follows the literal
            more = substr(rest, RLENGTH + 1, 1) == "\"" ? length(rest) - 1 : RLENGTH
            if (RLENGTH > 0 && width + more <= 128)
                print FILENAME ":" FNR - 1 ": the string literal could go on with the word that begins the next line"
        }
        # the text of a sentence: a space before the quote, and no quoted names of gnuplot
        open = text ~ / "$/ && text !~ / \x27[^ ]/
        width = length(text)
    }' "${files[@]}")
[ -z "$odd" ] || wrong "$odd"
exit $failed
