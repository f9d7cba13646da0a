#!/bin/bash
# SPDX-License-Identifier: MIT
# Cases of `batchnorm train`: train.sh CASE COMMAND... runs the function case_CASE in a directory of its own. The data set is a
# small made-up one: 24 training images and 12 test images of stripes. Long because it is a list of cases.
. "$(dirname "$0")/../cases.sh"

train() { "${command[@]}" train --data data "$@"; }

# images COUNT SIDE: the text is only something that is not constant.
images() { images_head "$1" "$2"; yes "0 9 aZ~" | head -c $(($1 * $2 * $2)); }

make_data() {
    mkdir -p data
    images 24 28 >data/train-images-idx3-ubyte
    labels 24 >data/train-labels-idx1-ubyte
    images 12 28 | gzip >data/t10k-images-idx3-ubyte.gz
    labels 12 >data/t10k-labels-idx1-ubyte
}

# unwrapped FILE: a line that begins with two spaces and a word goes on from the one before.
unwrapped() { sed -z 's/\n  \([^ ]\)/ \1/g' "$1"; }

# shows ARGUMENT...: what it prints, with every number as N.
shows() {
    silently train --threads 2 "$@"
    unwrapped out.log | sed -E 's/oneDNN [0-9.]+|CBLAS/BACKEND/; s/ *[0-9]+(\.[0-9]+)?/ N/g'
}

case_wrong_usage() {
    refuses 2 "batch norm needs a --batch of at least 2" --batch 1
    refuses 2 "--batch: '4097' is not a whole number from 1 to 4096" --batch 4097
    refuses 2 "--lr: '0' is not a number above 0" --lr 0
    refuses 2 "--lr: 'nan' is not a number above 0" --lr nan
    "${command[@]}" train --activation gelu >out.log 2>err.log && fail "an activation that there is not"
    grep -qE "^batchnorm train: --activation: 'gelu' is not relu, .* or tanh$" err.log || fail "$(cat err.log)"
    refuses 2 "--model: 'vgg' is not mlp, cnn or resnet" --model vgg
    refuses 2 "--depth: '9' is not 8, 14 or 20" --model resnet --depth 9
    refuses 2 "--norm: 'x' is not none, before or after" --norm x
    refuses 2 "--frozen is about batch norm; there is none" --frozen --no-bn
    refuses 2 "--optimizer: 'x' is not sgd, nesterov, adam or adamw" --optimizer x
    refuses 2 "--momentum: '1' is not a number from 0 to below 1" --momentum 1
    refuses 2 "nesterov needs a --momentum above 0" --optimizer nesterov --momentum 0
    refuses 2 "--weight-decay: '-1' is not a number from 0 on" --weight-decay -1
    refuses 2 "--schedule: 'x' is not constant, step or cosine" --schedule x
    refuses 2 "--step-factor: '2' is not a number above 0, at most 1" --step-factor 2
    refuses 2 "--step-every: '0' is not a whole number from 1 to 1000000" --step-every 0
    refuses 2 "--warmup must be less than --epochs, 3" --warmup 3 --epochs 3
    refuses 2 "--limit: '1' is not a whole number from 2 to 2147483647" --limit 1
    refuses 2 "--threads: '0' is not a whole number from 1 to 1024" --threads 0
    refuses 2 "--epochs: '0x3' is not a whole number from 1 to 1000000" --epochs 0x3
    refuses 2 "--seed: '-1' is not a whole number from 0 to 9223372036854775807" --seed -1
    refuses 2 "'data' is not an option; train takes no files" data
}

case_no_backend() {
    [ -n "${BATCHNORM_TEST_NO_BACKEND:-}" ] || exit 77
    local install="install oneDNN (Debian: libdnnl-dev) or a CBLAS (libopenblas-dev) and build again"
    refuses 1 "built without a convolution library; $install"
}

