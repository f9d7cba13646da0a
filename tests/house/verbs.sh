#!/bin/bash
# SPDX-License-Identifier: MIT
# verbs.sh COMMAND PAGE: every verb of the command has a folder with its options, a section in the manual page with every option
# that its --help knows and no other, a script of cases that the tests run, and a line on the front page.
command=$1 page=$2
. "$(dirname "$0")/common.sh"

# Of these lines, the first option of each that begins with one.
first_options() {
    grep -oE "^$1(-[a-zA-Z?]\*?, \*?)?--[a-z-]+" | grep -oE -- '--[a-z-]+' | grep -vxE -- '--(help|usage)' | sort -u
}
options_in_help() { "$command" "$1" --help | first_options ' *'; }
options_in_page() { awk -v heading="# ${1^^}" '/^# / { inside = $0 == heading } inside' "$page" | first_options '\*'; }

verbs=$("$command" --help | sed -nE 's/^  ([a-z]+) .*/\1/p')
for verb in $verbs; do
    [ -f "tools/$verb/request.c" ] || wrong "$verb has no tools/$verb/request.c"
    grep -q "^\*batchnorm $verb\*" docs/batchnorm.1.scd.in ||
        wrong "$verb is not in the synopsis of the page"
    grep -qE "^tools/$verb:" tests/house/includes.sh ||
        wrong "tests/house/includes.sh does not say what tools/$verb may include"
    grep -qx "# ${verb^^}" docs/batchnorm.1.scd.in || wrong "$verb has no section in docs/batchnorm.1.scd.in"
    [ -f "tests/tools/$verb/$verb.sh" ] || wrong "$verb has no tests/tools/$verb/$verb.sh"
    grep -q "^bn_cli($verb " tests/tools/CMakeLists.txt || wrong "tests/tools/CMakeLists.txt does not run the cases of $verb"
    grep -q "^- \*\*$verb\*\*" README.md || wrong "$verb has no line in README.md"
    difference=$(diff <(options_in_help "$verb") <(options_in_page "$verb")) || wrong "$verb: --help <, page >:" $difference
done
echo "verbs:" $verbs
[ "$(wc -w <<<"$verbs")" -ge 5 ] && exit $failed
