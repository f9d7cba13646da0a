#!/bin/bash
# SPDX-License-Identifier: MIT
# Cases of `batchnorm convert`: convert.sh CASE COMMAND... runs the function case_CASE in a directory of its own.
# Longer than 300 lines, because every message has its case.
. "$(dirname "$0")/../cases.sh"

convert() { "${command[@]}" convert "$@"; }
converts() { silently convert "$@"; }

# make WORD...: in.safetensors, by the words of tensors.py.
make() {
    needs_safetensors
    needs python3
    python3 "$here/tensors.py" make in.safetensors "$@" || fail "tensors.py"
}
# shows FILE LINE...: what is in the file.
shows() {
    local file=$1
    shift
    python3 "$here/tensors.py" show "$file" >show.log || fail "tensors.py"
    [ "$(cat show.log)" = "$(printf '%s\n' "$@")" ] || fail "$file has: $(cat show.log)"
}
# has FILE LINE...: these lines are there. lacks FILE TEXT: no line has it.
has() {
    local file=$1 line
    python3 "$here/tensors.py" show "$file" >show.log
    for line in "${@:2}"; do grep -qxF -- "$line" show.log || fail "no $line in: $(cat show.log)"; done
}
lacks() {
    python3 "$here/tensors.py" show "$1" >show.log
    ! grep -qF -- "$2" show.log || fail "$(cat show.log)"
}
# refused MESSAGE ARGUMENT...: in.safetensors is, with these arguments.
refused() { refuses 1 "in.safetensors: $1" in.safetensors -o x "${@:2}"; }
prints() { grep -qxF -- "$1" out.log || fail "it prints: $(cat out.log)"; }

# A network of two batch norms: of 3 channels, and of 2 in F16 without weight and bias.
network=("conv.weight=F32:2,1:1 2"
    "l.bn.weight=F32:3:1.5 -2 0.25" "l.bn.bias=F32:3:0.5 1 -1" "l.bn.running_mean=F32:3:1 2 3"
    "l.bn.running_var=F32:3:0.125 0.75 4" "l.bn.num_batches_tracked=I64::7"
    "z.running_mean=F16:2:1 2" "z.running_var=F16:2:3 4" "z.num_batches_tracked=I64::9" "other=U8:3:1 2 3")
conventions="pytorch keras flax mxnet paddle onnx caffe darknet"

case_a_checkpoint_becomes_safetensors() {
    needs_safetensors
    local seed
    for seed in zip legacy; do
        cp "$here/../../fuzz/seeds_torch/$seed.pth" net.pth
        converts net.pth -o net.safetensors
        runs "${command[@]}" inspect --all net.pth
        mv out.log before
        runs "${command[@]}" inspect --all net.safetensors
        [ "$(sed '/skipped/d' before | sort)" = "$(sort out.log)" ] || fail "$(cat before out.log)"
    done
}