case_broken_data() {
    needs_backend
    local looked_for="IDX files (train-images-idx3-ubyte or the same with .gz), "
    looked_for+="CIFAR's binary files (data_batch_1.bin or train.bin) and "
    looked_for+="folders of PNG or JPEG files, one for each class"
    refuses 1 "data: No such file or directory; it must be a data set"
    mkdir data
    refuses 1 "data: no data set is recognized here; looked for $looked_for"
    make_data
    labels 23 >data/train-labels-idx1-ubyte
    refuses 1 "data/train-labels-idx1-ubyte: 23 labels for 24 images"
    make_data
    printf '\12' | dd of=data/t10k-labels-idx1-ubyte bs=1 seek=11 conv=notrunc 2>dd.log
    refuses 1 "data/t10k-labels-idx1-ubyte: the label of image 3 is 10; the training labels are 0 to 9"
    make_data
    images 24 27 >data/train-images-idx3-ubyte
    local sizes="test images are 28 x 28 x 1 (height, width, channels); the training images are 27 x 27 x 1"
    refuses 1 "data/t10k-images-idx3-ubyte.gz: $sizes"
    make_data
    truncate -s -1 data/train-images-idx3-ubyte
    refuses 1 "data/train-images-idx3-ubyte: the file ends before the data its header announces"
    make_data
    truncate -s -9 data/t10k-images-idx3-ubyte.gz
    refuses 1 "data/t10k-images-idx3-ubyte.gz: the compressed data ends too early"
}

case_table() {
    needs_backend
    make_data
    local rest="sgd (momentum N), learning rate N, batch N, seed N; N training and N test images of N x N; BACKEND, N threads
epoch  training loss  test loss  test accuracy  seconds
 N N N N % N"
    [ "$(shows --epochs 2 --batch 8)" = "cnn, batch norm (momentum N) before relu, $rest
 N N N N % N" ] || fail "$(cat out.log)"
    [ "$(shows --epochs 1 --no-bn --activation sigmoid --limit 5 --batch 5)" = "cnn, no batch norm, sigmoid, $rest" ] ||
        fail "$(cat out.log)"
    unwrapped out.log | grep -q '; 5 training and 12 test images of 28 x 28;' || fail "$(cat out.log)"
}

# Nothing is wider than the terminal; elsewhere no line has more than 100 columns.
case_width() {
    needs_backend
    needs_terminal
    make_data
    local width
    for width in 40 54 55 80 200; do
        printf 'exec' >run
        printf ' %q' "${command[@]}" train --data data --epochs 1 --batch 8 --profile --per-class >>run
        COLUMNS=$width script -qec "bash run" /dev/null >out.log </dev/null || fail "$(cat out.log)"
        sed -i 's/\r$//; s/.*\r//; s/\x1b\[K//g' out.log # the progress, which is gone
        [ "$(awk '{ if (length > n) n = length } END { print n }' out.log)" -le $width ] || fail "$width: $(cat out.log)"
        grep -q '^epoch' out.log || fail "$(cat out.log)"
    done
    [ "$(head -c 20 out.log)" = "cnn, batch norm (mom" ] || fail "$(cat out.log)"
    runs train --epochs 1 --batch 8
    [ "$(awk '{ if (length > n) n = length } END { print n }' out.log)" -le 100 ] || fail "$(cat out.log)"
    grep -q 'seed 1;$' out.log || fail "$(cat out.log)"
}

case_json() {
    needs_backend
    make_data
    local line='{"epoch": N, "loss": N, "test_loss": N, "accuracy": N, "seconds": N, "test_seconds": N}'
    [ "$(shows --epochs 2 --json | sed 's/: N/:N/g; s/:N/: N/g')" = "$line
$line" ] || fail "$(cat out.log)"
}

# describes TEXT ARGUMENT...: one epoch of it runs, and the first line begins with this.
describes() {
    local text=$1
    shift
    runs train --threads 2 --epochs 2 --batch 8 "$@"
    case $(unwrapped out.log | head -1) in
    "$text;"*) ;;
    *) fail "$(cat out.log)" ;;
    esac
    [ "$(grep -c %$ <(unwrapped out.log | sed 's/ *[0-9.]*$//'))" = 2 ] || fail "$(cat out.log)"
}

