#!/bin/bash
# SPDX-License-Identifier: MIT
# Cases of `batchnorm bench`: bench.sh CASE COMMAND... runs the function case_CASE in a directory of its own. Nothing here
# depends on how long anything takes. Long because every option, format and refusal is a case.
. "$(dirname "$0")/../cases.sh"

bench() { "${command[@]}" bench --seconds 0.01 "$@"; }

# shows ARGUMENT...: what it prints, with every number as N.
shows() {
    silently bench "$@"
    sed -E 's/(^|[^a-z0-9])[0-9]+(\.[0-9]*)?(e[-+]?[0-9]+)?/\1N/g' out.log
}

case_wrong_usage() {
    local sizes="N,C or N,C,L or N,C,H,W or N,C,D,H,W, each 1 or more"
    refuses 2 "--shape: '7' is not $sizes" --shape 7
    refuses 2 "--shape: '1,2,3,4,5,6' is not $sizes" --shape 1,2,3,4,5,6
    refuses 2 "--shape: '2,0' is not $sizes" --shape 2,0
    refuses 2 "--shape: '2,,3' is not $sizes" --shape 2,,3
    refuses 2 "--shape: '2,3,' is not $sizes" --shape 2,3,
    refuses 2 "--shape: '2 3' is not $sizes" --shape '2 3'
    refuses 2 "--shape: '2147483647,2147483647,9' does not fit the address space" --shape 2147483647,2147483647,9
    refuses 2 "--shape: '1x5' has one value per channel; train needs 2 or more" --shape 2,2 --shape 1,5
    refuses 2 "--dtype: 'i64' in 'f32,i64' is not f32, f64, bf16 or f16" --dtype f32,i64
    refuses 2 "--layout: 'ncwh' is not nchw, nhwc or both" --layout ncwh
    refuses 2 "--op: 'test' in 'train,test' is not train, eval, backward, stats or all" --op train,test
    refuses 2 "--op: '' is not train, eval, backward, stats or all" --op ''
    ! bench --act gelu >out.log 2>err.log || fail "an activation that there is not"
    grep -qE "^batchnorm bench: --act: 'gelu' is not identity, relu, .*, none, leaky or clipped$" err.log ||
        fail "$(cat err.log)"
    refuses 2 "--act: stats has none; choose another --op too" --act relu --op stats
    refuses 2 "--residual: stats has none; choose another --op too" --residual --op stats
    refuses 2 "--threads: '0' is not a whole number from 1 to 1024, or several with commas" --threads 0
    refuses 2 "--threads: '1,x' is not a whole number from 1 to 1024, or several with commas" --threads 1,x
    refuses 2 "--seconds: '0' is not a number above 0, at most 3600" --seconds 0
    refuses 2 "--seconds: 'inf' is not a number above 0, at most 3600" --seconds inf
    refuses 2 "--json and --csv exclude each other" --json --csv
    refuses 2 "--tune prints lines of its own: it excludes --json, --csv, --svg and --explain" --tune --json
    refuses 2 "--explain and --csv exclude each other" --explain --csv
    refuses 2 "--explain and --svg exclude each other: nothing is timed that could be drawn" --explain --svg x.svg
    refuses 2 "'x.npy' is not an option; bench takes no files" x.npy
    refuses 2 "unrecognized option '--nothing'" --nothing
}

case_help() {
    bench --help >out.log
    grep -q '^Usage: batchnorm bench \[OPTION' out.log || fail "$(cat out.log)"
    grep -q 'Without options it takes about a minute' <(tr '\n' ' ' <out.log) || fail "$(cat out.log)"
}

case_without_openmp_there_is_one_thread() {
    [ -n "${BATCHNORM_TEST_NO_OPENMP:-}" ] || exit 77
    refuses 2 "--threads: '2' needs OpenMP, which this build is without; it has one thread" --threads 2
    shows --shape 2,3 --op eval >/dev/null
    grep -q '; one thread, without OpenMP$' out.log || fail "$(cat out.log)"
}

