#!/bin/bash
# SPDX-License-Identifier: MIT
# cited.sh: every test that a document names as `program/function`, or as `api.golden/beginning of a case`, exists.
. "$(dirname "$0")/common.sh"

exists() { # <program> <function>
    local file
    if [ "$1" = api.golden ]; then
        grep -q "^case ${2//./\\.}" tests/golden/vectors.txt
    else
        file=$(grep -lF "run_group_tests_name(\"$1\"" $(sources)) && grep -qE "cmocka_unit_test[a-z_]*\($2[,)]" "$file"
    fi
}

cited=0
while IFS=/ read -r program function; do
    cited=$((cited + 1))
    exists "$program" "$function" && continue
    wrong "$program/$function is named in a document, but is not in tests/"
done < <(grep -ohE '`[a-z0-9_]+(\.[a-z0-9_]+)+/[a-z0-9_.]+`' docs/*.md ./*.md | tr -d '`' | sort -u)
echo "$cited tests are cited"
[ $cited -gt 0 ] && exit $failed