case_choices() {
    needs_backend
    make_data
    describes "mlp, batch norm (momentum 0.1) after tanh, adam, weight decay 0.01, learning rate 0.001, batch 8, seed 1" \
        --model mlp --norm after --activation tanh --optimizer adam --weight-decay 0.01
    local text="cnn, frozen batch norm before relu, nesterov (momentum 0.5), learning rate 0.5 (cosine), warmup 1, "
    describes "${text}batch 8, seed 7, shift 2, flip" --frozen \
        --optimizer nesterov --lr 0.5 --momentum 0.5 --schedule cosine --warmup 1 --seed 7 --shift 2 --flip
    text="resnet of depth 14, batch norm (momentum 0.1) before sigmoid, sgd (momentum 0.9), weight decay 0.1 "
    text+="(norm layers, too), learning rate 0.05 (step: times 0.5 every epoch), "
    describes "${text}batch 8, seed 1" --weight-decay 0.1 \
        --model resnet --depth 14 --activation sigmoid --schedule step --step-every 1 --step-factor 0.5 --decay-norm
    describes "resnet of depth 8, batch norm (momentum 0.1) before relu, adamw, learning rate 0.001, batch 1, seed 1" \
        --model resnet --batch 1 --limit 3 --optimizer adamw
    refuses 1 "--shift is 28; it must be below the height and the width of the images, 28 x 28" --shift 28
}

# The memory of both ways is told at the end; with leaky_relu it is less, and what is learnt is nearly the same.
case_memory() {
    needs_backend
    make_data
    local plain less
    local text="resnet of depth 8, batch norm (momentum 0.1) before leaky_relu, less memory, sgd (momentum 0.9), "
    describes "${text}learning rate 0.05, batch 8, seed 1" --model resnet --activation leaky_relu --memory less
    grep -qE '^Values and gradients of the layers: [0-9]+\.[0-9] MB \([0-9]+\.[0-9] MB with --memory plain\)\.$' out.log ||
        fail "$(cat out.log)"
    runs train --model resnet --activation leaky_relu --memory less --epochs 1 --batch 8 --json
    less=$(sed -n 's/^{"memory_bytes": \([0-9]*\), .*/\1/p' out.log)
    plain=$(sed -n 's/.*"plain_memory_bytes": \([0-9]*\)}$/\1/p' out.log)
    [ "$less" -lt "$plain" ] || fail "$(cat out.log)"
    runs train --model resnet --activation relu --memory less --epochs 1 --batch 8 --json
    less=$(sed -n 's/^{"memory_bytes": \([0-9]*\), .*/\1/p' out.log)
    plain=$(sed -n 's/.*"plain_memory_bytes": \([0-9]*\)}$/\1/p' out.log)
    [ "$less" = "$plain" ] || fail "$(cat out.log)"
    runs train --epochs 1 --batch 8
    grep -q Values out.log && fail "told without being asked: $(cat out.log)"
    refuses 2 "--memory: 'x' is not plain or less" --memory x
}

# The options reach the training: each of them changes the numbers.
case_choices_matter() {
    needs_backend
    make_data
    local option seen=" "
    local options=("" --frozen "--norm after" "--optimizer nesterov" "--optimizer adam" "--momentum 0.5" "--weight-decay 0.5"
        "--weight-decay 0.5 --decay-norm" "--schedule cosine" "--schedule step --step-every 1" "--warmup 1" "--shift 3" --flip)
    for option in "${options[@]}"; do
        shows --json --epochs 2 --batch 8 $option >/dev/null
        option=$(sed -n '2s/.*"test_loss": \([^,]*\).*/\1/p' out.log)
        case $seen in *" $option "*) fail "$option comes twice: $seen" ;; esac
        seen+="$option "
    done
}

needs_checkpoints() {
    needs_backend
    needs_safetensors
    make_data
}

# Everything that can differ in what a checkpoint must hold.
small=(--model resnet --batch 5 --optimizer nesterov --schedule cosine --weight-decay 0.01 --flip --shift 2 --threads 1)

# How many rows the table of the last command has.
epochs() { cat out.log 2>/dev/null | grep -c '%' || true; }

# go ARGUMENT...: it runs, and what it prints is of no interest.
go() { runs train "$@"; }

case_resume_gives_the_same_bits() {
    needs_checkpoints
    go "${small[@]}" --epochs 3 --save whole
    go "${small[@]}" --epochs 3 --save part --save-every 1
    cmp whole part || fail "saving more often changes it"
    go "${small[@]}" --epochs 2 --schedule constant --save two
    go --resume two --save two --epochs 3 --threads 1
    [ "$(cut -c-5 out.log | tail -1)" = "    3" ] || fail "$(cat out.log)"
    go "${small[@]}" --epochs 3 --schedule constant --save three
    cmp two three || fail "a finished training that goes on is another one"
    cp three again
    go --resume again --save again --threads 1
    cmp again three || fail "nothing was left to do"
    says "again has gone through all 3 epochs; more --epochs go on from there"
    [ "$(unwrapped out.log | wc -l)" = 2 ] || fail "$(cat out.log)"
}

