#!/bin/bash
# SPDX-License-Identifier: MIT
# Cases of `batchnorm compare`: compare.sh CASE COMMAND... runs the function case_CASE in a directory of its own. The data set
# is a small made-up one: 48 training images and 48 test images in which a class is a stripe's place.
. "$(dirname "$0")/../cases.sh"

# The smallest network, one thread, one seed: a second or two.
compare() { "${command[@]}" compare --data data --model mlp --batch 16 --threads 1 --seeds 1 "$@"; }

images() {
    images_head "$1" 28
    for ((i = 0; i < $1; i++)); do
        head -c $((56 * (i % 10))) /dev/zero
        yes "~k~U$i" | head -c 84
        head -c $((784 - 84 - 56 * (i % 10))) /dev/zero
    done
}

make_data() {
    mkdir -p data
    images 48 >data/train-images-idx3-ubyte
    labels 48 >data/train-labels-idx1-ubyte
    cp data/train-images-idx3-ubyte data/t10k-images-idx3-ubyte
    cp data/train-labels-idx1-ubyte data/t10k-labels-idx1-ubyte
}

case_wrong_usage() {
    local names="convergence, gradients, sweep, best, sigmoid or layer"
    refuses 2 "--only: 'layers' in 'sweep,layers' is not $names" --only sweep,layers
    refuses 2 "--only: '' is not $names" --only ''
    refuses 2 "--seeds: '0' is not a whole number from 1 to 100" --seeds 0
    refuses 2 "--batch: '1' is not a whole number from 2 to 4096" --batch 1
    refuses 2 "--limit: '1' is not a whole number from 2 to 2147483647" --limit 1
    refuses 2 "--threads: 'x' is not a whole number from 1 to 1024" --threads x
    refuses 2 "--lr: '-1' is not a number above 0" --lr -1
    refuses 2 "--model: 'vgg' is not mlp, cnn or resnet" --model vgg
    refuses 2 "--depth: '9' is not 8, 14 or 20" --model resnet --depth 9
    refuses 2 "--depth: only a resnet has one; give --model resnet too" --depth 8
    refuses 2 "--quick and --full exclude each other" --quick --full
    refuses 2 "--out needs the name of a directory" --out ''
    refuses 2 "'report.html' is not an option; compare takes no files" report.html
}

case_places_that_cannot_be_written() {
    needs_backend
    make_data
    echo old >file
    refuses 1 "file: is not a directory; give another one with --out" --out file
    refuses 1 "nowhere/out: cannot be created: No such file or directory" --out nowhere/out
    mkdir -p out/metrics.csv
    refuses 1 "out/metrics.csv: is a directory" --out out
    [ "$(ls out)" = metrics.csv ] || fail "out has: $(ls out)"
}

# Every experiment leaves the rows that it should, and everything is judged. The same seed gives the same numbers, but for
# seconds.
case_everything() {
    needs_backend
    needs gnuplot
    make_data
    silently compare --out a --seeds 2
    tail -1 out.log | grep -q '^[0-9]* s\. Report: a/report.html, numbers: a/metrics.csv' || fail "$(cat out.log)"
    [ "$(grep -c 'holds$\|does not hold$\|mixed ([0-9] of 2)$' out.log)" = 16 ] || fail "$(cat out.log)"
    [ "$(head -1 a/metrics.csv)" = experiment,norm,at,seed,step,layer,name,value ] || fail "$(head -1 a/metrics.csv)"
    # 8 rates, 2 sides and 2 seeds; 10 targets
    [ "$(grep -c '^sweep,.*,final_accuracy,' a/metrics.csv)" = 32 ] || fail "sweep"
    [ "$(grep -c '^convergence,.*,steps_to,' a/metrics.csv)" = 40 ] || fail "convergence"
    # 3 steps; 3 weights
    [ "$(grep -c '^gradients,.*\.weight,gradient_norm,' a/metrics.csv)" = 36 ] || fail "gradients"
    [ "$(grep -c '^best,.*,best_loss,' a/metrics.csv)" = 4 ] || fail "best"
    [ "$(grep -c '^sigmoid,with,,1,5,fc[12],saturated,' a/metrics.csv)" = 2 ] || fail "sigmoid"
    # 256 + 128 channels; batches of 1 to 32 of 48 images
    [ "$(grep -c '^layer,.*,after_std,' a/metrics.csv)" = 768 ] || fail "channels"
    [ "$(grep -c '^layer,.*,eval_loss,' a/metrics.csv)" = 12 ] || fail "batches"
    [ "$(grep -c '^layer,with,1,.*,frozen_layers,2' a/metrics.csv)" = 2 ] || fail "batch size 1"
    silently compare --out b --seeds 2
    diff <(grep -v ,seconds a/metrics.csv) <(grep -v ,seconds b/metrics.csv) || fail "another run has other numbers"
}

