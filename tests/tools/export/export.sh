#!/bin/bash
# SPDX-License-Identifier: MIT
# Cases of `batchnorm export`: export.sh CASE COMMAND... runs the function case_CASE in a directory of its own.
. "$(dirname "$0")/../cases.sh"

needs_backend
needs_safetensors

# The verb is a word of the shell.
refuses() { fails "$1" "batchnorm export: $2" "${command[@]}" export "${@:3}"; }

make_network() {
    local i
    mkdir -p data
    images_head 60 28 >data/train-images-idx3-ubyte
    head -c $((60 * 784)) /dev/zero | tr '\0' 'a' >>data/train-images-idx3-ubyte
    printf 'zx' | dd of=data/train-images-idx3-ubyte bs=1 seek=3000 conv=notrunc 2>dd.log
    labels 60 >data/train-labels-idx1-ubyte
    cp data/train-images-idx3-ubyte data/t10k-images-idx3-ubyte
    cp data/train-labels-idx1-ubyte data/t10k-labels-idx1-ubyte
    "${command[@]}" train --data data --threads 1 --batch 20 --epochs 1 --save network "$@" >train.log 2>&1 ||
        fail "$(cat train.log)"
}

case_wrong_usage() {
    refuses 2 "CHECKPOINT is missing"
    refuses 2 "CHECKPOINT is missing" -o x
    refuses 2 "-o FILE is missing: where does the model go?" network
    refuses 2 "one CHECKPOINT at a time" a b -o x
    refuses 1 "none: cannot be opened: No such file or directory" none -o x
    echo '{"a": 1}' >text
    refuses 1 "text: the header's size is 9021026962656797307; at most 100000000 is allowed" text -o x
}

# The model is whole or not there, and an old one stays.
case_it_is_written_whole() {
    make_network
    runs "${command[@]}" export network -o net.onnx
    [ "$(cat out.log)" = "net.onnx: 3 batch norms; $(stat -c %s net.onnx) bytes" ] || fail "$(cat out.log)"
    runs "${command[@]}" export network -o folded.onnx --fold
    [ "$(cat out.log)" = "folded.onnx: 3 batch norms, of which 3 are folded; $(stat -c %s folded.onnx) bytes" ] ||
        fail "$(cat out.log)"
    # the same as in two steps
    runs "${command[@]}" fold net.onnx -o steps.onnx
    cmp folded.onnx steps.onnx || fail "folding on the way gives something else"
    runs "${command[@]}" export network -o again.onnx
    cmp net.onnx again.onnx || fail "it is not the same every time"
    needs_limit
    local message="the model that is to be folded cannot be kept in memory: File too large"
    (ulimit -f 8 && refuses 1 "net.onnx: cannot be written: File too large" network -o net.onnx)
    (ulimit -f 8 && refuses 1 "net.onnx: $message" network -o net.onnx --fold)
    refuses 1 "none/x: no file can be created there: No such file or directory" network -o none/x
    refuses 1 "none/x: no file can be created there: No such file or directory" network -o none/x --fold
    [ -z "$(find . -name '.batchnorm*')" ] || fail "a temporary file is left"
}

case_checkpoints_that_are_none() {
    make_network
    head -c 1000 network >short
    "${command[@]}" export short -o x >out.log 2>err.log && fail "it is exported"
    grep -q '^batchnorm export: short: ' err.log && [ ! -e x ] || fail "$(cat err.log)"
    make_network --no-bn --force
    runs "${command[@]}" export network -o net.onnx --fold --json
    grep -q '"batch_norms": 0, "left": 0, ' out.log || fail "$(cat out.log)"
}

run_case