case_adam_goes_on_too() {
    needs_checkpoints
    local adam=(--model mlp --norm after --activation tanh --optimizer adamw --weight-decay 0.1 --batch 6 --threads 1)
    go "${adam[@]}" --epochs 3 --save whole
    go "${adam[@]}" --epochs 1 --save part
    go --resume part --save part --epochs 3 --threads 1
    cmp whole part || fail "other bits"
}

# Steps in another number of threads may round differently; the same number of them never does.
case_as_many_threads_give_the_same_bits() {
    needs_checkpoints
    local run threads
    for threads in 2 3; do
        for run in a b; do go "${small[@]}" --threads $threads --model cnn --epochs 4 --save $run; done
        cmp a b || fail "other bits with $threads threads"
        rm a b
    done
}

# What cannot be written is known before the training, and a file is there from its first moment.
case_saving_begins_at_once() {
    needs_checkpoints
    local got=0
    train "${small[@]}" --save no/part >out.log 2>err.log || got=$?
    [ $got = 1 ] || fail "status $got"
    says "no/part: no file can be created there: No such file or directory"
    [ ! -s out.log ] || fail "it begins before: $(cat out.log)"
    mkdir directory
    refuses 1 "directory: is a directory" "${small[@]}" --save directory
}

# A save that fails in the middle is told and tried again; the exit status is that of the last.
case_a_save_that_fails_is_tried_again() {
    needs_checkpoints
    local pid status
    for last in good bad; do
        mkdir here
        "${command[@]}" train --data data "${small[@]}" --epochs 200 --save here/part >out.log 2>err.log &
        pid=$!
        until [ "$(epochs)" -ge 2 ]; do sleep 0.01; done
        mv here there
        until grep -q 'no file can be created there' err.log; do sleep 0.01; done
        [ $last = bad ] || mv there here
        status=0
        wait $pid || status=$?
        [ "$(epochs)" = 200 ] || fail "it ends early: $(tail -2 out.log) $(cat err.log)"
        grep -q '; training goes on, and the next time it is tried again$' err.log || fail "$(cat err.log)"
        if [ $last = good ]; then
            [ $status = 0 ] || fail "status $status: $(cat err.log)"
            go --resume here/part --epochs 201 --save here/part
            rm -r here
        else
            [ $status = 1 ] || fail "status $status: $(cat err.log)"
        fi
    done
}

# Nothing that was learnt is lost: without --save, --resume goes on in the same file.
case_resume_saves_to_its_own_file() {
    needs_checkpoints
    go "${small[@]}" --schedule constant --epochs 3 --save whole
    go "${small[@]}" --schedule constant --epochs 1 --save part
    cp part first
    go --resume part --epochs 2 --threads 1
    go --resume part --epochs 3 --threads 1
    [ "$(unwrapped out.log | sed -n '3,$p' | awk '{ print $1 }')" = 3 ] || fail "it begins again: $(cat out.log)"
    cmp part whole || fail "other bits"
    go --resume first --epochs 3 --save other --threads 1
    cmp other whole || fail "other bits"
}

# A signal ends the step, the checkpoint is written, and the rest comes to the same.
case_a_signal_saves() {
    needs_checkpoints
    go "${small[@]}" --epochs 80 --save whole
    local signal pid status
    for signal in INT TERM HUP; do
        rm -f part out.log
        env --default-signal "${command[@]}" train --data data "${small[@]}" --epochs 80 --save part >out.log 2>err.log &
        pid=$!
        until [ "$(epochs)" -ge 2 ]; do sleep 0.01; done
        kill -$signal $pid
        status=0
        wait $pid || status=$?
        [ $status = $((128 + $(kill -l $signal))) ] || fail "status $status after SIG$signal"
        grep -q '^batchnorm train: stopped after [0-9]* steps; go on with --resume part$' err.log || fail "$(cat err.log)"
        [ -z "$(find . -name '.batchnorm*')" ] || fail "a temporary file is left"
        go --resume part --save part --threads 1
        cmp whole part || fail "other bits after SIG$signal"
    done
}