case_says_what_it_did() {
    make "${network[@]}" "@batchnorm.eps=1e-05"
    converts in.safetensors -o out.safetensors
    [ "$(cat out.log)" = "out.safetensors: 10 tensors; 2 batch norms with 5 channels, of pytorch (recognized by names)" ] ||
        fail "$(cat out.log)"
    converts in.safetensors -o out.safetensors --to keras --from pytorch
    [ "$(cat out.log)" = "out.safetensors: 8 tensors; 2 batch norms with 5 channels, of pytorch, are now keras's
Running variances are unbiased, and those of keras are biased: they stay, and so do outputs. --count N converts them.
num_batches_tracked of 2 layers went into the metadata, from which it comes back." ] || fail "$(cat out.log)"
}

case_json() {
    needs python3
    make "${network[@]}"
    converts in.safetensors -o out.safetensors --to keras --json --momentum 0.25
    python3 - <<'P' || fail "$(cat out.log)"
import json
o = json.load(open("out.log"))
assert (o["file"], o["output"], o["format"]) == ("in.safetensors", "out.safetensors", "safetensors"), o
assert (o["count"], o["channels"]) == (2, 5), o
assert (o["tensors"], o["from"], o["to"], o["recognized"], o["eps"]) == (8, "pytorch", "keras", True, None), o
assert o["momentum"] == 0.75 and o["variance"] == "unbiased" and len(o["remarks"]) == 3, o
P
    make "other=F32:1:1"
    converts in.safetensors -o out.safetensors --json
    [ "$(cat out.log)" = '{"file": "in.safetensors", "output": "out.safetensors", "format": "safetensors", "count": 0, '\
'"channels": 0, "tensors": 1, "remarks": []}' ] ||
        fail "$(cat out.log)"
}

# Names and order of every convention.
case_names() {
    local to=0
    make "${network[@]}" "@batchnorm.eps=1e-05" "@mine=yes"
    while read -r to names; do
        converts in.safetensors -o out.safetensors --to "$to"
        python3 "$here/tensors.py" show out.safetensors >show.log
        [ "$(sed '/^@/d; s/=.*//' show.log | tr '\n' ' ')" = "conv.weight $names other " ] || fail "$to: $(cat show.log)"
        has out.safetensors "@batchnorm.convention=$to" "@mine=yes" "other=U8:3:1 2 3" "conv.weight=F32:2,1:1 2"
    done <<'N'
keras l.bn/gamma l.bn/beta l.bn/moving_mean l.bn/moving_variance z/moving_mean z/moving_variance
flax params/l.bn/scale params/l.bn/bias batch_stats/l.bn/mean batch_stats/l.bn/var batch_stats/z/mean batch_stats/z/var
mxnet l.bn_gamma l.bn_beta l.bn_moving_mean l.bn_moving_var z_gamma z_beta z_moving_mean z_moving_var
paddle l.bn.weight l.bn.bias l.bn._mean l.bn._variance z._mean z._variance
onnx l.bn.scale l.bn.B l.bn.input_mean l.bn.input_var z.scale z.B z.input_mean z.input_var
caffe l.bn/0 l.bn/1 l.bn/2 l.bn/scale/0 l.bn/scale/1 z/0 z/1 z/2
darknet l.bn.biases l.bn.scales l.bn.rolling_mean l.bn.rolling_variance z.biases z.scales z.rolling_mean z.rolling_variance
N
    has out.safetensors "l.bn.biases=F32:3:0.5 1 -1" "l.bn.scales=F32:3:1.5 -2 0.25" "l.bn.rolling_mean=F32:3:1 2 3" \
        "l.bn.rolling_variance=F32:3:0.125 0.75 4" "z.scales=F16:2:1 1" "z.biases=F16:2:0 0"
}

# From each to each and back: the same file, byte for byte, with layers that lack arrays and numbers that are not finite, with
# eps and momentum or without.
case_there_and_back() {
    local a b told count=0
    for told in "" "@batchnorm.eps=1e-05 @batchnorm.momentum=0.10000000000000001" "@batchnorm.momentum=none"; do
        make "${network[@]}" "nan.weight=F32:2:nan inf" "nan.running_mean=F32:2:nan -inf" "nan.running_var=F32:2:0 -1" \
            "running_mean=F64:1:0.1" "running_var=F64:1:0.2" "none.running_mean=F32:0:" "none.running_var=F32:0:" \
            "scaled.weight=F32:1:1" "scaled.running_mean=F32:1:1" "scaled.running_var=F32:1:1" "@mine=yes" $told
        for a in $conventions; do
            converts in.safetensors -o "a-$a" --to "$a"
            for b in $conventions; do
                converts "a-$a" -o b.safetensors --to "$b"
                converts b.safetensors -o back.safetensors --to "$a"
                cmp "a-$a" back.safetensors || fail "$a, $b and back: $(python3 "$here/tensors.py" show back.safetensors)"
                count=$((count + 1))
            done
        done
    done
    [ $count = 192 ] || fail "$count"
}

# Layers that only some conventions have: with a bias and no weight. From there to each, and back.
case_a_bias_alone() {
    local a b
    make "b/beta=F32:2:1 2" "b/moving_mean=F32:2:1 2" "b/moving_variance=F32:2:3 4"
    for a in keras flax paddle; do
        converts in.safetensors -o "a-$a" --to "$a"
        for b in $conventions; do
            converts "a-$a" -o b.safetensors --to "$b"
            converts b.safetensors -o back.safetensors --to "$a"
            cmp "a-$a" back.safetensors || fail "$a, $b and back"
        done
    done
    converts a-keras -o out.safetensors
    shows out.safetensors @format=pt @batchnorm.convention=pytorch @batchnorm.variance=biased @batchnorm.filled:b=weight \
        "b.weight=F32:2:1 1" "b.bias=F32:2:1 2" "b.running_mean=F32:2:1 2" "b.running_var=F32:2:3 4"
    prints "1 array of ones or zeros was added, because pytorch has no layer without."
}

# What was added stays where somebody has changed it since.
case_added_and_changed() {
    make "b.weight=F32:1:2" "b.bias=F32:1:0" "b.running_mean=F32:1:1" "b.running_var=F32:1:3" "@batchnorm.filled:b=weight bias"
    converts in.safetensors -o out.safetensors
    has out.safetensors "b.weight=F32:1:2"
    lacks out.safetensors "b.bias"
    lacks out.safetensors filled
}

case_other_spellings() {
    local expected=(@format=pt @batchnorm.convention=pytorch @batchnorm.variance=biased "b.weight=F32:1:1" "b.bias=F32:1:2"
        "b.running_mean=F32:1:3" "b.running_var=F32:1:4") names weight bias mean var from
    while read -r from weight bias mean var; do
        make "$mean=F32:1:3" "$var=F32:1:4" "$bias=F32:1:2" "$weight=F32:1:1"
        converts in.safetensors -o out.safetensors
        shows out.safetensors "${expected[@]}"
        grep -q "of $from (recognized by names), is now pytorch's" out.log || fail "$(cat out.log)"
    done <<'N'
keras b/gamma:0 b/beta:0 b/moving_mean:0 b/moving_variance:0
flax params.b.scale params.b.bias batch_stats.b.mean batch_stats.b.var
mxnet arg:b_gamma arg:b_beta aux:b_moving_mean aux:b_moving_var
mxnet b.gamma b.beta b.running_mean b.running_var
onnx b.scale b.B b.mean b.var
N
}

case_momentum() {
    local before after
    while read -r before after; do
        make "b.running_mean=F32:1:1" "b.running_var=F32:1:3" "@batchnorm.momentum=$before"
        converts in.safetensors -o out.safetensors --to keras
        has out.safetensors "@batchnorm.momentum=$after"
        converts out.safetensors -o back.safetensors --to pytorch
        has back.safetensors "@batchnorm.momentum=$before"
        converts out.safetensors -o same.safetensors --to flax
        has same.safetensors "@batchnorm.momentum=$after"
    done <<'N'
0.1 0.9
0.01 0.99
0.10 0.90
0.10000000000000001 0.89999999999999999
0.25 0.75
0 1
1 0
0.0 1.0
0.0000001 0.9999999
none none
N
    make "b.running_mean=F32:1:1" "b.running_var=F32:1:3" "@batchnorm.momentum=1e-7" # written without an exponent
    converts in.safetensors -o out.safetensors
    has out.safetensors @batchnorm.momentum=0.0000001
    make "b.running_mean=F32:1:1" "b.running_var=F32:1:3" "@batchnorm.momentum=1e-2" "@batchnorm.momentum:b=0.5"
    converts in.safetensors -o out.safetensors --to caffe
    has out.safetensors @batchnorm.momentum=0.99 @batchnorm.momentum:b=0.5
    converts in.safetensors -o out.safetensors --to caffe --momentum 0.3
    has out.safetensors @batchnorm.momentum=0.7
    lacks out.safetensors momentum:b
}

case_eps() {
    make "b.running_mean=F32:1:1" "b.running_var=F32:1:3"
    converts in.safetensors -o out.safetensors
    lacks out.safetensors eps
    prints "eps is not in the file: 1e-05 in pytorch unless networks say otherwise. --eps X writes it."
    converts in.safetensors -o out.safetensors --to keras
    lacks out.safetensors eps
    prints "eps is not in the file: 1e-05 in pytorch and 0.001 in keras unless networks say otherwise. --eps X writes it."
    converts in.safetensors -o out.safetensors --eps 0.001
    has out.safetensors @batchnorm.eps=0.001
    ! grep -q eps out.log || fail "$(cat out.log)"
    make "b.running_mean=F32:1:1" "b.running_var=F32:1:3" @batchnorm.eps:b=0.5
    converts in.safetensors -o out.safetensors --to flax
    has out.safetensors @batchnorm.eps:b=0.5
    ! grep -q eps out.log || fail "$(cat out.log)"
    converts in.safetensors -o out.safetensors --eps 0.25
    has out.safetensors @batchnorm.eps=0.25
    lacks out.safetensors eps:b
    refused 'eps of "b" is 0.5, and that of darknet is always 1e-05' --to darknet
    refused 'its eps is 0.25, and that of darknet is always 1e-05' --to darknet --eps 0.25
}

# The eps of one layer is that with which the library loads it.
case_a_layer_with_its_own_eps() {
    needs python3
    make "a.b.weight=F32:1:1" "a.b.bias=F32:1:0" "a.b.running_mean=F32:1:1" "a.b.running_var=F32:1:3" @batchnorm.eps=0.5 \
        @batchnorm.eps:a.b=1 "c.running_mean=F32:1:1" "c.running_var=F32:1:3"
    python3 - <<'P'
import struct
head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }"
head += b" " * (117 - len(head)) + b"\n"
open("x.npy", "wb").write(b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + struct.pack("<f", 5))
P
    converts in.safetensors -o out.safetensors
    runs "${command[@]}" apply --dims 1 --eval --state out.safetensors --prefix a.b. x.npy -o y.npy
    [ "$(tail -c 4 y.npy | od -An -tf4 | tr -d ' ')" = 2 ] || fail "$(tail -c 4 y.npy | od -An -tf4)"
}

