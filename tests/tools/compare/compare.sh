#!/bin/bash
# SPDX-License-Identifier: MIT
# Cases of `batchnorm compare`: compare.sh CASE COMMAND... runs the function case_CASE in a directory of its own. The data set
# is a small made-up one: 48 training images and 48 test images in which a class is a stripe's place.
# Long because a signal, or a gnuplot that hangs, may come at any moment of a run.
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
    local names="convergence, gradients, sweep, best, sigmoid, layer or ranks"
    refuses 2 "--only: 'layers' in 'sweep,layers' is not $names" --only sweep,layers
    refuses 2 "--only: '' is not $names" --only ''
    refuses 2 "--seeds: '0' is not a whole number from 1 to 100" --seeds 0
    refuses 2 "--batch: '1' is not a whole number from 2 to 4096" --batch 1
    refuses 2 "--limit: '1' is not a whole number from 2 to 2147483647" --limit 1
    refuses 2 "--threads: 'x' is not a whole number from 1 to 1024" --threads x
    refuses 2 "--lr: '-1' is not a number above 0" --lr -1
    refuses 2 "--lr: is 0 or infinite as a float" --lr 1e-320
    refuses 2 "--lr: is 0 or infinite as a float" --lr 1e39
    refuses 2 "--momentum: '1' is not a number from 0 to below 1" --momentum 1
    refuses 2 "--momentum: is 1 as a float, and must be below" --momentum 0.99999999999
    "${command[@]}" compare --activation identity >out.log 2>err.log && fail "the identity is an activation"
    grep -qE "^batchnorm compare: --activation: 'identity' is not relu, .* or tanh$" err.log || fail "$(cat err.log)"
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

# All but seconds, and the run.
numbers() { grep -v ,seconds "$1/metrics.csv" | sed 's/,[^,]*$//'; }

# one_run DIRECTORY: its files are of the same run, whose name is printed.
one_run() {
    local run
    run=$(sed -n '2s/.*,//p' "$1/metrics.csv")
    [[ $run =~ ^[0-9]{8}T[0-9]{6}Z-[0-9]+-data-48-48-mlp-relu-lr0.05-momentum0.9-batch16$ ]] || fail "run: $run"
    [ "$(sed '1d; s/.*,//' "$1/metrics.csv" | sort -u)" = "$run" ] || fail "metrics.csv is of several runs"
    [ "$(grep -o "<code>$run</code>" "$1/report.html" | wc -l)" = 2 ] || fail "report.html is of another run"
    [ -n "${BATCHNORM_TEST_NO_JSON:-}" ] ||
        grep -q "^ \"run\": \"$run\",$" "$1/metrics.json" || fail "metrics.json is of another run"
    echo "$run"
}