# Ctrl-C after two epochs.
train_until_interrupted() {
    local pid status=0
    env --default-signal "${command[@]}" train --data data "${small[@]}" --epochs 100000 "$@" >out.log 2>err.log &
    pid=$!
    until [ "$(epochs)" -ge 2 ]; do sleep 0.01; done
    kill -INT $pid
    wait $pid || status=$?
    [ $status = 130 ] || fail "status $status"
}

# Without a checkpoint, and with that of the best epoch, there is nothing to save.
case_a_signal_without_saving() {
    needs_checkpoints
    train_until_interrupted
    grep -q '^batchnorm train: stopped after [0-9]* steps; nothing was to be saved$' err.log || fail "$(cat err.log)"
    rm out.log # or its rows would count as those of the next
    train_until_interrupted --keep-best --save part
    grep -q '; go on from the best epoch with --resume part$' err.log || fail "$(cat err.log)"
    grep -aq '"at.done":"0"' part || fail "it is no whole epoch"
}

# Killed fifty times: every other time at any moment after its start, and else after its first checkpoint, so that there is
# progress however slow the machine is. There is never anything but a whole checkpoint.
case_killed_fifty_times() {
    needs_checkpoints
    local kills pid before writing=0 from=(--epochs 100000 "${small[@]}" --schedule constant)
    for ((kills = 0; kills < 50; kills++)); do
        before=$(stat -c %i-%Y part 2>/dev/null) || before=none
        [ $before = none ] || from=(--resume part)
        "${command[@]}" train --data data "${from[@]}" --save part --save-every 1 --threads 1 >out.log 2>err.log &
        pid=$!
        if ((kills % 2 == 0)); then
            until [ -e part ] && [ "$(stat -c %i-%Y part)" != $before ]; do
                kill -0 $pid 2>/dev/null || fail "it ended by itself: $(cat err.log)"
                sleep 0.005
            done
        fi
        sleep 0.$((RANDOM % 5))$((RANDOM % 10))
        kill -9 $pid 2>/dev/null || fail "it ended by itself: $(cat err.log)"
        wait $pid 2>/dev/null || true
        [ -z "$(find . -name '.batchnorm-*')" ] || writing=$((writing + 1))
    done
    echo "$writing of $kills kills came while a checkpoint was being written"
    # To the end of the epoch that it is in, and the same without a kill.
    local epochs=$(($(tr ',' '\n' <part | sed -n 's/.*"at.epoch":"\([0-9]*\)".*/\1/p') + 1))
    [ $epochs -gt 5 ] || fail "only $epochs epochs in $kills starts"
    go --resume part --save part --epochs $epochs --threads 1
    go "${small[@]}" --schedule constant --epochs $epochs --save whole
    cmp part whole || fail "other bits after $kills kills and $epochs epochs"
    rm -r data part whole out.log err.log
    [ -z "$(ls -A)" ] || fail "it leaves $(ls -A)"
}

case_what_a_checkpoint_refuses() {
    needs_checkpoints
    go "${small[@]}" --epochs 1 --save part
    go "${small[@]}" --epochs 2 --warmup 1 --save two
    go "${small[@]}" --epochs 3 --warmup 2 --save three
    sed 's/"at.epoch":"3"/"at.epoch":"1"/' three >one
    refuses 2 "--warmup must be less than --epochs, 2" --resume one --epochs 2
    refuses 2 "--lr is 0.1, but part was made with 0.05; leave it out to go on" --resume part --lr 0.1
    refuses 2 "--optimizer is sgd, but part was made with nesterov; leave it out to go on" --resume part --optimizer sgd
    refuses 2 "--model is cnn, but part was made with resnet; leave it out to go on" --resume part --model cnn
    refuses 2 "--save-every needs --save" --save-every 3
    refuses 2 "--epochs is 1, but two has gone through 2 already" --resume two --epochs 1
    refuses 2 "--warmup is 3, but two was made with 1; leave it out to go on" --resume two --epochs 4 --warmup 3
    refuses 2 "--batch is 1, but two was made with 5; leave it out to go on" --resume two --batch 1
    refuses 1 "nothing: cannot be opened: No such file or directory" --resume nothing
    refuses 1 "data/train-labels-idx1-ubyte: the header's size is 1729382256927571968; at most 100000000 is allowed" \
        --resume data/train-labels-idx1-ubyte
    head -c 3000 part >short
    train --resume short >out.log 2>err.log && fail "half a file is taken"
    grep -q '^batchnorm train: short: ' err.log || fail "$(cat err.log)"
    images 23 28 >data/train-images-idx3-ubyte
    labels 23 >data/train-labels-idx1-ubyte
    refuses 1 "part: trained on 24 images; the data has 23" --resume part
    images 24 20 >data/train-images-idx3-ubyte
    labels 24 >data/train-labels-idx1-ubyte
    images 12 20 | gzip >data/t10k-images-idx3-ubyte.gz
    refuses 1 "part: trained on images of 28 x 28 x 1; the data has 20 x 20 x 1" --resume part
    make_data
    images 24 28 | tr 9 8 >data/train-images-idx3-ubyte
    refuses 1 "part: trained on other images than the data has, or in another order" --resume part
    make_data
    { labels 24 | head -c 8; labels 24 | tail -c +9 | head -c 22; printf "\3\2"; } >data/train-labels-idx1-ubyte # was 2, 3
    refuses 1 "part: trained on other images than the data has, or in another order" --resume part
}