case_variances() {
    make "a.running_mean=F32:2:1 2" "a.running_var=F32:2:3 nan" "b.c.running_mean=F16:1:1" "b.c.running_var=F16:1:6"
    converts in.safetensors -o out.safetensors --to keras --count 3
    shows out.safetensors @format=tf @batchnorm.convention=keras "a/moving_mean=F32:2:1 2" "a/moving_variance=F32:2:2 nan" \
        "b.c/moving_mean=F16:1:1" "b.c/moving_variance=F16:1:4"
    prints "Running variances were unbiased and are biased."
    converts out.safetensors -o back.safetensors --count 3
    has back.safetensors "a.running_var=F32:2:3 nan" "b.c.running_var=F16:1:6"
    converts in.safetensors -o out.safetensors --to keras --count 3 --count 'b.*=2'
    has out.safetensors "a/moving_variance=F32:2:2 nan" "b.c/moving_variance=F16:1:3"
    # they stay where nobody counts, the file says so, and they can be counted later
    converts in.safetensors -o out.safetensors --to keras
    has out.safetensors "a/moving_variance=F32:2:3 nan" @batchnorm.variance=unbiased
    converts out.safetensors -o later.safetensors --to flax --count 3
    has later.safetensors "batch_stats/a/var=F32:2:2 nan"
    lacks later.safetensors batchnorm.variance
    refuses 1 "out.safetensors: --count: running variances are unbiased already, as those of pytorch are" \
        out.safetensors -o x --count 3
    refused "--count: running variances are unbiased already, as those of caffe are" --to caffe --count 3
    refused 'no --count fits the batch norm "a"' --to keras --count b.c=3
    refused '--count d=...: no batch norm has such a name' --to keras --count 3 --count d=3
    make "a/moving_mean=F16:1:1" "a/moving_variance=F16:1:65504"
    refused '"a/moving_variance" would have a number that is not finite in its type' --count 2
    make "a/moving_mean=I64:1:1" "a/moving_variance=I64:1:3"
    refused '"a/moving_variance" is of type I64, which is not computed with' --count 2
}