# Every experiment leaves the rows that it should, and everything is judged. The same seed gives the same numbers, but for
# seconds.
case_everything() {
    needs_backend
    needs gnuplot
    make_data
    silently compare --out a --seeds 2
    tail -2 out.log | head -1 | grep -qx '[0-9]* s\. Report: a/report.html' || fail "$(cat out.log)"
    tail -1 out.log | grep -q '^Numbers: a/metrics.csv' || fail "$(cat out.log)"
    [ "$(grep -c 'holds$\|does not hold$\|mixed ([0-9] of 2)$\|too short to tell$' out.log)" = 19 ] || fail "$(cat out.log)"
    [ "$(head -1 a/metrics.csv)" = experiment,norm,at,seed,step,layer,name,value,run ] || fail "$(head -1 a/metrics.csv)"
    # 8 rates, 2 sides and 2 seeds; 10 targets
    [ "$(grep -c '^sweep,.*,final_accuracy,' a/metrics.csv)" = 32 ] || fail "sweep"
    [ "$(grep -c '^convergence,.*,steps_to,' a/metrics.csv)" = 40 ] || fail "convergence"
    # 3 steps; 3 weights
    [ "$(grep -c '^gradients,.*\.weight,gradient_norm,' a/metrics.csv)" = 36 ] || fail "gradients"
    [ "$(grep -c '^best,.*,best_loss,' a/metrics.csv)" = 4 ] || fail "best"
    [ "$(grep -c '^sigmoid,with,,1,5,fc[12],saturated,' a/metrics.csv)" = 2 ] || fail "sigmoid"
    # tests with the statistics of the test batches: as many as others, and only with batch norm
    [ "$(grep -c '^convergence,with,.*,batch_accuracy,' a/metrics.csv)" = "$(grep -c '^convergence,with,.*,test_accuracy,' \
        a/metrics.csv)" ] || fail "batch statistics"
    ! grep -q ',without,.*,batch_accuracy,' a/metrics.csv || fail "batch statistics without batch norm"
    one_run a >/dev/null
    # 256 + 128 channels; batches of 1 to 32 of 48 images
    [ "$(grep -c '^layer,.*,after_std,' a/metrics.csv)" = 768 ] || fail "channels"
    [ "$(grep -c '^layer,.*,eval_loss,' a/metrics.csv)" = 12 ] || fail "batches"
    [ "$(grep -c '^layer,with,1,.*,frozen_layers,2' a/metrics.csv)" = 2 ] || fail "batch size 1"
    # ranks of 2, 4 and 8 of 16 images; synchronized and without
    [ "$(grep -c '^ranks,with,[248],.*,local_accuracy,' a/metrics.csv)" = 6 ] || fail "ranks"
    [ "$(grep -c '^ranks,.*,final_accuracy,' a/metrics.csv)" = 4 ] || fail "synchronized"
    silently compare --out b --seeds 2
    diff <(numbers a) <(numbers b) || fail "another run has other numbers"
}