# A training that diverged ends at once, and what was good stays.
case_a_diverged_training_ends() {
    needs_backend
    make_data
    local status=0
    train --epochs 30 --batch 8 --no-bn --lr 1e30 --json >out.log 2>err.log || status=$?
    [ $status = 1 ] || fail "status $status"
    [ ! -s out.log ] || fail "$(cat out.log)"
    grep -Eq '^batchnorm train: the training diverged: .* step [0-9]+ .*finite; a lower --lr may help$' err.log ||
        fail "$(cat err.log)"
    needs_safetensors
    go --epochs 1 --batch 8 --no-bn --lr 1e-30 --save good --threads 1
    cp good part
    sed 's/"lr":"1e-30"/"lr":"1e+30"/' good >wild # it goes on at another rate
    cp wild before
    status=0
    train --resume wild --epochs 40 --threads 1 >out.log 2>err.log || status=$?
    [ $status = 1 ] || fail "status $status"
    grep -q '; wild is as it was after step 3$' err.log || fail "$(cat err.log)"
    cmp wild before || fail "it was overwritten"
    status=0
    train --resume wild --epochs 40 --threads 1 --save-every 1 >out.log 2>err.log || status=$?
    [ $status = 1 ] || fail "status $status"
    runs "${command[@]}" predict --checkpoint wild --data data
    ! grep -q nan out.log || fail "$(cat out.log)"
}

# The same command goes on, whatever was not given or is more than there is.
case_the_same_command_goes_on() {
    needs_checkpoints
    local same=(--model mlp --batch 128 --schedule step --optimizer adam --threads 1 --save part)
    go "${same[@]}" --epochs 1
    unwrapped out.log | grep -q ', batch 24 (not 128, as there are no more images), seed 1; ' || fail "$(cat out.log)"
    go "${same[@]}" --epochs 2 --resume part
    go "${same[@]}" --epochs 2 --resume part --batch 24
    go "${same[@]}" --epochs 2 --resume part --batch 4096
    refuses 2 "--batch is 23, but part was made with 128; leave it out to go on" --resume part --batch 23
    sed 's/"batch":"128"/"batch":"24" /' part >older # as it was written once
    go "${same[@]}" --epochs 3 --resume older --save more
}

# One image has no variance.
case_one_image() {
    needs_backend
    make_data
    images 1 28 >data/train-images-idx3-ubyte
    printf '\0\0\10\1\0\0\0\1\11' >data/train-labels-idx1-ubyte
    refuses 1 "data: there is 1 training image, and batch norm needs 2 in a step, whose mean and variance it takes"
    refuses 1 "data: there is 1 training image, and batch norm needs 2 in a step, whose mean and variance it takes" --model mlp
    runs train --epochs 1 --no-bn
    runs train --epochs 1 --frozen
    runs train --epochs 1 --model resnet # 49 values of a channel
    images 24 4 >data/train-images-idx3-ubyte
    labels 24 >data/train-labels-idx1-ubyte
    images 12 4 | gzip >data/t10k-images-idx3-ubyte.gz
    refuses 1 "batch norm needs a --batch of at least 2 where images are 4 x 4" --model resnet --batch 1
    runs train --epochs 1 --model resnet --batch 2
    runs train --epochs 1 --model resnet --batch 23 # one is left over
}