case_counts_that_are_none() {
    local text
    make "${network[@]}"
    for text in 1 0 -1 x 2.5 =3 a= 9007199254740993 99999999999999999; do
        refuses 2 "--count: '$text' is not N or LAYERS=N with a whole number of 2 to 9007199254740992" \
            in.safetensors -o x --count "$text"
    done
}

case_factor() {
    make "b/0=F32:2:1 2" "b/1=F32:2:3 4" "b/2=F32:1:0.5" "conv/0=F32:2:1 2" "conv/1=F32:2:1 2"
    converts in.safetensors -o out.safetensors
    shows out.safetensors @format=pt @batchnorm.convention=pytorch "b.running_mean=F32:2:2 4" "b.running_var=F32:2:6 8" \
        "conv/0=F32:2:1 2" "conv/1=F32:2:1 2"
    prints "Mean and variance of 1 layer were divided by a factor, which is 1 now."
    make "b/0=F32:2:1 2" "b/1=F32:2:3 4" "b/2=F32:1:0"
    converts in.safetensors -o out.safetensors
    has out.safetensors "b.running_mean=F32:2:0 0" "b.running_var=F32:2:0 0"
    make "b/0=F32:2:1 2" "b/1=F32:2:3 4" "b/2=F32:1:nan"
    refused '"b/2", by which others are divided, is not finite'
    make "b/0=F32:2:1 2" "b/1=F32:2:3 4" "b/2=F32:1:1" "b/3=F32:2:1 1"
    refused '"b/3" is a fourth blob: of a kind of batch norm that is not understood'
    # 0 and 1 alone are those of any layer
    make "conv/0=F32:2:1 2" "conv/1=F32:2:1 2" "lstm/0=F32:2:1 2" "lstm/1=F32:2:1 2" "lstm/2=F32:2:1 2"
    converts in.safetensors -o out.safetensors
    prints "out.safetensors: 5 tensors, no batch norm among them"
}

