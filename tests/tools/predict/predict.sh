#!/bin/bash
# SPDX-License-Identifier: MIT
# Cases of `batchnorm predict`: predict.sh CASE COMMAND... runs the function case_CASE in a directory of its own, which has a
# network that can tell two classes of small images: dark.png and light.png.
. "$(dirname "$0")/../cases.sh"

needs_backend
needs_safetensors
needs_png

train_network() {
    "${command[@]}" train --data data --model mlp --batch 10 --epochs 12 --threads 1 --save network >train.log 2>&1 ||
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
}

case_what_is_refused() {
    make_network
    refuses 2 "images are missing, or --data PATH"
    refuses 2 "--data goes without images" --data data dark.png
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

# Of a folder whose name is not UTF-8, which the format of checkpoints wants.
case_class_names() {
    make_network
    mv data/light data/$'\xff'
    rm network
    ! "${command[@]}" train --data data --model mlp --batch 10 --save network >train.log 2>err.log || fail "it is saved"
    grep -q 'batchnorm train: network: .*UTF-8' err.log || fail "$(cat err.log)"
    [ "$(wc -l <train.log)" = 2 ] || fail "it trains before: $(cat train.log)"
    mv data/$'\xff' data/$'"\n\xc3\xa9'
    train_network
    predict --top 1 --json light.png || fail "$(cat err.log)"
    grep -q $'"class": "\\\\"\\\\u000a\xc3\xa9"' out.log || fail "$(cat out.log)"
}

# A network that diverged gives no probabilities, and its loss is null.
case_no_numbers() {
    make_network
    "${command[@]}" train --data data --model mlp --no-bn --batch 10 --epochs 3 --lr 1e30 --save network >train.log 2>&1 ||
        fail "$(cat train.log)"
    refuses 1 "network: the network's output is not finite: it diverged in training; train it at a lower --lr" dark.png
    predict --data data --json || fail "$(cat err.log)"
    grep -q '"loss": null}$' out.log || fail "$(cat out.log)"
}

run_case