# More than any machine has, but not more than an address can say.
case_too_large_a_shape_is_refused_at_once() {
    local got=0
    needs_64_bits
    bench --shape 2,3 --shape 1000000,1000,1000 --op eval >out.log 2>err.log || got=$?
    [ $got = 1 ] || fail "status $got"
    grep -qE '^batchnorm bench: 1000000x1000x1000 nchw f32 eval, [0-9]+ threads?: needs 8000\.0 GB of memory, and [0-9.]+ '\
'GB are free; give smaller sizes with --shape$' err.log || fail "$(cat err.log)"
    [ ! -s out.log ] || fail "$(cat out.log)"
}

# The elements fit, what there is for each channel does not.
case_channels_that_do_not_fit_are_refused() {
    needs_32_bits
    refuses 1 "1x80000000 nc f32 eval, 1 thread: the arrays do not fit the address space" \
        --shape 1,80000000 --op eval --threads 1
}

# Columns of the rows of a table: shape, layout, type, operation, threads.
rows() { sed -n 's/^\([0-9x]*\)  *\(n[a-z]*\)  *\([a-z0-9]*\)  *\([a-z]*\)  *\([0-9]*\)  .*/\1 \2 \3 \4 \5/p' out.log; }

case_table() {
    shows --shape 2,3,4 --shape 5x6 --threads 1 >text.log
    [ "$(rows)" = "2x3x4 nchw f32 train 1
2x3x4 nchw f32 eval 1
2x3x4 nchw f32 backward 1
2x3x4 nchw f32 stats 1
2x3x4 nhwc f32 train 1
2x3x4 nhwc f32 eval 1
2x3x4 nhwc f32 backward 1
2x3x4 nhwc f32 stats 1
5x6 nc f32 train 1
5x6 nc f32 eval 1
5x6 nc f32 backward 1
5x6 nc f32 stats 1" ] || fail "$(cat out.log)"
    grep -qE '^batchnorm N\.N, (avx512|avx2|neon|generic); (gcc|clang) .*; (OpenMP|one thread, without OpenMP)$' text.log ||
        fail "$(cat text.log)"
    grep -qE ', N processors?; (LN|caches unknown)' text.log || fail "$(cat text.log)"
    [ "$(tail -1 text.log)" = "geometric mean of the shares: train N, eval N, backward N, stats N" ] || fail "$(cat text.log)"
    ! grep -qE '\b(nan|inf)\b' out.log || fail "$(cat out.log)"
}

# In a pipe 100 columns, less where COLUMNS says less; columns that have no room are named.
case_the_table_fits() {
    local pair columns most
    for pair in 1:56 56:56 72:72 80:80 100:100 300:100; do
        columns=${pair%:*} most=${pair#*:}
        COLUMNS=$columns silently bench --shape 2,3,4,5 --shape 128,64,2,2 --threads 1
        awk -v most=$most 'length > most { print FNR ": " $0; wide = 1 } END { exit wide }' out.log >wide.log ||
            fail "COLUMNS=$columns: $(cat wide.log)"
        grep -q '^2x3x4x5  .* backward .*[0-9.]' out.log || fail "$(cat out.log)"
        [ "$(grep -c '^without room here: ' out.log)" = $((most < 100)) ] || fail "COLUMNS=$columns: $(cat out.log)"
    done
    # the widest cells, with the longest shape that leaves them room
    silently bench --shape 1234,2,1,1,1 --op eval --threads 1
    grep -q '^shape  *layout  type  op  *threads  *ms  *GB/s  copy GB/s  share  copy$' out.log || fail "$(cat out.log)"
    grep -q '^share: the time of the copy' out.log || fail "$(cat out.log)"
    grep -q '^copy: the fastest one' out.log || fail "$(cat out.log)"
    COLUMNS=80 silently bench --shape 1234,2,1,1,1 --op eval --threads 1
    grep -qx 'without room here: copy GB/s, copy' out.log || fail "$(cat out.log)"
    ! grep -q '^copy: ' out.log || fail "it explains what it does not show"
}

case_options_choose_the_cases() {
    shows --shape 2,3,4 --threads 1 --op stats --layout nhwc --dtype f64,f16 --dtype bf16 >/dev/null
    [ "$(rows)" = "2x3x4 nhwc f64 stats 1
2x3x4 nhwc bf16 stats 1
2x3x4 nhwc f16 stats 1" ] || fail "$(cat out.log)"
    shows --shape 2,3 --threads 1 --op backward --layout nhwc --op eval >/dev/null
    [ "$(rows)" = "2x3 nc f32 eval 1
2x3 nc f32 backward 1" ] || fail "$(cat out.log)"
}

case_the_default_shapes_are_those_of_a_resnet() {
    # nothing is run: the largest of them does not fit
    needs_limit
    local got=0
    ( ulimit -v 200000; bench --op backward ) >out.log 2>err.log || got=$?
    [ $got = 1 ] || fail "status $got: $(cat err.log)"
    grep -qE '^batchnorm bench: 32x256x56x56 nhwc f32 backward, [0-9]+ threads?: there are no 0.3 GB of memory; ' \
        err.log || fail "$(cat err.log)"
}

case_threads() {
    needs_openmp
    shows --shape 2,3 --threads 1,3 --op eval --threads 2 >/dev/null
    [ "$(rows)" = "2x3 nc f32 eval 1
2x3 nc f32 eval 3
2x3 nc f32 eval 2" ] || fail "$(cat out.log)"
    # enough work for threads, and enough bytes for calls that are timed one by one
    shows --shape 2,64,128,256 --threads 2 --op eval --layout nchw >/dev/null
    [ "$(rows)" = "2x64x128x256 nchw f32 eval 2" ] || fail "$(cat out.log)"
}

# waits [NAME=VALUE]: the policy, the spins and the milliseconds of spinning that the OpenMP at work has, where only this is in
# its environment.
waits() {
    local names=(OMP_WAIT_POLICY GOMP_SPINCOUNT KMP_BLOCKTIME KMP_LIBRARY)
    env "${names[@]/#/--unset=}" OMP_DISPLAY_ENV=verbose "$@" "${command[@]}" bench --seconds 0.01 --shape 2,64,64,64 \
        --op eval --layout nchw --threads 2 >out.log 2>err.log || fail "$(cat err.log)"
    tac err.log | sed '/ENVIRONMENT BEGIN/q' | sed -nE "s/.*(WAIT_POLICY|SPINCOUNT|BLOCKTIME) ?= ?'(.*)'/\1=\2/p" |
        sort | tr '\n' ' '
}

needs_to_begin_anew() {
    needs_openmp
    [ ${#command[@]} = 1 ] || { echo "skipped: what an emulator runs is not begun anew"; exit 77; }
}

case_threads_soon_sleep_while_they_wait() {
    needs_to_begin_anew
    case $(waits) in
    "SPINCOUNT=1000 WAIT_POLICY=PASSIVE " | "BLOCKTIME=0 WAIT_POLICY=PASSIVE ") ;;
    *) fail "$(cat err.log)" ;;
    esac
    # who says otherwise wins
    [[ $(waits OMP_WAIT_POLICY=active) = *"WAIT_POLICY=ACTIVE "* ]] || fail "$(cat err.log)"
    case $(waits GOMP_SPINCOUNT=7) in SPINCOUNT=7\ * | BLOCKTIME=200\ *) ;; *) fail "$(cat err.log)" ;; esac
    case $(waits KMP_BLOCKTIME=7) in BLOCKTIME=7\ * | SPINCOUNT=300000\ *) ;; *) fail "$(cat err.log)" ;; esac
}

# The arguments, the name and the way it ends stay.
case_beginning_anew_changes_nothing_else() {
    needs_to_begin_anew
    unset OMP_WAIT_POLICY GOMP_SPINCOUNT KMP_BLOCKTIME KMP_LIBRARY
    refuses 2 "--shape: '' is not N,C or N,C,L or N,C,H,W or N,C,D,H,W, each 1 or more" --shape ''
    ( exec -a other "${command[@]}" bench --seconds 0.01 --shape 2,3 ) >out.log 2>err.log || fail "$(cat err.log)"
    ( PATH=$(dirname "${command[0]}"):$PATH; exec "${command[@]##*/}" --version ) >out.log || fail "by PATH"
    grep -qx 'batchnorm [0-9.]*' out.log || fail "$(cat out.log)"
}

case_json() {
    shows --json --shape 2,3,4 --op train,stats --layout nhwc --threads 1 >text.log
    sed -E 's/"(cpu|compiler)": "[^"]*"/"\1": S/g; s/"isa": "[a-z0-9]*"/"isa": S/; s/"version": "N.N"/"version": S/
        s/(true|false)/B/; s/"processors": "[N,-]*"/"processors": S/g
        s/\[(, )?(\{"level": N, "bytes": N, "processors": S\}(, )?)*\]/[]/' text.log >lines.log
    [ "$(head -1 lines.log)" = '{"version": S, "isa": S, "compiler": S, "cpu": S, "processors": N, "openmp": B, '\
'"copy_vector_bytes": N, "caches": []}' ] || fail "$(cat lines.log)"
    local numbers='"threads": N, "bytes": N, "ms": N, "gb_per_s": N, "share": N,' act='"act": "none", "residual": B,'
    local copy='"copy_threads": N, "copy_ms": N, "copy_gb_per_s": N, "rounds": N}'
    [ "$(sed -n 2,3p lines.log | sed 's/non-temporal/normal/')" = '{"shape": [N, N, N], "layout": "nhwc", "dtype": "f32", '\
"\"op\": \"train\", $act $numbers \"copy\": \"normal\", $copy
{\"shape\": [N, N, N], \"layout\": \"nhwc\", \"dtype\": \"f32\", \"op\": \"stats\", $act $numbers \"copy\": \"reading\", \
$copy" ] || fail "$(cat lines.log)"
    [ "$(wc -l <lines.log)" = 3 ] || fail "$(cat lines.log)"
    if command -v jq >/dev/null; then jq -e . <out.log >/dev/null || fail "jq: $(cat out.log)"; fi
}

case_csv() {
    shows --csv --shape 2,3,4 --op train,stats --layout nchw --threads 1 >/dev/null
    [ "$(head -1 out.log)" = "shape,layout,dtype,op,act,residual,threads,bytes,ms,gb_per_s,share,copy,copy_threads,copy_ms,\
copy_gb_per_s,rounds,version,isa,compiler,cpu,processors,openmp,copy_vector_bytes,caches" ] || fail "$(cat out.log)"
    [ "$(wc -l <out.log)" = 3 ] || fail "$(cat out.log)"
    local number='[0-9.e+-]+' text='"[^"]*"'
    local tail=",$number,$number,$number,$number,(normal|non-temporal|reading),1,$number,$number,[0-9]+"
    tail+=",$number,[a-z0-9]+,$text,$text,[0-9]+,[01],(16|32|64),$text"
    sed -n 2p out.log | grep -qE "^2x3x4,nchw,f32,train,none,0,1$tail$" || fail "$(cat out.log)"
    sed -n 3p out.log | grep -qE "^2x3x4,nchw,f32,stats,none,0,1$tail$" || fail "$(cat out.log)"
    # x and y are 24 numbers of 4 bytes each; stats reads x alone
    [ "$(cut -d, -f8 out.log | tr '\n' ' ')" = "bytes 192 96 " ] || fail "$(cat out.log)"
}

# The best row is one that can be set; candidates that change nothing are not timed.
case_tune() {
    silently bench --tune --shape 8,16,9,9 --shape 2,3,50,50 --op train,eval --layout both --threads 1 --seconds 0.001
    grep -Eq '^in use: [a-z0-9_]+ item=[0-9]+ .* fetch_blend=[0-9]+$' out.log || fail "no row in use"
    grep -Eq '^(best|nothing that was tried is better than): [a-z0-9_]+[+]? item=[0-9]+ .* fetch_blend=[0-9]+$' out.log ||
        fail "no best row"
    grep -Eq '^block +8 +[1-9][0-9]* cases  [0-9.]+ of the time \([0-9.]+ to [0-9.]+\)(, taken)?$' out.log ||
        fail "no candidate was timed"
    ! grep -q '^llc_most ' out.log || fail "what changes nothing was timed"
}

case_explain() {
    local text line
    silently bench --explain --shape 8,16,9,9 --op train,stats --layout both --threads 1
    text=$(cat out.log)
    [ "$(grep -c '^8x16x9x9 .*, 1 thread$' <<<"$text")" = 4 ] || fail "$text"
    for line in 'limits: [a-z0-9_]+' 'l2_bytes: [0-9]+' 'llc_bytes: [0-9]+' 'threads: 1' 'by_blocks: yes' 'by_blocks: no' \
        'sweep.0.verb: moments' 'sweep.1.verb: affine' 'sweep.0.layout: rows' 'sweep.1.stream: no'; do
        grep -qE "^    $line$" <<<"$text" || fail "no $line in: $text"
    done
    silently bench --explain --json --shape 8,16,9,9 --shape 64,64 --op all
    python3 -c '
import json
rows = [json.loads(line) for line in open("out.log")]
assert len(rows) == 12, len(rows)
assert all(row["limits"] and row["l2_bytes"] > 0 and row["sweep.0.pieces"] > 0 for row in rows), rows
assert {row["sweep.0.layout"] for row in rows} == {"planes", "rows"}, rows
' || fail "$(cat out.log)"
}

case_activation_and_residual() {
    shows --csv --shape 2,3,4 --layout nchw --threads 1 --act relu --residual >/dev/null
    # reads x and z, writes y; reads x, dy and z, writes dx and dz; stats has neither
    [ "$(cut -d, -f4-6,8 out.log | tr '\n' ' ')" = "op,act,residual,bytes train,relu,1,288 eval,relu,1,288 backward,relu,1,480 \
stats,none,0,96 " ] || fail "$(cat out.log)"
    for act in leaky clipped none; do
        shows --csv --shape 2,3,4 --layout nhwc --threads 1 --act $act --op train,backward >/dev/null
        [ "$(cut -d, -f4-6,8 out.log | tail -2 | tr '\n' ' ')" = "train,$act,0,192 backward,$act,0,288 " ] ||
            fail "$(cat out.log)"
    done
    shows --csv --shape 2,3 --threads 1 --op eval --act leaky_relu >/dev/null
    [ "$(cut -d, -f4-5 out.log | tail -1)" = "eval,leaky" ] || fail "$(cat out.log)"
    shows --csv --shape 2,3,4 --layout nhwc --threads 1 --residual --op backward >/dev/null
    [ "$(cut -d, -f4-6,8 out.log | tail -1)" = "backward,none,1,384" ] || fail "$(cat out.log)"
    shows --shape 2,3 --act leaky --residual >/dev/null
    grep -qx 'train, eval and backward with activation leaky and a residual' out.log || fail "$(cat out.log)"
}

is_picture() { grep -q '^<svg' "$1" && grep -v '^$' "$1" | tail -1 | grep -qx '</svg>' || fail "$1 is no picture"; }

case_svg() {
    needs gnuplot
    shows --shape 2,3,4 --shape 5,6 --threads 1 --svg 'a picture; $(touch no) `touch no`.svg' >/dev/null
    [ "$(ls -A)" = 'a picture; $(touch no) `touch no`.svg
err.log
out.log' ] || fail "files: $(ls -A)"
    mv 'a picture; $(touch no) `touch no`.svg' a.svg
    is_picture a.svg
    for text in train eval backward stats nchw nhwc 2x3x4 5x6 copy; do
        grep -q "<text>$text</text>" a.svg || fail "a.svg lacks $text"
    done
}

# A chart with more bars than colours, and with all that can differ.
case_svg_of_many_bars() {
    needs gnuplot
    needs_openmp
    shows --shape 2,3,4 --threads 1,2,3 --dtype f32,f64 --op eval,stats --csv --svg b.svg >/dev/null
    [ "$(wc -l <out.log)" = 25 ] || fail "$(cat out.log)"
    is_picture b.svg
}

case_without_gnuplot_it_says_so() {
    command -v "${command[0]}" >/dev/null
    command[0]=$(command -v "${command[0]}")
    PATH=/nowhere refuses_without_path 1 "gnuplot was not found (Debian: gnuplot-nox)"
}
refuses_without_path() {
    local got=0
    "${command[@]}" bench --shape 2,3 --svg x.svg >out.log 2>err.log || got=$?
    PATH=/usr/bin:/bin
    [ $got = "$1" ] || fail "status $got"
    [ "$(cat err.log)" = "batchnorm bench: $2" ] || fail "$(cat err.log)"
    [ ! -s out.log ] && [ ! -e x.svg ] || fail "something was made"
}

# interrupted SIGNAL ARGUMENT...: it comes when the first case is shown, and the command ends by it.
interrupted() {
    local signal=$1 waited=0 got=0 job
    shift
    : >out.log # not that of the run before
    set -m # the shell lets background jobs ignore Ctrl-C otherwise
    "${command[@]}" bench --threads 1 --shape 2,3 "$@" >out.log 2>err.log &
    job=$!
    set +m
    until grep -q '2x3.*eval' out.log; do
        sleep 0.05
        waited=$((waited + 1))
        [ $waited -lt 1000 ] || fail "nothing was shown: $(cat err.log)"
    done
    kill -"$signal" -- -$job
    wait $job || got=$?
    [ $got = $((128 + $(kill -l "$signal"))) ] || fail "status $got ($(cat err.log))"
    says 'stopped; 1 of 2 cases are done'
}

# What is done is shown, and the picture is of that.
case_interrupted() {
    for signal in INT TERM HUP; do
        interrupted $signal --seconds 2 --op eval,stats
        grep -q '^geometric mean of the shares: eval [0-9.]*$' out.log || fail "$(cat out.log)"
    done
    interrupted INT --seconds 2 --op eval,stats --csv
    [ "$(wc -l <out.log)" = 2 ] || fail "$(cat out.log)"
    needs gnuplot
    interrupted INT --seconds 2 --op eval,stats --svg a.svg
    is_picture a.svg
    ! grep -q '<text>stats</text>' a.svg || fail "it shows what was not measured"
}

# A gnuplot that fails leaves no file, and the command does not wait for it or die of it.
case_a_failing_gnuplot_is_a_failure() {
    mkdir bin
    printf '#!/bin/sh\n[ -e ready ] || { touch ready; exit 0; }\nexit 3\n' >bin/gnuplot
    chmod +x bin/gnuplot
    local got=0
    PATH=$PWD/bin:$PATH bench --shape 2,3 --svg x.svg >out.log 2>err.log || got=$?
    [ $got = 1 ] || fail "status $got"
    [ "$(cat err.log)" = "batchnorm bench: gnuplot failed, with status 3" ] || fail "$(cat err.log)"
    printf '#!/bin/sh\nexit 0\n' >bin/gnuplot
    got=0
    PATH=$PWD/bin:$PATH bench --shape 2,3 --svg x.svg >out.log 2>err.log || got=$?
    [ $got = 1 ] && [ "$(cat err.log)" = "batchnorm bench: gnuplot drew nothing" ] || fail "status $got: $(cat err.log)"
    [ "$(ls -A | tr '\n' ' ')" = "bin err.log out.log ready " ] || fail "files: $(ls -A)"
}

case_a_full_disk() {
    local got=0
    bench --shape 2,3 >/dev/full 2>err.log || got=$?
    [ $got = 1 ] || fail "status $got"
    [ "$(cat err.log)" = 'batchnorm bench: standard output cannot be written' ] || fail "$(cat err.log)"
    refuses 1 "absent/x.svg: no file can be created there: No such file or directory" --svg absent/x.svg
    refuses 1 ".: is a directory" --svg .
    needs gnuplot
    echo old >x.svg
    got=0
    ( ulimit -f 4; bench --shape 2,3 --svg x.svg >out.log 2>err.log ) || got=$?
    [ $got = 1 ] || fail "status $got"
    [ "$(cat err.log)" = 'batchnorm bench: x.svg: cannot be written: File too large' ] || fail "$(cat err.log)"
    [ "$(cat x.svg)" = old ] && [ "$(ls -A | tr '\n' ' ')" = "err.log out.log x.svg " ] || fail "files: $(ls -A)"
}

run_case