case_fix_gamma() {
    local words=("b_gamma=F32:2:1 3" "b_beta=F32:2:1 2" "b_moving_mean=F32:2:1 2" "b_moving_var=F32:2:3 4")
    make "${words[@]}"
    refused '"b_gamma" is not 1, and is read as 1 with fix_gamma, the default of mxnet: --fix-gamma is missing'
    converts in.safetensors -o out.safetensors --fix-gamma yes
    has out.safetensors "b.weight=F32:2:1 1" @batchnorm.fix_gamma=true
    prints "gamma of 1 layer was not 1, is read as 1 and is 1 now."
    converts out.safetensors -o back.safetensors --to mxnet
    has back.safetensors "b_gamma=F32:2:1 1" @batchnorm.fix_gamma=true
    converts in.safetensors -o out.safetensors --fix-gamma no
    has out.safetensors "b.weight=F32:2:1 3"
    converts out.safetensors -o back.safetensors --to mxnet
    has back.safetensors "b_gamma=F32:2:1 3" @batchnorm.fix_gamma=false
    converts back.safetensors -o out.safetensors # the file tells it now
    has out.safetensors "b.weight=F32:2:1 3"
    make "${words[@]}" @batchnorm.fix_gamma=true
    converts in.safetensors -o out.safetensors
    has out.safetensors "b.weight=F32:2:1 1"
    converts in.safetensors -o out.safetensors --to mxnet # nothing is changed that need not be
    has out.safetensors "b_gamma=F32:2:1 3" @batchnorm.fix_gamma=true
    make "${network[@]}"
    refused "--fix-gamma is for batch norms of mxnet, and these are of pytorch" --fix-gamma yes
}

case_batches() {
    make "b.running_mean=F32:1:1" "b.running_var=F32:1:3" "b.num_batches_tracked=I64::-5"
    converts in.safetensors -o out.safetensors --to onnx
    has out.safetensors @batchnorm.num_batches_tracked:b=-5
    make "b.running_mean=F32:1:1" "b.running_var=F32:1:3" "b.num_batches_tracked=I32::5"
    refused '"b.num_batches_tracked" is not one number of type I64, and nothing else can go into the metadata' --to onnx
    converts in.safetensors -o out.safetensors
    has out.safetensors "b.num_batches_tracked=I32::5"
    make "b.scale=F32:1:1" "b.input_mean=F32:1:1" "b.input_var=F32:1:3" @batchnorm.num_batches_tracked:b=many
    refused "the metadata has batchnorm.num_batches_tracked:b 'many', which is no number"
}

case_two_kinds() {
    make "a.running_mean=F32:1:1" "a.running_var=F32:1:3" "b/moving_mean=F32:1:1" "b/moving_variance=F32:1:3"
    refused '"a.running_var" is of pytorch, and "b/moving_variance" of keras: --from says which are meant'
    converts in.safetensors -o out.safetensors --from keras
    has out.safetensors "a.running_var=F32:1:3" "b.running_var=F32:1:3"
    prints "out.safetensors: 4 tensors; 1 batch norm with 1 channel, of keras, is now pytorch's"
    make "a/moving_mean=F32:1:1" "a/moving_variance=F32:1:3" "b/moving_mean:0=F32:1:1" "b/moving_variance:0=F32:1:3"
    refused '"a/moving_variance" is of keras, and "b/moving_variance:0" of keras, spelled in another way' --from keras
    # the file may say it
    make "b.running_mean=F32:1:1" "b.running_var=F32:1:3" @batchnorm.convention=mxnet
    converts in.safetensors -o out.safetensors
    prints "out.safetensors: 2 tensors; 1 batch norm with 1 channel, of mxnet (recognized by names), is now pytorch's"
    make "b.running_mean=F32:1:1" "b.running_var=F32:1:3" @batchnorm.convention=other
    refused "the metadata has batchnorm.convention 'other', which is not known: --from says what it is"
    converts in.safetensors -o out.safetensors --from pytorch
}

case_no_batch_norm() {
    make "a.weight=F32:1:1" "running_variable=F32:1:1" "a.running_var=F32:1:1"
    converts in.safetensors -o out.safetensors
    prints "out.safetensors: 3 tensors, no batch norm among them"
    shows out.safetensors @format=pt "a.weight=F32:1:1" "running_variable=F32:1:1" "a.running_var=F32:1:1"
    refused "has no batch norm: no tensor has the name of a running variance in any framework" --to flax
    refused 'has no batch norm of keras, whose running variance would be "%/moving_variance"' --from keras
}