# Nothing is replaced by a slip.
case_a_file_is_not_replaced() {
    needs_checkpoints
    local small=("${small[@]}" --schedule constant)
    go "${small[@]}" --epochs 1 --save part
    rm -r data # it is known before
    refuses 1 "part: there is a checkpoint already; --resume part goes on from it, and --force replaces it" --save part
    ln -s part link
    refuses 1 "link: there is a checkpoint already; --resume link goes on from it, and --force replaces it" --save link
    echo "a letter" >letter
    refuses 1 "letter: there is a file already, and no checkpoint; --force replaces it" --save letter
    refuses 2 "--force is about --save; there is none" --force
    cp part other
    refuses 1 "other: there is a checkpoint already; --resume other goes on from it, and --force replaces it" \
        --resume part --save other
    make_data
    sed 's/"at.step":"5"/"at.step":"0"/; s/"at.optimizer-steps":"5"/"at.optimizer-steps":"0"/' part >begun # nothing is lost
    go "${small[@]}" --epochs 1 --save begun
    cmp begun part || fail "other bits"
    >empty
    go "${small[@]}" --epochs 1 --save empty # of mktemp
    cmp empty part || fail "other bits"
    go "${small[@]}" --epochs 2 --save letter --force
    go --resume part --save link --epochs 2 --threads 1 # the same file
    cmp part letter || fail "other bits"
}

# The checkpoint is that of the best epoch, also when training goes on.
case_keep_best() {
    needs_checkpoints
    local best accuracy flags=(--model mlp --batch 8 --threads 1 --keep-best --lr 0.3 --save part)
    refuses 2 "--keep-best needs --save" --keep-best
    refuses 2 "--keep-best goes without --save-every, since only whole epochs are tested" "${flags[@]}" --save-every 2
    images 12 28 | tr ' 0' '0 ' | gzip >data/t10k-images-idx3-ubyte.gz
    go "${flags[@]}" --epochs 12 --json
    sed -n 's/.*"epoch": \([0-9]*\),.*"accuracy": \([0-9.]*\),.*/\1 \2/p' out.log | sort -s -k2,2nr >sorted
    read -r best accuracy <sorted
    [ "$(tail -1 out.log)" = "{\"best_epoch\": $best, \"accuracy\": $accuracy, \"checkpoint\": \"part\"}" ] ||
        fail "$(cat out.log)"
    grep -aq "\"at.epoch\":\"$best\"" part || fail "epoch $best: $(head -c 1500 part)"
    go "${flags[@]}" --epochs $best --json --save plain
    cmp <(sed 's/"epochs":"[0-9]*"//' part | tail -c 100000) <(sed 's/"epochs":"[0-9]*"//' plain | tail -c 100000) ||
        fail "it is not the network of that epoch"
    cp part before
    go --resume part --threads 1 --keep-best --epochs 12
    tail -1 out.log | grep -q "^part is the network after epoch [0-9]*, with a test accuracy of [0-9.]* %\.$" ||
        fail "$(cat out.log)"
}