# No line is wider than COLUMNS, or than 100 in a pipe; 40 is the least.
case_the_table_fits() {
    needs_backend
    make_data
    local columns pair most
    for pair in 1:40 70:70 99:99 300:100 x:100; do
        columns=${pair%:*} most=${pair#*:}
        COLUMNS=$columns runs compare --out o --only convergence,best,sigmoid,layer
        awk -v most=$most 'length > most { print FNR ": " $0; wide = 1 } END { exit wide }' out.log >wide.log ||
            fail "COLUMNS=$columns: $(cat wide.log)"
        grep -q 'holds$\|does not hold$' out.log || fail "COLUMNS=$columns: $(cat out.log)"
    done
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
settings = whole["settings"]
expected = {"data": "data", "train_images": 48, "test_images": 48, "model": "mlp", "activation": "relu", "optimizer": "sgd",
            "lr": 0.05, "momentum": 0.9, "batch": 16, "seeds": 1, "threads": 1, "full": False,
            "steps": {"convergence": 9, "sweep": 3}}
assert whole["complete"] and settings == expected, settings
assert {row["run"] for row in rows} == {whole["run"]}
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
    grep -q '^convergence,without,.*,test_loss,\(nan\|inf\),' batchnorm-compare/metrics.csv || fail "it did not diverge"
    grep -q 'diverged' batchnorm-compare/report.html || fail "the report does not say so"
}

# begins ARGUMENT...: in the background, so that signals come through; $job. The numbers of the first experiment are there.
begins() {
    local waited=0
    set -m # the shell lets background jobs ignore Ctrl-C otherwise
    "${command[@]}" compare --data data --model mlp --batch 16 --threads 1 "$@" >out.log 2>err.log &
    job=$!
    set +m
    until grep -q '^convergence,with,' batchnorm-compare/metrics.csv 2>/dev/null; do
        sleep 0.1
        waited=$((waited + 1))
        [ $waited -lt 1000 ] || fail "nothing was saved"
        kill -0 $job 2>kill.log || fail "it ended: $(cat err.log)"
    done
}

# ends SIGNAL: it comes, to the whole group as from a terminal, and $job ends by it.
ends() {
    local got=0
    kill -"$1" -- -"$job"
    wait "$job" || got=$?
    [ "$got" = $((128 + $(kill -l "$1"))) ] || fail "status $got ($(cat err.log))"
}

# Signals, as soon as the first experiment is saved: what was done is saved, and the command ends by the signal.
case_interrupted() {
    needs_backend
    make_data
    local signal
    for signal in INT TERM HUP; do
        rm -rf batchnorm-compare
        begins --full --limit 48 --seeds 20
        ends $signal
        grep -q '^Stopped before the end: the report says what is missing\.$' out.log || fail "$(cat out.log)"
        grep -q '^convergence,with,,20,' batchnorm-compare/metrics.csv || fail "convergence is not complete"
        ! grep -q '^layer,' batchnorm-compare/metrics.csv || fail "it was not stopped"
        cd batchnorm-compare
        grep -q 'This run was stopped before its end' report.html || fail "the report does not say so"
        grep -q 'Not measured: the run was stopped before' report.html || fail "the report does not say what is missing"
        grep -q 'data-figure="convergence-curves"' report.html || fail "what was done is not shown"
        cd ..
        [ -z "$(find . -name '.batchnorm*')" ] || fail "a temporary file is left"
    done
}

# What nohup ignores stays ignored.
case_nohup() {
    needs_backend
    make_data
    (
        trap '' HUP
        "${command[@]}" compare --data data --model mlp --batch 16 --threads 1 --only convergence --seeds 3 >out.log 2>err.log &
        job=$!
        sleep 0.2
        kill -HUP $job || true
        wait $job
    ) || fail "status $? ($(cat err.log))"
    one_run batchnorm-compare >/dev/null
}

# Nothing can be done against kill -9 but to leave files that belong together, also where those of an earlier run were: the page
# is written with the numbers, after every experiment.
case_killed_between() {
    needs_backend
    make_data
    runs compare --only convergence
    local before after waited=0
    before=$(one_run batchnorm-compare)
    rm batchnorm-compare/metrics.csv
    begins --seeds 20
    while grep -qF "$before" batchnorm-compare/report.html; do # the last of the three
        sleep 0.1
        waited=$((waited + 1))
        [ $waited -lt 100 ] || fail "report.html stays"
    done
    kill -KILL -- -"$job"
    wait "$job" 2>kill.log || true
    after=$(one_run batchnorm-compare)
    [ "$before" != "$after" ] || fail "two runs have one name"
    grep -q 'This run was stopped before its end' batchnorm-compare/report.html || fail "the report does not say so"
    needs_json
    grep -q '"complete": false' batchnorm-compare/metrics.json || fail "metrics.json does not say so"
}

# The line of the report that repeats the run, given to a shell; from a page, where <, &, > and " are spelt out.
case_the_command_repeats_it() {
    needs_backend
    needs python3
    make_data
    local odd=$'it\'s "a" $HOME\n`b` & <c>\\'
    mkdir "$odd"
    mv data "$odd/data"
    runs "${command[@]}" compare --data "$odd/data" --out "$odd/out" --model mlp --batch 16 --threads 1 --seeds 1 --limit 40 \
        --activation tanh --momentum 0.123456789 --lr 0.03 --only convergence,layer
    grep -qF "Report: ${odd/$'\n'/?}/out/report.html" out.log || fail "the name begins a line: $(cat out.log)"
    cp -r "$odd/out" first
    python3 - "$odd/out/report.html" >line <<'END'
import html, re, sys
page = open(sys.argv[1]).read()
sys.stdout.write(html.unescape(re.search(r'<code class="command">(.*?)</code>', page, re.S).group(1)))
END
    {
        printf 'batchnorm() {'
        printf " '%s'" "${command[@]}"
        printf ' "$@"; }\n'
        cat line
    } >script
    rm -r "$odd/out"
    sh -c "$(cat script)" >out.log 2>err.log || fail "$(cat line err.log)"
    diff <(numbers first) <(numbers "$odd/out") || fail "it gives other numbers: $(cat line)"
}

# The settings of a tutorial: sigmoids, plain gradient descent, a learning rate of 1.
case_settings_change_the_numbers() {
    needs_backend
    make_data
    runs compare --only convergence --out a
    runs compare --only convergence --out b --activation sigmoid --lr 1 --momentum 0
    runs compare --only convergence --out c --momentum 0
    ! diff <(numbers b) <(numbers a) >diff.log || fail "the same numbers"
    ! diff <(numbers c) <(numbers a) >diff.log || fail "momentum changes nothing"
    grep -q '<dd>sgd, learning rate 1, momentum 0, batches of 16,' b/report.html || fail "the report has other settings"
    grep -q '<dd>mlp, sigmoid; batch norm' b/report.html || fail "the report has another activation"
    grep -q 'statistics of the test batches' b/report.html || fail "no test with batch statistics"
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

# hanging CONDITION: a gnuplot that leaves its process id in `gnuplots` and waits for ever where CONDITION holds.
hanging() {
    mkdir -p bin
    printf '#!/bin/sh\nif %s; then echo $$ >>%q; sleep 3600 & echo $! >>%q; wait; fi\n' \
        "$1" "$PWD/gnuplots" "$PWD/gnuplots" >bin/gnuplot
    chmod +x bin/gnuplot
    : >gnuplots
}
waits_for_gnuplot() {
    local waited=0
    until [ "$(wc -l <gnuplots)" -ge 2 ]; do
        sleep 0.05
        waited=$((waited + 1))
        [ $waited -lt 2000 ] || fail "no gnuplot was started: $(cat err.log)"
    done
}
gnuplots_are_gone() {
    local process
    [ -s gnuplots ] || fail "there was none"
    sleep 0.1
    while read -r process; do
        # a zombie waits for whoever became its parent
        case $(sed 's/.*) //' "/proc/$process/stat" 2>kill.log) in
        '' | Z*) ;;
        *) fail "gnuplot still runs" ;;
        esac
    done <gnuplots
}

