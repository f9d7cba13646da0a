#!/bin/bash
# SPDX-License-Identifier: MIT
# Cases of `batchnorm apply` with exact output: apply.sh CASE COMMAND... runs the function case_CASE in a directory of its own.
# Longer than other files because it is a list of cases.
#
# The numbers are small enough to be exact: with eps 3, x = 1, 3 has the mean 2 and the variance 1, so y = -0.5, 0.5.
. "$(dirname "$0")/../cases.sh"

# The command with any arguments, as some cases have no verb; and with this one.
batchnorm() { "${command[@]}" "$@"; }
apply() { batchnorm apply "$@"; }
ok() { silently batchnorm "$@"; }

# Evaluation without a state works, but is hardly ever meant.
nearly_nothing() {
    runs apply "$@"
    says 'note: without --state the running statistics are 0 and 1, and y is nearly x'
}

# Hexadecimal words, highest byte first, as little-endian bytes.
words() {
    local word i
    for word; do
        for ((i = ${#word} - 2; i >= 0; i -= 2)); do printf "\\x${word:i:2}"; done
    done
}

# npy FILE DESCR FORTRAN_ORDER SHAPE WORD...: as NumPy writes it.
npy() {
    local file=$1 header="{'descr': '$2', 'fortran_order': $3, 'shape': $4, }"
    shift 4
    { printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "$header"; words "$@"; } >"$file"
}

# safetensors FILE HEADER WORD...: the header is filled up with spaces to a multiple of 8.
safetensors() {
    local file=$1 header=$2
    shift 2
    while ((${#header} % 8)); do header+=' '; done
    { words "$(printf '%016x' ${#header})"; printf '%s' "$header"; words "$@"; } >"$file"
}

# entry NAME TYPE SHAPE FROM TO: a tensor in such a header.
entry() { printf '"%s":{"dtype":"%s","shape":[%s],"data_offsets":[%s,%s]}' "$@"; }

same() { cmp "$1" "$2" || { od -A d -t x1z "$1" >&2; od -A d -t x1z "$2" >&2; fail "$1 differs from $2"; }; }

x_1d() { npy x.npy '<f4' False '(2, 2)' 3f800000 40000000 40400000 40800000; } # 1 2 3 4
y_1d=(bf000000 bf000000 3f000000 3f000000)

case_training_normalizes_with_the_batch() {
    x_1d
    npy want.npy '<f4' False '(2, 2)' "${y_1d[@]}"
    ok apply --dims 1 --eps 3 x.npy -o y.npy
    same want.npy y.npy
    ok apply --dims=1 --eps=3e0 --threads 2 --output=z.npy -- x.npy
    same want.npy z.npy
}

case_ranks_of_the_three_classes() {
    npy x1.npy '<f4' False '(1, 1, 2)' 3f800000 40400000
    npy x2.npy '<f4' False '(1, 1, 1, 2)' 3f800000 40400000
    npy x3.npy '<f4' False '(1, 1, 2, 1, 1)' 3f800000 40400000
    for dims in 1 2 3; do
        ok apply --dims $dims --eps 3 x$dims.npy -o y.npy
        words bf000000 3f000000 | cmp - <(tail -c 8 y.npy) || fail "dims $dims"
    done
    refuses 1 'x3.npy: expected 4D input (got 5D input)' --dims 2 x3.npy -o z.npy
    refuses 1 'x2.npy: expected 2D or 3D input (got 4D input)' --dims 1 x2.npy -o z.npy
    npy x0.npy '<f4' False '()' 3f800000
    refuses 1 'x0.npy: expected 5D input (got 0D input)' --dims 3 x0.npy -o z.npy
    npy one.npy '<f4' False '(1, 2)' 3f800000 3f800000
    refuses 1 'one.npy: Expected more than 1 value per channel when training, got input size [1, 2]' \
        --dims 1 one.npy -o z.npy
}

case_evaluation_uses_the_running_statistics() {
    x_1d
    npy want.npy '<f4' False '(2, 2)' 3f000000 3f800000 3fc00000 40000000 # x / sqrt(1 + 3)
    nearly_nothing --dims 1 --eps 3 --eval x.npy -o y.npy
    same want.npy y.npy
    npy want.npy '<f4' False '(2, 2)' "${y_1d[@]}"
    ok apply --dims 1 --eps 3 --eval --no-track x.npy -o y.npy
    same want.npy y.npy
}

case_every_order_is_read() {
    npy want.npy '<f4' False '(2, 2)' "${y_1d[@]}"
    npy x.npy '<f4' True '(2, 2)' 3f800000 40400000 40000000 40800000
    ok apply --dims 1 --eps 3 x.npy -o y.npy
    same want.npy y.npy
    npy x.npy '>f4' False '(2, 2)' 0000803f 00000040 00004040 00008040
    ok apply --dims 1 --eps 3 x.npy -o y.npy
    same want.npy y.npy
}

case_channels_last() {
    # two channels: 1 3 and 20 20, as (1, 2, 2) with the channels in front and at the end
    npy first.npy '<f4' False '(1, 2, 2)' 3f800000 40400000 41a00000 41a00000
    npy last.npy '<f4' False '(1, 2, 2)' 3f800000 41a00000 40400000 41a00000
    npy want_first.npy '<f4' False '(1, 2, 2)' bf000000 3f000000 00000000 00000000
    npy want_last.npy '<f4' False '(1, 2, 2)' bf000000 00000000 3f000000 00000000
    ok apply --dims 1 --eps 3 first.npy -o y.npy
    same want_first.npy y.npy
    ok apply --dims 1 --eps 3 --channels-last last.npy -o y.npy
    same want_last.npy y.npy
    npy last.npy '<f4' True '(1, 1, 2, 2)' 3f800000 40400000 41a00000 41a00000
    npy want_last.npy '<f4' False '(1, 1, 2, 2)' bf000000 00000000 3f000000 00000000
    ok apply --dims 2 --eps 3 --channels-last last.npy -o y.npy
    same want_last.npy y.npy
}

case_types() {
    npy x.npy '<f8' False '(2, 1)' 3ff0000000000000 4008000000000000
    npy want8.npy '<f8' False '(2, 1)' bfe0000000000000 3fe0000000000000
    npy want4.npy '<f4' False '(2, 1)' bf000000 3f000000
    npy want2.npy '<f2' False '(2, 1)' b800 3800
    ok apply --dims 1 --eps 3 x.npy -o y.npy
    same want8.npy y.npy
    for size in 4 8 2; do
        ok apply --dims 1 --eps 3 x.npy --dtype f$((size * 8)) -o y.npy
        same want$size.npy y.npy
        nearly_nothing --dims 1 --eps 3 want$size.npy --eval -o y.npy
        cmp <(head -c 128 want$size.npy) <(head -c 128 y.npy) || fail "the type of y"
    done
}

case_bf16_goes_to_safetensors() {
    needs_safetensors
    x_1d
    ok apply --dims 1 --eps 3 --dtype bf16 x.npy -o y.safetensors:y
    safetensors want.safetensors "{$(entry y BF16 2,2 0 8)}" bf00 bf00 3f00 3f00
    same want.safetensors y.safetensors
    ok apply --dims 1 --eps 3 y.safetensors:y -o z.safetensors:y
    refuses 1 'z.npy: an .npy file cannot hold bf16; write to FILE.safetensors:NAME, or give --dtype f32' \
        --dims 1 y.safetensors:y -o z.npy
    nearly_nothing --dims 1 --eval --eps 0 --dtype f32 y.safetensors:y -o z.npy
    npy want.npy '<f4' False '(2, 2)' "${y_1d[@]}"
    same want.npy z.npy
}

case_gradients() {
    x_1d
    npy dy.npy '<f8' True '(2, 2)' 3ff0000000000000 4000000000000000 0000000000000000 0000000000000000 # 1 0 2 0
    ok apply --dims 1 --eps 3 x.npy -o y.npy --grad dy.npy --dx dx.npy --dweight dw.npy --dbias db.npy
    npy want_dw.npy '<f4' False '(2,)' 3f000000 00000000 # sum dy * y
    npy want_db.npy '<f4' False '(2,)' 40400000 00000000
    # (dy - 1.5 - y * 0.25) / 2: dy is 1 and 2, y is -0.5 and 0.5
    npy want_dx.npy '<f4' False '(2, 2)' be400000 00000000 3e400000 00000000
    same want_dx.npy dx.npy
    same want_dw.npy dw.npy
    same want_db.npy db.npy
    nearly_nothing --dims 1 --eps 3 --eval x.npy -o y.npy --grad dy.npy --dx dx.npy
    npy want_dx.npy '<f4' False '(2, 2)' 3f000000 00000000 3f800000 00000000
    same want_dx.npy dx.npy
    ok apply --dims 1 --eps 3 --dtype f64 x.npy -o y.npy --grad dy.npy --dbias db.npy
    npy want_db.npy '<f8' False '(2,)' 4008000000000000 0000000000000000
    same want_db.npy db.npy
    ok apply --dims 1 --eps 3 --dtype f16 x.npy -o y.npy --grad dy.npy --dbias db.npy --dx dx.npy
    npy want_db.npy '<f4' False '(2,)' 40400000 00000000
    same want_db.npy db.npy
    npy dy3.npy '<f4' False '(2, 3)' 0 0 0 0 0 0
    truncate -s 152 dy3.npy
    refuses 1 'dy3.npy: has the shape (2, 3), but x has (2, 2)' --dims 1 x.npy -o z.npy --grad dy3.npy
}

case_state_is_saved_and_loaded() {
    needs_safetensors
    x_1d
    ok apply --dims 1 --momentum 0.5 x.npy -o y.npy --save-state s.safetensors
    meta='{"__metadata__":{"format":"pt","batchnorm.eps":"1.0000000000000001e-05","batchnorm.momentum":"0.5"},'
    keys="$(entry weight F32 2 8 16),$(entry bias F32 2 16 24),$(entry running_mean F32 2 24 32),"
    keys+="$(entry running_var F32 2 32 40),$(entry num_batches_tracked I64 '' 0 8)}"
    safetensors want.safetensors "$meta$keys" 0000000000000001 \
        3f800000 3f800000 00000000 00000000 3f800000 3fc00000 3fc00000 3fc00000
    same want.safetensors s.safetensors
    # the file's momentum counts: (1 + 2) / 2 = 1.5; then the command line's: 1.5 * 0 + 2 * 1
    ok apply --dims 1 x.npy -o y.npy --state s.safetensors --save-state t.safetensors
    tail -c 16 t.safetensors | cmp - <(words 3fc00000 40100000 3fe00000 3fe00000) || fail "momentum of the file"
    ok apply --dims 1 x.npy -o y.npy --state s.safetensors --momentum 1 --save-state s.safetensors
    tail -c 16 s.safetensors | cmp - <(words 40000000 40400000 40000000 40000000) || fail "momentum of the command line"
    # the file's eps counts, and the command line's over it
    npy want.npy '<f4' False '(2, 2)' "${y_1d[@]}"
    ok apply --dims 1 --eps 3 x.npy -o y.npy --save-state e.safetensors
    ok apply --dims 1 x.npy -o y.npy --state e.safetensors
    same want.npy y.npy
    ok apply --dims 1 --eps 3 x.npy -o y.npy --state s.safetensors
    same want.npy y.npy
    ok apply --dims 1 --momentum none x.npy -o y.npy --save-state t.safetensors
    grep -q '"batchnorm.momentum":"none"' t.safetensors || fail "momentum none"
    npy x3.npy '<f4' False '(2, 3)' 00000000 00000000 00000000 00000000 00000000 00000000
    why='size mismatch for weight: copying a param with shape [2] from checkpoint, the shape in current model is [3].'
    refuses 1 "s.safetensors: $why" --dims 1 x3.npy -o z.npy --state s.safetensors
    refuses 1 's.safetensors: Unexpected key(s) in state_dict: "running_mean", "running_var", "num_batches_tracked".' \
        --dims 1 --no-track x.npy -o z.npy --state s.safetensors
}

# One layer of a network's file.
case_a_layer_of_a_network_is_picked() {
    needs_safetensors
    x_1d
    safetensors net.safetensors "{$(entry bn1.running_mean F32 2 0 8),$(entry bn1.running_var F32 2 8 16),$(
        entry bn1.weight F32 2 16 24),$(entry bn1.bias F32 2 24 32),$(entry fc.weight U8 3 32 35)}" \
        3f800000 40000000 3f800000 3f800000 3f800000 3f800000 00000000 40000000 000102
    npy want.npy '<f4' False '(2, 2)' 00000000 40000000 3f800000 40400000 # (x - mean) / 2 + bias: 0 2 1 3
    for picks in "--state net.safetensors:bn1" "--state net.safetensors:bn1." "--state net.safetensors --prefix bn1."; do
        ok apply --dims 1 --eps 3 --eval x.npy -o y.npy $picks
        same want.npy y.npy
    done
    cat net.safetensors | ok apply --dims 1 --eps 3 --eval x.npy -o z.npy --state - --prefix bn1.
    same want.npy z.npy
    refuses 1 'net.safetensors: without a prefix it has no such layer; there are layers under the prefixes "bn1."' \
        --dims 1 x.npy -o z.npy --state net.safetensors
    refuses 1 'net.safetensors:bn2: under the prefix bn2. it has no such layer; there are layers under the prefixes "bn1."' \
        --dims 1 x.npy -o z.npy --state net.safetensors:bn2
    refuses 2 "--save-state writes a file of its own, and no layer of another" \
        --dims 1 --state net.safetensors:bn1 x.npy -o z.npy --save-state net.safetensors:bn1
    refuses 2 "--prefix needs --state" --dims 1 --prefix bn1. x.npy -o z.npy
    refuses 2 "--prefix is for a --state that names no layer itself" \
        --dims 1 --state net.safetensors:bn1 --prefix bn1. x.npy -o z.npy
}

# (N, L, C) without a word: the state knows better.
case_channels_that_are_last_are_noticed() {
    needs_safetensors
    x_1d
    ok apply --dims 1 x.npy -o y.npy --save-state s.safetensors
    npy last.npy '<f4' False '(1, 3, 2)' 3f800000 3f800000 3f800000 3f800000 3f800000 40000000
    why='size mismatch for weight: copying a param with shape [2] from checkpoint, the shape in current model is [3].'
    refuses 1 "s.safetensors: $why The last size of x would fit: if its channels are the last, give --channels-last." \
        --dims 1 last.npy -o z.npy --state s.safetensors
    ok apply --dims 1 --channels-last last.npy -o z.npy --state s.safetensors
    npy other.npy '<f4' False '(1, 3, 1)' 3f800000 3f800000 3f800000
    refuses 1 "s.safetensors: $why" --dims 1 other.npy -o z.npy --state s.safetensors
}

# Standard input and output, pipes of any name.
case_arrays_come_from_pipes() {
    x_1d
    npy want.npy '<f4' False '(2, 2)' "${y_1d[@]}"
    cat x.npy | apply --dims 1 --eps 3 - -o y.npy
    same want.npy y.npy
    apply --dims 1 --eps 3 - -o - <x.npy | cmp - want.npy || fail "from a file to a pipe"
    cat x.npy | apply --dims 1 --eps 3 /dev/stdin -o /dev/stdout | cmp - want.npy || fail "by their names"
    apply --dims 1 --eps 3 <(cat x.npy) -o z.npy --grad <(cat x.npy) --dx dx.npy
    same want.npy z.npy
    mkfifo fifo
    cat x.npy >fifo &
    apply --dims 1 --eps 3 fifo -o f.npy
    same want.npy f.npy
    { head -c 10 >/dev/null; apply --dims 1 --eps 3 - -o g.npy; } < <(printf 0123456789; cat x.npy)
    same want.npy g.npy
    refuses 2 "both X and --grad are standard input; one can be" --dims 1 - --grad - -o z.npy
    yes | apply --dims 1 - -o h.npy 2>err.log && fail "endless text was taken for an array"
    says 'standard input: is no .npy file: its first bytes are not \x93NUMPY'
    npy two.npy '<f4' False '(2,)' 3f800000 3f800000
    refuses 1 "standard input: has the shape (2,), but x has (2, 2)" --dims 1 x.npy -o z.npy --grad - <two.npy
    refuses 1 "standard output: an .npy file cannot hold bf16; write to FILE.safetensors:NAME, or give --dtype f32" --dims 1 \
        --dtype bf16 x.npy -o -
}

case_nothing_but_a_look() {
    x_1d
    apply --dims 1 --print x.npy >out.log
    grep -q 'BatchNorm1d(2, eps=1e-05' out.log || fail "it prints: $(cat out.log)"
    ok apply --dims 1 x.npy -o /dev/null
    refuses 2 "-o is missing: where does y go?" --dims 1 x.npy
    npy want.npy '<f4' False '(2,)' 40800000 40c00000
    ok apply --dims 1 --eps 3 x.npy --grad x.npy --dbias b.npy
    same want.npy b.npy
}

# Each integer type as NumPy writes it: 1 2 3 4, or with bool 1 0 0 1.
case_integers_are_converted() {
    npy want.npy '<f4' False '(2, 2)' "${y_1d[@]}"
    npy i1.npy '|i1' False '(2, 2)' 01 02 03 04
    npy u1.npy '|u1' False '(2, 2)' 01 02 03 04
    npy i2.npy '<i2' False '(2, 2)' 0001 0002 0003 0004
    npy u2.npy '>u2' False '(2, 2)' 0100 0200 0300 0400
    npy i4.npy '<i4' False '(2, 2)' 00000001 00000002 00000003 00000004
    npy u4.npy '<u4' True '(2, 2)' 00000001 00000003 00000002 00000004
    npy i8.npy '<i8' False '(2, 2)' 0000000000000001 0000000000000002 0000000000000003 0000000000000004
    npy u8.npy '>u8' False '(2, 2)' 0100000000000000 0200000000000000 0300000000000000 0400000000000000
    for type in i1 u1 i2 u2 i4 u4 i8 u8; do
        refuses 1 "$type.npy: has integers as elements; --dtype converts them, as in --dtype f32" --dims 1 $type.npy -o z.npy
        ok apply --dims 1 --eps 3 --dtype f32 $type.npy -o y.npy
        same want.npy y.npy
    done
    npy b1.npy '|b1' False '(2, 2)' 00 01 01 00
    npy want.npy '<f4' False '(2, 2)' bf000000 3f000000 3f000000 bf000000 # 1 / (2 sqrt(1/4 + 3/4)) on both sides of 1/2
    ok apply --dims 1 --eps 0.75 --dtype f32 b1.npy -o y.npy
    same want.npy y.npy
    npy n.npy '<i2' False '(2, 2)' fffb ffff ffff 0003 # -5 -1, -1 3: twice as far apart
    npy want.npy '<f4' False '(2, 2)' bf000000 bf000000 3f000000 3f000000
    ok apply --dims 1 --eps 12 --dtype f32 n.npy -o y.npy
    same want.npy y.npy
}

case_outputs_share_a_file() {
    needs_safetensors
    x_1d
    ok apply --dims 1 --eps 3 x.npy -o o.safetensors:y --grad x.npy --dbias ./o.safetensors:b
    safetensors want.safetensors "{$(entry y F32 2,2 0 16),$(entry b F32 2 16 24)}" "${y_1d[@]}" 40800000 40c00000
    same want.safetensors o.safetensors
    # what the file has already stays, but for what is written anew
    kept="\"__metadata__\":{\"k\":\"v\"},$(entry b F32 '' 0 4)"
    safetensors o.safetensors "{$kept,$(entry y I64 '' 4 12)}" 3f800000 0000000000000007
    ok apply --dims 1 --eps 3 --dtype f16 x.npy -o o.safetensors:y
    safetensors want.safetensors "{$kept,$(entry y F16 2,2 4 12)}" 3f800000 b800 b800 3800 3800
    same want.safetensors o.safetensors
    safetensors o.safetensors "{$(entry b U8 1 0 1)}" 07
    refuses 1 "o.safetensors:y: has a tensor 'b' (U8) that cannot be kept; write to another file" \
        --dims 1 x.npy -o o.safetensors:y
    ok apply --dims 1 --eps 3 x.npy -o o.safetensors:b
    echo garbage >o.safetensors
    why="is there, but cannot be added to: the header's size is 749118580988207463; at most 100000000 is allowed"
    refuses 1 "o.safetensors:y: $why" --dims 1 x.npy -o o.safetensors:y
}

case_inputs_from_safetensors() {
    needs_safetensors
    safetensors in.safetensors "{$(entry x F32 2,2 0 16),$(entry a:b F64 2,1 16 32),$(entry i I64 '' 32 40)}" \
        3f800000 40000000 40400000 40800000 3ff0000000000000 4008000000000000 0000000000000007
    npy want.npy '<f4' False '(2, 2)' "${y_1d[@]}"
    ok apply --dims 1 --eps 3 in.safetensors:x -o y.npy
    same want.npy y.npy
    npy want.npy '<f8' False '(2, 1)' bfe0000000000000 3fe0000000000000
    ok apply --dims 1 --eps 3 in.safetensors:a:b -o y.npy
    same want.npy y.npy
    refuses 1 "in.safetensors:z: has no tensor 'z'; it has x, a:b, i" --dims 1 in.safetensors:z -o z.npy
    long=$(printf '%0300d' 0)
    safetensors long.safetensors "{$(entry "$long" F32 1 0 4)}" 00000000
    refuses 1 "long.safetensors:z: has no tensor 'z'; it has ${long:0:100}..." --dims 1 long.safetensors:z -o z.npy
    refuses 1 'in.safetensors:i: is of type I64; F32, F64, BF16 or F16 is needed, or with --dtype I64' \
        --dims 1 in.safetensors:i -o z.npy
    refuses 1 'in.safetensors: names no tensor; write FILE.safetensors:NAME' --dims 1 in.safetensors -o z.npy
}

case_print_shows_the_layer() {
    x_1d
    ok apply --dims 1 --eps 3 --no-bias --print x.npy -o y.npy
    want='BatchNorm1d(2, eps=3.0, momentum=0.1, affine=True, bias=False, track_running_stats=True)'
    grep -qx "$want" out.log || fail "$(cat out.log)"
    grep -q 'num_batches_tracked.*1' out.log || fail "$(cat out.log)"
    ok apply --dims 1 --no-affine --no-track --print x.npy -o y.npy
    grep -q 'affine=False, bias=False, track_running_stats=False' out.log || fail "$(cat out.log)"
}

# What is printed is no part of an array.
case_print_goes_into_no_output() {
    x_1d
    refuses 2 "--print and an output are both standard output; one can be" --dims 1 x.npy -o - --print
    refuses 2 "--print and an output are both standard output; one can be" --dims 1 x.npy --grad x.npy --dx - --print
}

case_empty_batches_are_arrays_too() {
    npy x.npy '<f4' False '(0, 3)'
    ok apply --dims 1 x.npy -o y.npy --grad x.npy --dx dx.npy --dbias db.npy
    same x.npy y.npy
    same x.npy dx.npy
    npy want.npy '<f4' False '(3,)' 00000000 00000000 00000000
    same want.npy db.npy
}

case_wrong_usage() {
    x_1d
    refuses 2 "the array X is missing" --dims 1 -o y.npy
    refuses 2 "-o is missing: where does y go?" --dims 1 x.npy
    refuses 2 "--dims is missing; it must be 1, 2 or 3" x.npy -o y.npy
    refuses 2 "--dims: '4' is not 1, 2 or 3" --dims 4 x.npy -o y.npy
    refuses 2 "--dims: '1x' is not 1, 2 or 3" --dims 1x x.npy -o y.npy
    refuses 2 "--eps: 'abc' is not a number from 0 on" --dims 1 --eps abc x.npy -o y.npy
    refuses 2 "--eps: '1,5' is not a number from 0 on" --dims 1 --eps 1,5 x.npy -o y.npy
    refuses 2 "--eps: '-1' is not a number from 0 on" --dims 1 --eps -1 x.npy -o y.npy
    refuses 2 "--eps: 'nan' is not a number from 0 on" --dims 1 --eps nan x.npy -o y.npy
    refuses 2 "--momentum: 'nil' is not a number or none" --dims 1 --momentum nil x.npy -o y.npy
    refuses 2 "--dtype: 'f8' is not f32, f64, bf16 or f16" --dims 1 --dtype f8 x.npy -o y.npy
    refuses 2 "--threads: '-1' is not a whole number from 0 to 1024" --dims 1 --threads -1 x.npy -o y.npy
    refuses 2 "--dx needs --grad" --dims 1 x.npy -o y.npy --dx dx.npy
    refuses 2 "--dweight: with --no-affine there is no weight" --dims 1 x.npy -o y.npy --grad x.npy --no-affine --dweight d.npy
    refuses 2 "--dbias: with --no-bias there is no bias" --dims 1 x.npy -o y.npy --grad x.npy --no-bias --dbias d.npy
    refuses 2 "there is one array X, but both 'x.npy' and 'z.npy' were given" --dims 1 x.npy z.npy -o y.npy
    refuses 2 "-o and --dx both write ./y.npy" --dims 1 x.npy -o y.npy --grad x.npy --dx ./y.npy
    refuses 2 "--dx and --dbias both write s.safetensors:a" \
        --dims 1 x.npy -o y.npy --grad x.npy --dx s.safetensors:a --dbias s.safetensors:a
    refuses 2 "-o and --save-state both write s.safetensors" --dims 1 x.npy -o s.safetensors:y --save-state s.safetensors
    refuses 2 "-o: 's.safetensors' names no tensor; write FILE.safetensors:NAME" --dims 1 x.npy -o s.safetensors
    refuses 2 "unrecognized option '--nothing'" --nothing
    refuses 2 "unrecognized option '--no?[31mthing'" $'--no\e[31mthing'
    fails 2 "batchnorm: a verb is missing" batchnorm
    fails 2 "batchnorm: unknown verb 'aply'" batchnorm aply
    fails 2 "batchnorm: unknown option '--dims'" batchnorm --dims
    fails 2 "batchnorm: nothing may follow --version" batchnorm --version x
}

case_failures_touch_nothing() {
    x_1d
    echo old >y.npy
    echo old >dx.npy
    refuses 1 "absent.npy: cannot be opened: No such file or directory" --dims 1 absent.npy -o y.npy
    head -c 140 x.npy >cut.npy
    refuses 1 "cut.npy: 12 bytes follow the header; the shape (2, 2) needs 16" --dims 1 cut.npy -o y.npy
    refuses 1 "y.npy: is no .npy file: it has only 4 bytes" --dims 1 y.npy -o y.npy
    npy i.npy '<c8' False '(2, 1)' 00000000 00000000 00000000 00000000
    refuses 1 "i.npy: has elements of type '<c8'; f2, f4 or f8 is needed, or integers with --dtype" --dims 1 i.npy -o y.npy
    refuses 1 "cut.npy: 12 bytes follow the header; the shape (2, 2) needs 16" \
        --dims 1 x.npy -o y.npy --grad cut.npy --dx dx.npy
    # the second output cannot be made, so the first is not
    refuses 1 "absent/dx.npy: no file can be created there: No such file or directory" \
        --dims 1 x.npy -o y.npy --grad x.npy --dx absent/dx.npy
    mkdir directory
    refuses 1 "directory: is neither a file nor a pipe" --dims 1 directory -o y.npy
    refuses 1 "directory: is a directory" --dims 1 x.npy -o y.npy --grad x.npy --dx directory
    refuses 1 "x.npy: batch_norm eps must be positive during training, but got 0.0" --dims 1 --eps 0 x.npy -o y.npy
}

# 3 GiB, of which the disk has a page; 16 GiB, which a 32-bit machine cannot count.
case_sizes_of_more_than_32_bits() {
    local got=0 why="16 bytes follow the header; the shape (1073741824, 4) needs 17179869184"
    x_1d
    cp x.npy large.npy
    truncate -s 3G large.npy 2>large.log || { echo "skipped: $(cat large.log)"; exit 77; }
    apply --dims 1 large.npy -o y.npy 2>err.log || got=$?
    [ $got = 1 ] || fail "status $got"
    says "large.npy: 3221225344 bytes follow the header; the shape (2, 2) needs 16"
    rm large.npy
    npy x.npy '<f4' False '(1073741824, 4)' 3f800000 40000000 40400000 40800000
    [ -z "${BATCHNORM_TEST_NO_64_BITS:-}" ] || why="has the shape (1073741824, 4), which does not fit the address space"
    refuses 1 "x.npy: $why" --dims 1 x.npy -o y.npy
}

case_links_and_modes_stay() {
    x_1d
    npy want.npy '<f4' False '(2, 2)' "${y_1d[@]}"
    ln -s real.npy link.npy
    silently apply --dims 1 --eps 3 x.npy -o link.npy
    same want.npy real.npy
    chmod 600 real.npy
    silently apply --dims 1 --eps 3 x.npy -o link.npy
    [ -L link.npy ] && [ "$(stat -c %a real.npy)" = 600 ] || fail "$(ls -l)"
    needs_safetensors
    silently apply --dims 1 --eps 3 x.npy -o link.npy --save-state state.safetensors
    ln -s state.safetensors state
    chmod 640 state.safetensors
    silently apply --dims 1 --eps 3 x.npy -o link.npy --save-state state
    [ -L state ] && [ "$(stat -c %a state.safetensors)" = 640 ] || fail "$(ls -l)"
    [ "$(id -u)" != 0 ] || return 0 # may write everywhere
    chmod 400 real.npy
    refuses 1 "link.npy: cannot be written: Permission denied" --dims 1 --eps 3 x.npy -o link.npy
}

case_numbers_of_pytorch_and_of_the_smallest() {
    x_1d
    silently apply --dims 1 --momentum None --eps 1e-310 --print x.npy -o y.npy
    grep -q 'momentum=None' out.log || fail "$(cat out.log)"
}

case_an_instruction_set_that_is_not_there() {
    x_1d
    BATCHNORM_ISA=avx3 runs apply --dims 1 x.npy -o y.npy
    grep -qE "^batchnorm apply: BATCHNORM_ISA is 'avx3', which this machine has not; [a-z0-9]+ is used$" err.log ||
        fail "$(cat err.log)"
}

# A pipe of our own stands for devices: a mistake in the command must not replace one of the machine.
case_what_is_no_file_is_written_to() {
    x_1d
    npy want.npy '<f4' False '(2, 2)' "${y_1d[@]}"
    mkfifo pipe
    cat pipe >piped.npy &
    silently apply --dims 1 --eps 3 x.npy -o pipe
    wait $!
    same want.npy piped.npy
    [ -p pipe ] || fail "$(ls -l)"
    local output
    for output in - /dev/stdout /dev/fd/1; do
        { echo before; batchnorm apply --dims 1 --eps 3 x.npy -o $output; echo after; } >all
        { echo before; cat want.npy; echo after; } | cmp - all || fail "-o $output"
    done
    needs_safetensors
    batchnorm apply --dims 1 --eps 3 x.npy -o y.npy --save-state /dev/fd/3 3>state.safetensors
    silently apply --dims 1 --eps 3 x.npy -o y.npy --save-state want.safetensors
    same want.safetensors state.safetensors
}

case_two_runs_add_to_one_file() {
    needs_safetensors
    x_1d
    local run round
    for round in 1 2 3; do
        for run in a b c d; do batchnorm apply --dims 1 x.npy -o all.safetensors:$run$round & done
        wait
    done
    for round in 1 2 3; do
        for run in a b c d; do silently apply --dims 1 all.safetensors:$run$round -o y.npy; done
    done
}

case_a_full_disk_touches_nothing() {
    npy x.npy '<f4' False '(2, 512)'
    head -c 4096 /dev/zero >>x.npy
    echo old >y.npy
    echo old >s.safetensors
    ( # not even the first output fits
        ulimit -f 4
        refuses 1 'y.npy: cannot be written: File too large' --dims 1 x.npy -o y.npy
    )
    [ -n "${BATCHNORM_TEST_NO_SAFETENSORS:-}" ] || ( # the first does, the second does not
        ulimit -f 6
        refuses 1 's.safetensors: cannot be written: File too large' \
            --dims 1 x.npy -o y.npy --save-state s.safetensors
    )
    before=$(contents)
    if apply --dims 1 --print x.npy -o y.npy >/dev/full 2>err.log; then fail "printing to a full disk succeeded"; fi
    says 'standard output cannot be written'
    [ "$(contents)" = "$before" ] || fail "files were touched"
    if batchnorm --help >/dev/full 2>err.log; then fail "help to a full disk succeeded"; fi
}

case_a_small_file_system_touches_nothing() {
    # a real one, where the kernel lets us mount it
    unshare -rm true 2>/dev/null || exit 77
    npy x.npy '<f4' False '(2, 8192)'
    head -c 65536 /dev/zero >>x.npy
    mkdir small
    export -f batchnorm fail
    unshare -rm bash -c 'mount -t tmpfs -o size=96k none small || exit 77
        echo old >small/y.npy
        echo old >small/dx.npy
        code=0; "$@" apply --dims 1 x.npy -o small/y.npy --grad x.npy --dx small/dx.npy 2>err.log || code=$?
        [ "$code" = 1 ] && [ "$(cat err.log)" = "batchnorm apply: small/dx.npy: cannot be written: No space left on device" ] &&
        [ "$(cat small/y.npy small/dx.npy)" = "$(printf "old\nold")" ] && [ "$(ls -A small | wc -l)" = 2 ]' \
        bash "${command[@]}" || { code=$?; [ $code = 77 ] && exit 77; fail "status $code: $(cat err.log)"; }
}

case_a_file_that_cannot_be_replaced_touches_nothing() {
    # a mount point cannot be renamed over: the last of three outputs fails, after two were in place
    unshare -rm true 2>/dev/null || exit 77
    x_1d
    echo old >y.npy
    echo old >dweight.npy
    touch mounted
    local before
    before=$(contents)
    unshare -rm bash -c 'mount --bind mounted dweight.npy || exit 77
        code=0; "$@" apply --dims 1 x.npy -o y.npy --grad x.npy --dx dx.npy --dweight dweight.npy 2>err.log || code=$?
        [ "$code" = 1 ] && [ "$(cat err.log)" = "batchnorm apply: dweight.npy: cannot be replaced: Device or resource busy" ]' \
        bash "${command[@]}" || { code=$?; [ $code = 77 ] && exit 77; fail "status $code: $(cat err.log)"; }
    [ "$(contents)" = "$before" ] || fail "files were touched: $(contents)"
}

case_links_are_written_through() {
    x_1d
    mkdir there
    echo old >there/y.npy
    ln -s there/y.npy y.npy
    ok apply --dims 1 --eps 3 x.npy -o y.npy
    [ -L y.npy ] || fail "the link was replaced"
    npy want.npy '<f4' False '(2, 2)' "${y_1d[@]}"
    same want.npy there/y.npy
}

case_modes_follow_the_umask() {
    x_1d
    umask 027
    ok apply --dims 1 x.npy -o y.npy
    [ "$(stat -c %a y.npy)" = 640 ] || fail "$(stat -c %a y.npy)"
}

case_an_input_may_be_the_output() {
    x_1d
    npy want.npy '<f4' False '(2, 2)' "${y_1d[@]}"
    ok apply --dims 1 --eps 3 x.npy -o x.npy
    same want.npy x.npy
}

case_help_and_version() {
    ok --version
    grep -qx 'batchnorm [0-9]*\.[0-9]*\.[0-9]*' out.log || fail "$(cat out.log)"
    ok --help
    for verb in apply bench compare train; do
        grep -q "^  $verb " out.log || fail "--help does not name $verb"
        batchnorm $verb --help >verb.log || fail "$verb --help"
        grep -q "^Usage: batchnorm $verb " verb.log || fail "$verb --help"
    done
}

case_without_safetensors_it_says_so() {
    [ -n "${BATCHNORM_TEST_NO_SAFETENSORS:-}" ] || exit 77
    x_1d
    why='this build knows no safetensors files, because it was made without jansson'
    refuses 1 "x.safetensors:x: $why" --dims 1 x.safetensors:x -o y.npy
    refuses 1 "s.safetensors: $why" --dims 1 x.npy -o y.npy --state s.safetensors
    refuses 1 "s.safetensors: $why" --dims 1 x.npy -o y.npy --save-state s.safetensors
    refuses 1 "y.safetensors:y: $why" --dims 1 x.npy -o y.safetensors:y
}

run_case
