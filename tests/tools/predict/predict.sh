#!/bin/bash
# SPDX-License-Identifier: MIT
# Cases of `batchnorm predict`: predict.sh CASE COMMAND... runs the function case_CASE in a directory of its own, which has a
# network that can tell two classes of small images: dark.png and light.png. Longer than 300 lines, because every input has its
# case: files, pipes, folders, photos and signals.
. "$(dirname "$0")/../cases.sh"

needs_backend
needs_safetensors
needs_png

train_network() {
    "${command[@]}" train --data data --model mlp --batch 10 --epochs 12 --threads 1 --save network "$@" >train.log 2>&1 ||
        fail "$(cat train.log)"
}

make_network() {
    local i
    mkdir -p data/dark data/light
    for ((i = 0; i < 12; i++)); do
        png 8 $((20 + 5 * i)) >data/dark/$i.png
        png 8 $((170 + 5 * i)) >data/light/$i.png
    done
    train_network
    png 8 30 >dark.png
    png 8 220 >light.png
}

predict() { "${command[@]}" predict --checkpoint network --threads 1 "$@" >out.log 2>err.log; }

case_classes_with_probabilities() {
    make_network
    predict dark.png light.png || fail "$(cat err.log)"
    [ "$(sed -E 's/[0-9.]+ %/N %/g' out.log)" = "dark.png: dark N %, light N %
light.png: light N %, dark N %" ] || fail "$(cat out.log)"
    predict --top 1 light.png || fail "$(cat err.log)"
    [ "$(sed -E 's/[0-9.]+ %/N %/g' out.log)" = "light.png: light N %" ] || fail "$(cat out.log)"
    # probabilities add up to one
    predict dark.png || fail "$(cat err.log)"
    sed 's/.*dark \([0-9.]*\) %, light \([0-9.]*\) %/\1 \2/' out.log |
        awk '{ exit !($1 > 90 && $1 + $2 > 99.8 && $1 + $2 < 100.2) }' || fail "$(cat out.log)"
}

case_json() {
    make_network
    cp dark.png 'a "b"\.png'
    local want='{"image": "a \"b\"\\.png", "classes": [{"class": "dark", "probability": N}]}'
    predict --json --top 1 'a "b"\.png' || fail "$(cat err.log)"
    [ "$(sed -E 's/0\.[0-9]{6}/N/' out.log)" = "$want" ] || fail "$(cat out.log)"
    cp dark.png $'\xff\xe2\x82\xac\x7f.png' # JSON is UTF-8 whatever the name is
    want='{"image": "\ufffd€\u007f.png", "classes": [{"class": "dark", "probability": N}]}'
    predict --json --top 1 $'\xff\xe2\x82\xac\x7f.png' || fail "$(cat err.log)"
    [ "$(sed -E 's/0\.[0-9]{6}/N/' out.log)" = "$want" ] || fail "$(cat out.log)"
}

# Standard input, and pipes of any name, for an image or for the checkpoint.
case_pipes() {
    local want
    make_network
    echo text >text
    predict dark.png || fail "$(cat err.log)"
    want=$(cut -d: -f2 out.log)
    predict - <dark.png || fail "$(cat err.log)"
    [ "$(cat out.log)" = "-:$want" ] || fail "$(cat out.log)"
    predict <(cat dark.png) || fail "$(cat err.log)"
    [ "$(cut -d: -f2 out.log)" = "$want" ] || fail "$(cat out.log)"
    cat network | "${command[@]}" predict --checkpoint - --threads 1 dark.png >out.log 2>err.log || fail "$(cat err.log)"
    [ "$(cut -d: -f2 out.log)" = "$want" ] || fail "$(cat out.log)"
    cat network | "${command[@]}" train --data data --resume - --epochs 13 --save again >out.log 2>err.log ||
        fail "$(cat err.log)"
    [ -s again ] || fail "nothing was saved"
    fails 2 "batchnorm train: --save -: a checkpoint is replaced again and again, so it needs a file" \
        "${command[@]}" train --data data --save -
    fails 2 "batchnorm train: --resume -: where what it learns goes, --save says" \
        "${command[@]}" train --data data --resume - <network
    refuses 2 "standard input, -, can be read once" - -
    { head -c 3 >/dev/null; predict -; } < <(printf 123; cat dark.png) || fail "what was read before counts: $(cat err.log)"
    fails 1 "batchnorm predict: standard input: neither PNG nor JPEG" "${command[@]}" predict --checkpoint network - <text
    predict --json - <text && fail "text is taken for an image"
    grep -qF '"image": "-", "error": "standard input: ' out.log || fail "$(cat out.log)"
    fails 1 "batchnorm predict: standard input: has 5 bytes; a safetensors file has 8 or more" "${command[@]}" predict \
        --checkpoint - dark.png <text
    fails 1 "batchnorm predict: standard input: no data set can be read from there; it must be a file or a folder" \
        "${command[@]}" predict --checkpoint network --data - <text
}

# Names come from other people's archives.
case_names_move_no_cursor() {
    make_network
    mv data/dark $'data/da\033[2Jrk'
    rm network
    train_network --per-class
    cp dark.png $'a\033]0;b\n\xc2\x9bc.png'
    predict $'a\033]0;b\n\xc2\x9bc.png' $'ab\033sent.png' && fail "an absent image was predicted"
    cat out.log err.log train.log >all.log
    if LC_ALL=C grep -q $'[\x01-\x09\x0b-\x1f\x7f\x9b]' all.log; then fail "$(od -c all.log)"; fi
    [ "$(wc -l <out.log)" = 1 ] || fail "$(cat out.log)"
    grep -q '^a?\]0;b??.c.png: da?\[2Jrk ' out.log || grep -q '^a?\]0;b???c.png: da?\[2Jrk ' out.log || fail "$(cat out.log)"
}

# The accuracy on the test images is what training printed last.
case_data() {
    make_network
    predict --data data || fail "$(cat err.log)"
    [ "$(cut -d: -f1 out.log)" = "4 images" ] || fail "$(cat out.log)"
    local accuracy
    accuracy=$(tail -1 train.log | awk '{ print $4 }')
    [ "$(sed 's/.*accuracy \(.*\) %.*/\1/' out.log)" = "$accuracy" ] || fail "$(cat out.log train.log)"
    predict --data data --json || fail "$(cat err.log)"
    grep -q '^{"images": 4, "accuracy": [0-9.]*, "loss": [0-9.]*}$' out.log || fail "$(cat out.log)"
    head -c 60 dark.png >data/dark/11.png
    predict --data data && fail "half an image is taken"
    predict --data data --skip-bad || fail "$(cat err.log)"
    grep -q 'skipped 1 broken image: data/dark/11.png: ' err.log || fail "$(cat err.log)"
    grep -Eq '^[34] images: ' out.log || fail "$(cat out.log)"
}

# Every activation that train has, with batch norm and as a layer: the checkpoint keeps its word, and the training learns.
case_activations() {
    make_network
    local words word norm accuracy
    "${command[@]}" train --data data --activation none >out.log 2>err.log && fail "an activation that there is not"
    words=$(sed -n "s/.*--activation: 'none' is not //p" err.log | sed 's/ or / /; s/,//g')
    [ "$(wc -w <<<"$words")" -ge 7 ] || fail "$(cat err.log)"
    for word in $words; do
        for norm in before none; do
            rm network
            train_network --activation "$word" --norm $norm
            grep -aq "\"activation\":\"$word\"" network || fail "$word is not in the checkpoint"
            predict --data data || fail "$(cat err.log)"
            accuracy=$(tail -1 train.log | awk '{ print $4 }')
            [ "$(sed 's/.*accuracy \(.*\) %.*/\1/' out.log)" = "$accuracy" ] || fail "$word: $(cat out.log train.log)"
            [ "$word $norm" = "sigmoid none" ] || [ "${accuracy%.*}" -ge 75 ] || fail "$word $norm: $(cat train.log)"
        done
    done
}

case_what_is_refused() {
    make_network
    refuses 2 "images are missing, or --data PATH"
    refuses 2 "--data goes without images" --data data dark.png
    refuses 2 "--skip-bad is about --data; single images are passed over anyway" --skip-bad dark.png
    refuses 2 "--top: '0' is not a whole number from 1 to 256" --top 0 dark.png
    png 9 30 >large.png
    refuses 1 "large.png: the image is 9 wide and 9 high; it must be 8 wide and 8 high, as those of the training" large.png
    refuses 1 "nothing.png: No such file or directory" nothing.png
    head -c 60 dark.png >short.png
    predict short.png && fail "half an image is taken"
    grep -q '^batchnorm predict: short.png: ' err.log || fail "$(cat err.log)"
    cp network whole
    head -c 5000 whole >network
    predict dark.png && fail "half a checkpoint is taken"
    grep -q '^batchnorm predict: network: ' err.log || fail "$(cat err.log)"
    printf '\x02\0\0\0\0\0\0\0{}' >network
    refuses 1 "network: not a checkpoint of \`batchnorm train\`: its metadata has no \"checkpoint\"" dark.png
    sed 's/"checkpoint":"1"/"checkpoint":"2"/' whole >network
    refuses 1 "network: a checkpoint in format \"2\"; this program reads format 1" dark.png
    cp whole network
    mv data/light data/pale
    refuses 1 "network: trained with \"light\" as class 1; the data has \"pale\"" --data data
    mv data/pale data/light
    for i in data/*/*.png; do png 9 30 >$i; done
    refuses 1 "network: trained on images of 8 x 8 x 1; the data has 9 x 9 x 1" --data data
}

# A wrong file stops only itself.
case_wrong_files() {
    make_network
    local status=0
    png 9 30 >large.png
    head -c 60 dark.png >short.png
    predict dark.png nothing.png light.png large.png short.png dark.png || status=$?
    [ $status = 1 ] || fail "status $status"
    [ "$(sed -E 's/[0-9.]+ %/N %/g' out.log)" = "dark.png: dark N %, light N %
light.png: light N %, dark N %
dark.png: dark N %, light N %" ] || fail "$(cat out.log)"
    [ "$(sed 's/batchnorm predict: //; s/:.*//' err.log)" = "nothing.png
large.png
short.png" ] || fail "$(cat err.log)"
    predict --json --top 1 dark.png nothing.png light.png && fail "status 0"
    [ "$(sed -E 's/0\.[0-9]+/N/' out.log)" = '{"image": "dark.png", "classes": [{"class": "dark", "probability": N}]}
{"image": "nothing.png", "error": "nothing.png: No such file or directory"}
{"image": "light.png", "classes": [{"class": "light", "probability": N}]}' ] || fail "$(cat out.log)"
}

# More images than go through the network at once, with a wrong one anywhere.
case_many_files() {
    make_network
    local i files=()
    for ((i = 0; i < 300; i++)); do files+=(dark.png light.png); done
    files[255]=nothing.png
    files[400]=nothing.png
    predict --top 1 "${files[@]}" && fail "status 0"
    [ "$(grep -c '^dark.png: dark ' out.log) $(grep -c '^light.png: light ' out.log)" = "299 299" ] || fail "$(cat out.log)"
    [ "$(wc -l <err.log)" = 2 ] || fail "$(cat err.log)"
}

# What predict does with a photo of any size is what train did.
case_sizes() {
    make_network
    png 40 30 >large.png
    png 3 220 >small.png
    cp large.png data/dark/12.png
    cp small.png data/light/12.png
    local status=0
    "${command[@]}" train --data data --model mlp --epochs 1 >train.log 2>&1 || status=$?
    [ $status = 1 ] || fail "status $status"
    grep -q ' but data/dark/0.png is 8 wide and 8 high; all must have one size, or be made so by --size N$' train.log ||
        fail "$(cat train.log)"
    rm network
    train_network --size 8x6 --fit stretch
    predict --top 1 dark.png light.png large.png small.png || fail "$(cat err.log)"
    [ "$(sed 's/ [0-9.]* %$//' out.log)" = "dark.png: dark
light.png: light
large.png: dark
small.png: light" ] || fail "$(cat out.log)"
    predict --data data || fail "$(cat err.log)"
    grep -q '^4 images: accuracy 100.00 %' out.log || fail "$(cat out.log)"
    train_network --resume network --epochs 13
    refuses_train "--size is 8x8, but network was made with 8x6; leave it out to go on" --resume network --size 8
    refuses_train "--fit is crop, but network was made with stretch; leave it out to go on" --resume network --fit crop
    refuses_train "--size: '8x' is not N or HEIGHTxWIDTH, each from 1 to 4096" --size 8x
    refuses_train "--size: '4097' is not N or HEIGHTxWIDTH, each from 1 to 4096" --size 4097
    refuses_train "--fit is about --size; there is none" --fit stretch
}

refuses_train() {
    local status=0
    "${command[@]}" train --data data "${@:2}" >out.log 2>err.log || status=$?
    [ $status = 2 ] || fail "status $status"
    [ "$(head -n 1 err.log)" = "batchnorm train: $1" ] || fail "$(cat err.log)"
}

# A few bytes of text that say they are a large network get no memory.
case_small_files_take_little_memory() {
    make_network
    needs_limit
    local head
    head=$(head -c 3000 network | tail -c +9 | tr -d '\0' | head -n 1 | sed 's/},"fc1.*/}}/') # the metadata
    head=$(sed 's/"image.height":"8"/"image.height":"4096"/; s/"image.width":"8"/"image.width":"4096"/' <<<"$head")
    { low ${#head}; printf '\0\0\0\0\0\0%s' "$head"; } >network
    (ulimit -v 1000000; predict dark.png) && fail "it is taken"
    grep -q 'network: a mlp for images of 4096 x 4096 x 1 has [0-9]* numbers; its tensors have 0$' err.log ||
        fail "$(cat err.log)"
}

# It ends by the signal: what was read is predicted, and a pipe is not waited for.
case_a_signal_ends_it() {
    make_network
    local signal pid status i files=()
    cp dark.png d # a short name, so that there is room for so many that they are not done before the signal
    for ((i = 0; i < 90000; i++)); do files+=(d); done
    mkfifo pipe
    for signal in INT TERM HUP; do
        env --default-signal "${command[@]}" predict --checkpoint network --threads 1 "${files[@]}" >out.log 2>err.log &
        pid=$!
        until [ -s out.log ]; do sleep 0.01; done
        kill -$signal $pid
        status=0
        wait $pid || status=$?
        [ $status = $((128 + $(kill -l $signal))) ] || fail "status $status after SIG$signal"
        [ -z "$(grep -v '^d: dark [0-9.]* %, light [0-9.]* %$' out.log)" ] || fail "half a line: $(tail -1 out.log)"
        env --default-signal "${command[@]}" predict --checkpoint network --threads 1 pipe dark.png >out.log 2>err.log &
        pid=$!
        sleep 1
        kill -$signal $pid
        status=0
        wait $pid || status=$?
        [ $status = $((128 + $(kill -l $signal))) ] || fail "status $status after SIG$signal at a pipe"
    done
    env --default-signal "${command[@]}" predict --checkpoint network --threads 1 dark.png nowhere.png pipe >out.log 2>err.log &
    pid=$!
    sleep 1
    kill -TERM $pid
    wait $pid || true
    grep -q '^dark.png: dark' out.log || fail "what was read before a pipe is not predicted"
    grep -q 'nowhere.png: No such file' err.log || fail "what is wrong before a pipe is not told"
    cat light.png >pipe &
    predict --top 1 pipe || fail "$(cat err.log)"
    grep -q '^pipe: light' out.log || fail "$(cat out.log)"
}

# Of a folder whose name is not UTF-8, which the format of checkpoints wants.
case_class_names() {
    make_network
    mv data/light data/$'\xff'
    rm network
    ! "${command[@]}" train --data data --model mlp --batch 10 --save network >train.log 2>err.log || fail "it is saved"
    grep -q 'batchnorm train: network: .*UTF-8' err.log || fail "$(cat err.log)"
    [ "$(tail -1 train.log | cut -c-5)" = epoch ] || fail "it trains before: $(cat train.log)"
    mv data/$'\xff' data/$'"\n\xc3\xa9'
    train_network
    predict --top 1 --json light.png || fail "$(cat err.log)"
    grep -q $'"class": "\\\\"\\\\u000a\xc3\xa9"' out.log || fail "$(cat out.log)"
}

# A network that diverged gives no probabilities.
case_no_numbers() {
    make_network
    local head first
    head=$(od -An -tu4 -N4 network)
    first=$(head -c 8000 network | tr -d '\0' | sed -n 's/.*"fc3.bias":[^]]*\],"data_offsets":\[\([0-9]*\),.*/\1/p')
    printf '\xff\xff\xff\xff' | dd of=network bs=1 seek=$((8 + head + first)) conv=notrunc 2>dd.log # NaN
    local what="network: the network's output is not finite: it diverged in training; train it at a lower --lr"
    refuses 1 "$what" dark.png
    refuses 1 "$what" --data data
    refuses 1 "$what" --data data --json
}

run_case