# What --json prints and what the file says are the same claims.
case_json() {
    needs_backend
    needs_json
    needs python3
    make_data
    runs compare --only convergence,sweep --json
    python3 - <<'END' || fail "$(cat out.log)"
import csv, json
printed = [json.loads(line) for line in open("out.log")]
whole = json.load(open("batchnorm-compare/metrics.json"))
rows = list(csv.DictReader(open("batchnorm-compare/metrics.csv")))
assert printed == whole["claims"] and len(printed) == 4, printed
assert whole["complete"] and whole["settings"]["model"] == "mlp" and whole["settings"]["train_images"] == 48, whole["settings"]
assert whole["seeds_done"] == {"convergence": 1, "sweep": 1}
assert len(rows) == len(whole["rows"]) > 100
for a, b in zip(rows, whole["rows"]):
    value = float(a["value"])
    finite = value == value and abs(value) != float("inf")
    assert b["value"] == value if finite else b["value"] is None, (a, b)
    assert (a["experiment"], a["norm"], a["layer"], a["name"]) == (b["experiment"], b["norm"], b["layer"], b["name"])
END
}

# A rate at which training diverges at once: nothing is a number, and the report says so.
case_a_diverging_run_is_reported() {
    needs_backend
    make_data
    runs compare --only convergence --lr 1e30
    grep -q '^convergence,without,.*,test_loss,\(nan\|inf\)$' batchnorm-compare/metrics.csv || fail "it did not diverge"
    grep -q 'diverged' batchnorm-compare/report.html || fail "the report does not say so"
}

# Ctrl-C, as soon as the first experiment is saved: a success, with what was done. A second one is not needed.
case_interrupted() {
    needs_backend
    make_data
    # the shell lets background jobs ignore it otherwise
    set -m
    "${command[@]}" compare --data data --model mlp --batch 16 --threads 1 --full --limit 48 --seeds 20 >out.log 2>err.log &
    local job=$! got=0 waited=0
    until [ -s batchnorm-compare/metrics.csv ]; do
        sleep 0.1
        waited=$((waited + 1))
        [ $waited -lt 1000 ] || fail "nothing was saved"
        kill -0 $job 2>kill.log || fail "it ended: $(cat err.log)"
    done
    kill -INT -- -$job # as a terminal does: the whole group
    wait $job || got=$?
    [ $got = 0 ] || fail "status $got ($(cat err.log))"
    grep -q '^Stopped before the end: the report says what is missing\.$' out.log || fail "$(cat out.log)"
    cd batchnorm-compare
    grep -q '^convergence,with,,20,' metrics.csv || fail "convergence is not complete"
    grep -q '^layer,' metrics.csv && fail "it was not stopped"
    grep -q 'This run was stopped before its end' report.html || fail "the report does not say so"
    grep -q 'Not measured: the run was stopped before' report.html || fail "the report does not say what is missing"
    grep -q 'data-figure="convergence-curves"' report.html || fail "what was done is not shown"
}

# A gnuplot that fails when it has something to draw, and a name that is no UTF-8, cost nothing else.
case_drawing_fails() {
    needs_backend
    make_data
    mkdir bin
    printf '#!/bin/sh\n[ -z "$(cat)" ]\n' >bin/gnuplot
    chmod +x bin/gnuplot
    mv data $'d\xe4ta'
    PATH=$PWD/bin:$PATH runs compare --only sweep --data $'d\xe4ta'
    [ "$(tail -1 err.log)" = "batchnorm compare: the report has the numbers of its figures only" ] ||
        fail "it says: $(cat err.log)"
    grep -q '^sweep,with,' batchnorm-compare/metrics.csv || fail "there are no numbers"
    grep -q '<figure' batchnorm-compare/report.html || fail "there is no report"
    needs_json
    grep -q '"data": "d?ta"' batchnorm-compare/metrics.json || fail "$(head -20 batchnorm-compare/metrics.json)"
}

# Without gnuplot a report has numbers instead of pictures.
case_no_gnuplot() {
    needs_backend
    make_data
    PATH=/nowhere runs compare --only sweep
    [ "$(cat err.log)" = "batchnorm compare: gnuplot was not found (Debian: gnuplot-nox)
batchnorm compare: the report will have the numbers of its figures only" ] || fail "it says: $(cat err.log)"
    grep -q '<details open>' batchnorm-compare/report.html || fail "the numbers are not shown"
}

# The report in a browser, on a phone and on a desk: no error, nothing loaded, every figure with its picture and its numbers.
case_report_in_a_browser() {
    needs_backend
    needs gnuplot
    needs chromium
    needs python3
    make_data
    runs compare --out out --seeds 2
    python3 "$here/report_check.py" out/report.html out/metrics.csv || fail "see above"
}

run_case