case_per_class() {
    needs_backend
    make_data
    runs train --epochs 1 --batch 8 --per-class
    [ "$(sed '1,/^$/d' out.log | awk '{ print $1, $2 }')" = "class images
0 2
1 2
2 1
3 1
4 1
5 1
6 1
7 1
8 1
9 1" ] || fail "$(cat out.log)"
    runs train --epochs 1 --batch 8 --per-class --json
    [ "$(grep -c '^{"class": "[0-9]", "images": [12], "correct": [012], "accuracy": [01]\.[05]000}$' out.log)" = 10 ] ||
        fail "$(cat out.log)"
    # together they are the accuracy
    awk -F'[:,}]' '/"class"/ { all += $4; right += $6 } /"epoch"/ { accuracy = $8 }
        END { exit !(all == 12 && right / all - accuracy < 0.0001 && accuracy - right / all < 0.0001) }' out.log ||
        fail "$(cat out.log)"
}

case_profile() {
    needs_backend
    make_data
    shows --epochs 1 --profile >/dev/null
    [ "$(unwrapped out.log | sed '1,4d; s/  .*//' | tr '\n' ' ')" = "layer conv1 bn1 conv2 bn2 fc1 bn3 fc2 the rest " ] ||
        fail "$(cat out.log)"
    # The layers take no longer than all, whatever else they are asked at the end; here they do little but test.
    images 2000 28 | gzip >data/t10k-images-idx3-ubyte.gz
    labels 2000 >data/t10k-labels-idx1-ubyte
    runs train --epochs 1 --limit 2 --profile --per-class --json
    ! grep '"seconds": -' out.log || fail "a part takes less than nothing"
    runs train --epochs 1 --batch 8 --save s --save-every 1 --profile --json
    ! grep '"seconds": -' out.log || fail "a part takes less than nothing, with saving"
}

# Another kind of data is found by what is there. A record has a label and 32 x 32 x 3 bytes.
case_cifar() {
    needs_backend
    local name i
    mkdir data
    for name in data_batch_{1..5} test_batch; do
        for i in 1 2 3; do printf "\\x0$i"; yes "0 9 aZ~" | head -c 3072; done >data/$name.bin
    done
    shows --epochs 1 >/dev/null
    unwrapped out.log | grep -q '; 15 training and 3 test images of 32 x 32;' || fail "$(cat out.log)"
    truncate -s -1 data/data_batch_3.bin
    refuses 1 "data/data_batch_3.bin: 9218 bytes; it must be images of 3073 bytes each, so the last one is cut off"
}

# A folder for each class, as people have them.
make_folders() {
    local i
    mkdir -p data/cat data/dog
    for ((i = 0; i < 7; i++)); do
        png 8 $((20 + 5 * i)) >data/cat/$i.png
        png 8 $((170 + 5 * i)) >data/dog/$i.png
    done
}

case_folders() {
    needs_backend
    needs_png
    make_folders
    echo "a note" >data/cat/notes.csv
    runs train --model mlp --epochs 1
    says "passed over 1 file that is no image: cat/notes.csv"
    touch data/dog/Thumbs.db
    mkfifo data/dog/9.png
    runs train --model mlp --epochs 1
    says "passed over 3 files that are no images, for example cat/notes.csv"
    unwrapped out.log | grep -q '; 12 training and 2 test images of 8 x 8;' || fail "$(cat out.log)"
    head -c 60 data/dog/2.png >short && mv short data/dog/2.png
    rm data/cat/notes.csv data/dog/Thumbs.db data/dog/9.png
    refuses 1 "data/dog/2.png: broken PNG: the file ends too early" --model mlp --epochs 1
    runs train --model mlp --epochs 1 --skip-bad
    says "skipped 1 broken image: data/dog/2.png: broken PNG: the file ends too early"
    cp data/dog/2.png data/cat/3.png
    runs train --model mlp --epochs 1 --skip-bad
    says "skipped 2 broken images, the first of which is data/dog/2.png: broken PNG: the file ends too early"
    unwrapped out.log | grep -q '; 10 training and 2 test images of 8 x 8;' || fail "$(cat out.log)"
}

# A name moves no cursor and begins no line.
case_names_with_control_characters() {
    needs_backend
    needs_png
    needs_safetensors
    make_folders
    mv data/cat data/$'c\e[31m\nt'
    silently train --model mlp --epochs 1 --per-class --keep-best --save $'n\et\n.st'
    grep -q '^c?\[31m?t  ' out.log || fail "$(cat -v out.log)"
    grep -q '^n?t?\.st is the network after epoch 1' out.log || fail "$(cat -v out.log)"
    refuses 2 "--lr: '?[31m' is not a number above 0" --lr $'\e[31m'
}

# The same seed gives the same numbers, another one others.
case_repeats() {
    needs_backend
    make_data
    local seed
    for seed in 3 3 4; do
        shows --json --epochs 2 --batch 7 --seed $seed >/dev/null
        sed 's/, "seconds.*//' out.log
    done >all.log
    [ "$(sed -n 1,2p all.log)" = "$(sed -n 3,4p all.log)" ] || fail "$(cat all.log)"
    [ "$(sed -n 1,2p all.log)" != "$(sed -n 5,6p all.log)" ] || fail "$(cat all.log)"
}

run_case
