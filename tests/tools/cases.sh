#!/bin/bash
# SPDX-License-Identifier: MIT
# What the cases of all verbs share. VERB.sh sources this file, defines a function VERB that runs the command and functions
# case_NAME, and ends with run_case: `VERB.sh NAME COMMAND...` then runs case_NAME in a directory of its own.
set -eu
export LC_ALL=C
verb=$(basename "$0" .sh)
here=$(cd "$(dirname "$0")" && pwd)
name=$1
shift
command=("$@")

run_case() {
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    cd "$scratch"
    "case_$name"
}

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# What a build may lack stands in the environment, what a machine may lack is looked for. A case that needs it is skipped.
needs_part() {
    local without=BATCHNORM_TEST_NO_$1
    [ -z "${!without:-}" ] || { echo "skipped: $without is set"; exit 77; }
}
needs_backend() { needs_part BACKEND; }
needs_json() { needs_part JSON; }
needs_keras() { needs_part KERAS; }
needs_limit() { needs_part LIMIT; }
needs_openmp() { needs_part OPENMP; }
needs_32_bits() { needs_part 32_BITS; } # sizes of one machine are too large for another to count
needs_64_bits() { needs_part 64_BITS; }
needs_png() { needs_part PNG; }
needs_safetensors() { needs_part SAFETENSORS; }
needs_terminal() { # a machine may have no pseudo-terminals
    needs script
    script -qec true /dev/null >/dev/null 2>&1 </dev/null || { echo "skipped: there are no pseudo-terminals"; exit 77; }
}
needs() { command -v "$1" >/dev/null || { echo "skipped: $1 was not found"; exit 77; }; }

# What the directory holds, file by file.
contents() {
    find . -mindepth 1 ! -name '*.log' -exec ls -dl --time-style=+ {} +
    find . -type f ! -name '*.log' -exec cksum {} + | sort -k3
}

# fails STATUS MESSAGE COMMAND...: its first line on stderr is this one, stdout is empty, and no file is touched.
fails() {
    local status=$1 message=$2 before got=0
    shift 2
    before=$(contents)
    "$@" >out.log 2>err.log || got=$?
    [ "$got" = "$status" ] || fail "status $got, not $status, of: $* ($(cat out.log err.log))"
    [ "$(head -n 1 err.log)" = "$message" ] || fail "it says: $(cat err.log)"
    [ ! -s out.log ] || fail "it prints: $(cat out.log)"
    [ "$(contents)" = "$before" ] || fail "files were touched: $(contents)"
}

# refuses STATUS MESSAGE ARGUMENT...: the verb fails so, and its name stands before the message.
refuses() { fails "$1" "batchnorm $verb: $2" "$verb" "${@:3}"; }

# says MESSAGE: the verb's name and this are all that the last command left in err.log.
says() { [ "$(cat err.log)" = "batchnorm $verb: $1" ] || fail "$(cat err.log)"; }

# runs COMMAND...: it succeeds. silently COMMAND...: also, nothing goes to stderr where that is no terminal, and no temporary
# file is left.
runs() { "$@" >out.log 2>err.log || fail "status $? of: $* ($(cat err.log))"; }
silently() {
    runs "$@"
    [ ! -s err.log ] || fail "stderr: $(cat err.log)"
    [ -z "$(find . -name '.batchnorm*')" ] || fail "a temporary file is left"
}

# A number as four bytes, highest first, as IDX and PNG have it.
number() {
    local bit
    for bit in 24 16 8 0; do printf "\\x$(printf %x $(($1 >> bit & 255)))"; done
}

# The files of an IDX data set: the labels 0 1 2 ... 9 0 1 ..., and what stands before COUNT images of SIDE x SIDE bytes.
labels() { printf '\0\0\10\1'; number "$1"; for ((i = 0; i < $1; i++)); do printf "\\x0$((i % 10))"; done; }
images_head() { printf '\0\0\10\3'; number "$1"; number "$2"; number "$2"; }

# chunk TYPE <data: a chunk of a PNG; gzip knows the checksum.
chunk() {
    { printf %s "$1"; cat; } >chunk
    number $(($(wc -c <chunk) - 4))
    cat chunk
    gzip -c chunk | tail -c 8 | head -c 4 | od -An -tu1 | { read -r a b c d; number $((d << 24 | c << 16 | b << 8 | a)); }
}

# low NUMBER: its two low bytes, lowest first.
low() { printf "\\x$(printf %x $(($1 & 255)))\\x$(printf %x $(($1 >> 8 & 255)))"; }

# png SIDE GREY: a square of one grey.
png() {
    local side=$1 grey=$2 a=1 b=0 row i
    row="\\0$(for ((i = 0; i < side; i++)); do printf '\\x%x' "$grey"; done)"
    for ((i = 0; i < side; i++)); do printf "$row"; done >raw
    for i in $(od -An -v -tu1 raw); do a=$(((a + i) % 65521)) b=$(((b + a) % 65521)); done
    printf '\x89PNG\r\n\x1a\n'
    { number "$side"; number "$side"; printf '\10\0\0\0\0'; } | chunk IHDR
    i=$(wc -c <raw)
    { printf '\x78\x01\x01'; low $i; low $((~i)); cat raw; number $((b << 16 | a)); } | chunk IDAT
    printf '' | chunk IEND
}