case_sizes_that_do_not_fit() {
    make "b.running_mean=F32:1:1" "b.running_var=F32:2:3 4"
    refused '"b.running_mean" has other sizes than "b.running_var"'
    make "b.weight=F32:2,1:1 1" "b.running_mean=F32:2:1 1" "b.running_var=F32:2:3 4"
    refused '"b.weight" has other sizes than "b.running_var"'
    make "b.running_mean=F32:2,1:1 1" "b.running_var=F32:2,1:3 4"
    refused '"b.running_var" is no array of one dimension, with a number for each channel'
}

case_metadata_that_is_wrong() {
    local word
    for word in eps=-1 eps=2 eps=x eps= momentum=2 momentum=nan eps:b=0x1; do
        make "b.running_mean=F32:1:1" "b.running_var=F32:1:3" "@batchnorm.$word"
        refused "the metadata has batchnorm.$(sed 's/:.*=/=/; s/=.*//' <<<"$word") '${word#*=}', which is no number of 0 to 1"
    done
    make "b.running_mean=F32:1:1" "b.running_var=F32:1:3" @batchnorm.variance=odd
    refused "the metadata has batchnorm.variance 'odd', which is neither biased nor unbiased"
}

case_two_tensors_of_one_name() {
    make "b.running_mean=F32:1:1" "b.running_var=F32:1:3" "b/moving_mean=F32:1:1"
    refuses 1 "x: two tensors have the name 'b/moving_mean'" in.safetensors -o x --to keras
}

case_odd_names() {
    local a name
    local x600
    x600=$(printf 'x%.0s' {1..600})
    for name in 'a b' a=b 'a"\b' $'a\tb' $'a\e[31mb' % %s%n 'ä€😀' a/b.c_d:0 $x600 . / running_var params/; do
        make "$name.weight=F32:1:1" "$name.running_mean=F32:1:1" "$name.running_var=F32:1:3" "$name.num_batches_tracked=I64::7"
        converts in.safetensors -o first.safetensors
        for a in $conventions; do
            converts first.safetensors -o out.safetensors --to "$a"
            converts out.safetensors -o back.safetensors
            cmp first.safetensors back.safetensors || fail "$name, $a"
        done
    done
    make $'\e[31m.running_mean=F32:1:1' $'\e[31m.running_var=F32:2:3 4'
    refused '"?[31m.running_mean" has other sizes than "?[31m.running_var"'
}

case_wrong_usage() {
    make "${network[@]}"
    refuses 2 "FILE is missing"
    refuses 2 "one FILE at a time" a b -o c
    refuses 2 "-o FILE is missing: where does the state go?" in.safetensors
    local end
    for end in pth pt onnx h5 keras weights cfg npz params; do
        refuses 2 "a state is written as safetensors: -o FILE.safetensors" in.safetensors -o "x.$end"
    done
    refuses 2 "--to: 'torch' is not pytorch, keras, flax, mxnet, paddle, onnx, caffe or darknet" in.safetensors -o x --to torch
    refuses 2 "--eps: '2' is not a number from 0 to 1" in.safetensors -o x --eps 2
}

case_files_that_are_none() {
    needs_safetensors
    cp "$here/../../model/models/conv.onnx" model.onnx
    refuses 1 "model.onnx: has its batch norms in a graph: a state is needed, as .pth or safetensors" model.onnx -o x
    make "${network[@]}"
    refuses 1 "in.safetensors: it is the state that is read; it must go into another file" in.safetensors -o in.safetensors
    ln -s in.safetensors link
    refuses 1 "link: it is the state that is read; it must go into another file" in.safetensors -o link
    refuses 1 "missing: cannot be opened: No such file or directory" missing -o x
    refuses 1 "missing/x: no file can be created there: No such file or directory" in.safetensors -o missing/x
}

case_from_a_pipe() {
    make "${network[@]}"
    converts in.safetensors -o first.safetensors
    cat in.safetensors | convert /dev/stdin -o out.safetensors >out.log 2>err.log || fail "$(cat err.log)"
    cmp first.safetensors out.safetensors
    converts - -o out.safetensors <in.safetensors
    cmp first.safetensors out.safetensors
    refuses 1 "standard input: is empty" - -o no.safetensors < <(printf '')
    convert in.safetensors -o /dev/stdout --json 2>err.log >both || fail "$(cat err.log)"
    head -c "$(wc -c <first.safetensors)" both | cmp - first.safetensors
}

# make_darknet: net.cfg, and net.weights with the numbers 0, 1, 2 and so on.
make_darknet() {
    needs_safetensors
    needs python3
    printf '[net]\nheight=2\nwidth=2\nchannels=1\n[convolutional]\nfilters=2\nbatch_normalize=1\n[connected]\noutput=1\n' \
        >net.cfg
    python3 -c 'import struct; open("net.weights", "wb").write(struct.pack("<IIIQ19f", 0, 2, 5, 9, *range(19)))'
}