# It costs ten seconds and the figures.
case_a_gnuplot_that_hangs() {
    needs_backend
    make_data
    hanging true
    PATH=$PWD/bin:$PATH runs compare --only sweep
    [ "$(head -1 err.log)" = "batchnorm compare: gnuplot took more than 10 s, and was ended" ] || fail "it says: $(cat err.log)"
    one_run batchnorm-compare >/dev/null
    gnuplots_are_gone
}

# Before anything was measured: there is nothing to save.
case_interrupted_while_gnuplot_hangs_at_the_start() {
    needs_backend
    make_data
    hanging true
    set -m
    PATH=$PWD/bin:$PATH "${command[@]}" compare --data data --model mlp --only sweep >out.log 2>err.log &
    job=$!
    set +m
    waits_for_gnuplot
    ends INT
    gnuplots_are_gone
}

# While it draws, everything is saved; the drawing is given up.
case_interrupted_while_gnuplot_hangs_at_the_end() {
    needs_backend
    make_data
    hanging '[ -n "$(cat)" ]'
    set -m
    PATH=$PWD/bin:$PATH "${command[@]}" compare --data data --model mlp --batch 16 --threads 1 --seeds 1 --only sweep \
        >out.log 2>err.log &
    job=$!
    set +m
    waits_for_gnuplot
    ends TERM
    gnuplots_are_gone
    one_run batchnorm-compare >/dev/null
    grep -q 'figures have their data only' batchnorm-compare/report.html || fail "the report does not say so"
    grep -q '^batchnorm compare: gnuplot was ended by the signal$' err.log || fail "$(cat err.log)"
    ! grep -q 'was stopped before its end' batchnorm-compare/report.html || fail "everything was measured"
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

# Ranks are simulated: of processes that an mpirun starts, one works.
case_one_of_several_processes_works() {
    needs_backend
    make_data
    OMPI_COMM_WORLD_SIZE=3 OMPI_COMM_WORLD_RANK=2 silently compare --only ranks
    [ ! -e batchnorm-compare ] && [ ! -s out.log ] || fail "the third process works"
    OMPI_COMM_WORLD_SIZE=3 OMPI_COMM_WORLD_RANK=0 runs compare --only ranks
    grep -q '^batchnorm compare: started as 3 processes, of which the first does it all: ' err.log || fail "$(cat err.log)"
    [ "$(grep -c '^ranks,' batchnorm-compare/metrics.csv)" = 14 ] || fail "$(cat batchnorm-compare/metrics.csv)"
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