case_darknet() {
    local file
    make_darknet
    for file in net.weights net.cfg; do
        converts $file -o out.safetensors
        shows out.safetensors @format=pt @batchnorm.convention=pytorch @batchnorm.eps=1e-05 @batchnorm.momentum=0.01 \
            "0.batchnorm.weight=F32:2:2 3" "0.batchnorm.bias=F32:2:0 1" "0.batchnorm.running_mean=F32:2:4 5" \
            "0.batchnorm.running_var=F32:2:6 7" "0.convolutional.weight=F32:2,1,1,1:8 9" "1.connected.bias=F32:1:10" \
            "1.connected.weight=F32:1,8:11 12 13 14 15 16 17 18" "version=I32:3:0 2 5" "seen=U64::9"
    done
    [ "$(cat out.log)" = "out.safetensors: 9 tensors; 1 batch norm with 2 channels, of darknet, is now pytorch's" ] ||
        fail "$(cat out.log)"
    converts net.weights -o out.safetensors --to darknet --from darknet
    has out.safetensors "0.batchnorm.scales=F32:2:2 3" @batchnorm.momentum=0.99
    converts net.weights -o out.safetensors --to keras --count 2
    has out.safetensors "0.batchnorm/moving_variance=F32:2:3 3.5" @batchnorm.momentum=0.99
    runs "${command[@]}" inspect net.weights
    prints "net.weights (Darknet): 1 batch norm with 2 channels; 0 unhealthy"
    runs "${command[@]}" fold net.weights -o out.safetensors --pair '*.convolutional=*.batchnorm'
    prints "out.safetensors: 1 of 1 batch norms are folded, with eps 1e-05"
    mv net.cfg other.cfg
    converts net.weights -o out.safetensors --cfg other.cfg
    runs "${command[@]}" inspect --cfg other.cfg net.weights
    runs "${command[@]}" inspect --cfg other.cfg /dev/stdin <net.weights
    local none="cannot be opened: No such file or directory"
    refuses 1 "net.weights: is a Darknet file, and its .cfg, net.cfg, $none" net.weights -o x
    refuses 1 "other.cfg: is the text of a Darknet network, and its numbers, other.weights, $none" \
        other.cfg -o x
    refuses 1 "net.weights: --from keras: it is a file of darknet" net.weights -o x --from keras --cfg other.cfg
    printf '[net]\nchannels=1\n[convolutional]\n' >net.cfg
    refuses 1 "net.weights: has 19 numbers, and its .cfg has layers of 2" net.weights -o x
    refuses 1 "net.weights: has 19 numbers, and its .cfg has layers of 2" net.weights -o x --to flax
}

golden=$here/../../golden/conventions

# What frameworks computed, tests/golden/make_conventions.py has written down.
case_frameworks() {
    needs_safetensors
    needs python3
    python3 "$here/frameworks.py" "$golden" "${command[@]}" || fail "frameworks.py"
}

case_keras() {
    needs_keras
    needs python3
    local file
    for file in keras3.keras keras3.h5; do
        converts "$golden/$file" -o out.safetensors --to keras
        python3 "$here/tensors.py" show out.safetensors >show.log
        sed -n 's/=F32.*//p' show.log | grep -v '^dense' | sort >names
        [ "$(cat names)" = "batch_normalization/beta
batch_normalization/moving_mean
batch_normalization/moving_variance
batch_normalization_1/moving_mean
batch_normalization_1/moving_variance
first/beta
first/gamma
first/moving_mean
first/moving_variance
inner/deep/gamma
inner/deep/moving_mean
inner/deep/moving_variance" ] || fail "$(cat show.log)"
        has out.safetensors @batchnorm.convention=keras @batchnorm.eps:batch_normalization=0.01 @batchnorm.eps:first=0.001 \
            @batchnorm.momentum:batch_normalization_1=0.9 @batchnorm.momentum:inner/deep=0.99
    done
    cp "$golden/keras3.keras" net.keras
    runs "${command[@]}" inspect net.keras
    prints "net.keras (Keras): 4 batch norms with 12 channels; 0 unhealthy"
    cat net.keras | convert /dev/stdin -o piped.safetensors >out.log 2>err.log || fail "$(cat err.log)"
    converts net.keras -o out.safetensors
    cmp out.safetensors piped.safetensors || fail "from a pipe it is another file"
    refuses 1 "net.keras: --from flax: it is a file of keras" net.keras -o x --from flax
    cp net.keras net # whatever its name
    refuses 1 "net: it is the state that is read; it must go into another file" net -o net
    # the same archive, compressed
    python3 - <<'P'
import zipfile
with zipfile.ZipFile("net.keras") as old, zipfile.ZipFile("packed.keras", "w", zipfile.ZIP_DEFLATED) as new:
    for entry in old.infolist():
        new.writestr(entry.filename, old.read(entry))
P
    converts packed.keras -o packed.safetensors
    cmp out.safetensors packed.safetensors || fail "compressed it is another file"
}

# Weights alone: what the layers are stands in the names of their groups, and not what their arrays are.
case_keras_weights_alone() {
    needs_keras
    cp "$golden/keras3.weights.h5" .
    converts keras3.weights.h5 -o out.safetensors
    lacks out.safetensors eps
    prints "eps is not in the file: 0.001 in keras and 1e-05 in pytorch unless networks say otherwise. --eps X writes it."
    unzip -q "$golden/keras3.keras" model.weights.h5 2>/dev/null || { echo "skipped: unzip was not found"; exit 77; }
    local why="has three arrays: whether the first is gamma or beta is in the .keras file only"
    refuses 1 "model.weights.h5: \"batch_normalization\" $why" model.weights.h5 -o x
}

# Files of Keras that are cut or changed: a clear refusal, or a file that is whole. libhdf5 may not survive one; the command
# does.
case_keras_damaged() {
    needs_keras
    needs python3
    cat >damage.py <<'P'
import os, random, subprocess, sys
rng, counts = random.Random(1), {"refused": 0, "read": 0}
for name in ("keras3.keras", "keras2.h5", "keras3.weights.h5"):
    whole = open(os.path.join(sys.argv[1], name), "rb").read()
    for i in range(60):
        data = bytearray(whole)
        if i < 20:
            del data[rng.randrange(len(data)):]
        else:
            for _ in range(rng.choice([1, 3, 30])):
                data[rng.randrange(min(len(data), 4000) if i % 2 else len(data))] = rng.choice([0, 255, rng.randrange(256)])
        open("damaged", "wb").write(data)
        done = subprocess.run(sys.argv[2:] + ["convert", "damaged", "-o", "out"], capture_output=True, text=True,
                              errors="replace")
        lines = done.stderr.splitlines()
        assert done.returncode in (0, 1) and len(lines) == done.returncode, (name, i, done)
        assert os.path.exists("out") == (done.returncode == 0), (name, i)
        counts["read" if done.returncode == 0 else "refused"] += 1
        if done.returncode == 0: os.remove("out")
assert counts["refused"] > 60 and counts["read"] > 10, counts
P
    python3 damage.py "$golden" "${command[@]}" || fail "damage.py"
    printf 'PK\3\4%26sconfig.json%40s' "" "" >short.keras
    refuses 1 "short.keras: a zip file without its directory: it is cut off" short.keras -o x
    printf '\x89HDF\r\n\x1a\n' >short.h5
    refuses 1 "short.h5: is no HDF5 file that can be read: damaged, or not whole" short.h5 -o x
}

case_without_libhdf5_it_says_so() {
    [ -n "${BATCHNORM_TEST_NO_KERAS:-}" ] || { echo "skipped: this build has libhdf5"; exit 77; }
    cp "$golden/keras3.h5" .
    local why="this build reads none, because it was made without libhdf5 (Debian: libhdf5-dev)"
    refuses 1 "keras3.h5: is a file of Keras, and $why" keras3.h5 -o x
}

case_cut_at_every_byte() {
    local bytes
    make "b.running_mean=F32:1:1" "b.running_var=F32:1:3"
    cp in.safetensors whole
    for ((bytes = 0; bytes < $(wc -c <whole); bytes++)); do
        head -c $bytes whole >in.safetensors
        ! convert in.safetensors -o out.safetensors >out.log 2>err.log || fail "$bytes bytes"
        [ ! -e out.safetensors ] && [ "$(wc -l <err.log)" = 1 ] || fail "$bytes bytes: $(cat err.log)"
    done
}

case_output_that_cannot_be_written() {
    [ -w /dev/full ] || { echo "skipped: there is no /dev/full"; exit 77; }
    make "${network[@]}"
    ! convert in.safetensors -o /dev/full >out.log 2>err.log || fail "it says nothing"
    says "/dev/full: cannot be written: No space left on device"
    local status=0
    convert in.safetensors -o x >/dev/full 2>err.log || status=$?
    [ $status = 1 ] || fail "status $status"
}

run_case
