#!/bin/bash
# SPDX-License-Identifier: MIT
# Cases of `batchnorm fold`: fold.sh CASE COMMAND... runs the function case_CASE in a directory of its own. Small models are in
# tests/model/models; make_models.py there made them.
. "$(dirname "$0")/../cases.sh"
. "$here/../states.sh"
models=$here/../../model/models

fold() { "${command[@]}" fold "$@"; }
folds() { silently fold "$@"; }
# prints TEXT: that is all that the last command printed.
prints() { [ "$(cat out.log)" = "$1" ] || fail "$(cat out.log)"; }
needs_state() { needs_safetensors; }

# values FILE NAME: the numbers of a tensor of F32.
values() {
    python3 - "$@" <<'P'
import json, struct, sys
with open(sys.argv[1], "rb") as f:
    header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
    at, end = header[sys.argv[2]]["data_offsets"]
    start = f.tell()
    f.seek(start + at)
    print(*("%g" % v for v in struct.unpack("<%df" % ((end - at) // 4), f.read(end - at))))
P
}

case_folds_and_says_so() {
    folds "$models/conv.onnx" -o out.onnx
    prints "out.onnx: 1 of 1 batch norms are folded
not verified"
    ! grep -q BatchNormalization out.onnx || fail "the node is still there"
    folds out.onnx -o again.onnx
    prints "again.onnx: 0 of 0 batch norms are folded
not verified"
    cmp out.onnx again.onnx || fail "a model without batch norms changes"
}

case_explains_each() {
    folds "$models/norm_conv_padded.onnx" -o out.onnx --explain
    [ "$(head -n 1 out.log | sed 's/[0-9]*_node/N/g')" = "batchnormalizationN: left: its input is not computed in this graph; \
the Conv after it pads with zeros, which have no shift" ] || grep -qE "^batchnormalization[0-9]+_node: (left|became)" out.log ||
        fail "$(cat out.log)"
    folds "$models/conv.onnx" -o out.onnx --explain
    [ "$(sed -E 's/[0-9]+_node/N/g' out.log)" = "batchnormalizationN: into convN
out.onnx: 1 of 1 batch norms are folded
not verified" ] || fail "$(cat out.log)"
    folds "$models/two_users.onnx" -o out.onnx --explain
    [ "$(sed -E 's/[0-9]+_node/N/g' out.log)" = "batchnormalizationN: left: \
a value between has 2 users; its output is one of the graph
out.onnx: 0 of 1 batch norms are folded
not verified" ] || fail "$(cat out.log)"
}

case_leaves_a_model_that_has_nothing_to_fold() {
    folds "$models/two_users.onnx" -o out.onnx
    cmp out.onnx "$models/two_users.onnx" || fail "bytes change although nothing is folded"
}

case_json() {
    needs python3
    folds "$models/two_users.onnx" -o 'o"ut.onnx' --json
    python3 -m json.tool out.log json.log || fail "$(cat out.log)"
    python3 - <<'P' || fail "$(cat out.log)"
import json
o = json.load(open("out.log"))
assert (o["output"], o["count"], o["left"], o["tensors"], o["verified"]) == ('o"ut.onnx', 1, 1, 0, None), o
assert o["batch_norms"][0]["fold"] == "left" and "2 users" in o["batch_norms"][0]["why"], o
P
    folds "$models/conv.onnx" -o out.onnx --json
    python3 - <<'P' || fail "$(cat out.log)"
import json, os
o = json.load(open("out.log"))
assert o["batch_norms"][0]["fold"] == "before" and o["left"] == 0 and o["bytes"] == os.path.getsize("out.onnx"), o
P
}

case_require_all() {
    local status=0
    fold "$models/two_users.onnx" -o out.onnx --require-all >out.log 2>err.log || status=$?
    [ $status = 1 ] && [ -s out.onnx ] || fail "status $status"
    folds "$models/conv.onnx" -o out.onnx --require-all
}

case_rewrite() {
    folds "$models/two_users.onnx" -o out.onnx --rewrite
    prints "out.onnx: 1 of 1 batch norms are folded
not verified"
    ! grep -q BatchNormalization out.onnx || fail "the node is still there"
}

case_assume_constant() {
    folds "$models/inputs_ir8.onnx" -o out.onnx
    prints "out.onnx: 0 of 1 batch norms are folded
not verified"
    folds "$models/inputs_ir8.onnx" -o out.onnx --assume-constant
    prints "out.onnx: 1 of 1 batch norms are folded
not verified"
}

case_onto_the_model_is_refused() {
    cp "$models/conv.onnx" model.onnx
    cp model.onnx kept.onnx
    ln -s model.onnx link.onnx
    for output in model.onnx ./model.onnx link.onnx; do
        ! "${command[@]}" fold model.onnx -o $output >out.log 2>err.log || fail "it writes onto the model as $output"
        cmp model.onnx kept.onnx || fail "the model was touched"
        [ ! -s out.log ] && [ -s err.log ] || fail "$(cat out.log err.log)"
    done
}

case_wrong_usage() {
    refuses 2 "-o FILE is missing: where does the model go?" x.onnx
    refuses 2 "MODEL is missing" -o y.onnx
    refuses 2 "one MODEL at a time" x.onnx z.onnx -o y.onnx
    refuses 2 "--input is for --verify" x.onnx -o y.onnx --input x=y.npy
    refuses 2 "$models/conv.onnx: --pair and --eps are for states; an ONNX model tells both" \
        "$models/conv.onnx" -o y.onnx --pair a=b
    refuses 2 "$models/conv.onnx: --pair and --eps are for states; an ONNX model tells both" \
        "$models/conv.onnx" -o y.onnx --eps 0.1
}

case_wrong_files() {
    echo "no model" >wrong.onnx
    : >empty.onnx
    head -c 100 "$models/conv.onnx" >cut.onnx
    for file in missing.onnx wrong.onnx empty.onnx cut.onnx; do
        status=0
        "${command[@]}" fold $file -o out.onnx >out.log 2>err.log || status=$?
        [ $status = 1 ] && [ ! -s out.log ] && [ ! -e out.onnx ] || fail "$file: status $status, $(cat out.log)"
        grep -q "^batchnorm fold: $file: " err.log || fail "$(cat err.log)"
    done
    ! "${command[@]}" fold "$models/conv.onnx" -o missing/out.onnx >out.log 2>err.log || fail "a folder that is not there"
    grep -q "missing/out.onnx" err.log || fail "$(cat err.log)"
}

case_from_a_pipe() {
    folds /dev/stdin -o out.onnx <"$models/conv.onnx"
    folds "$models/conv.onnx" -o same.onnx
    cmp out.onnx same.onnx || fail "a redirection gives another model"
    cat "$models/conv.onnx" | fold /dev/stdin -o piped.onnx >out.log 2>err.log || fail "$(cat err.log)"
    cmp piped.onnx same.onnx || fail "a pipe gives another model"
    cat "$models/conv.onnx" | fold - -o named.onnx >out.log 2>err.log || fail "$(cat err.log)"
    cmp named.onnx same.onnx || fail "- gives another model"
    refuses 1 "standard input: is neither a file nor a pipe" - -o no.onnx </dev/null
}

case_not_verified_without_a_runtime() {
    VIRTUAL_ENV=/nowhere LD_LIBRARY_PATH= folds "$models/conv.onnx" -o out.onnx --verify
    grep -qE "^(not verified: ONNX Runtime was not found|verified with)" out.log || fail "$(cat out.log)"
}

case_state_by_pairs() {
    make_state
    folds state.safetensors -o out.safetensors --pair a.0=a.1 --eps 0.25
    prints "out.safetensors: 1 of 1 batch norms are folded, with eps 0.25
A state has no graph: that nothing is between the pairs, and that no LAYER is a transposed convolution, is your word."
    [ "$(values out.safetensors a.0.weight)" = "3 4" ] || fail "weight: $(values out.safetensors a.0.weight)"
    [ "$(values out.safetensors a.0.bias)" = "5 4" ] || fail "bias: $(values out.safetensors a.0.bias)"
    [ "$(values out.safetensors other)" = "9" ] || fail "another tensor changed"
    ! grep -q running_var out.safetensors || fail "the batch norm is still there"
    folds state.safetensors -o pattern.safetensors --pair '*.0=*.1' --eps 0.25
    cmp out.safetensors pattern.safetensors || fail "a pattern gives another state"
    make_state eps
    folds state.safetensors -o told.safetensors --pair '*.0=*.1'
    cmp out.safetensors told.safetensors || fail "eps of the file gives another state"
}

case_state_whose_numbers_do_not_fit() {
    make_state type=F16 "a.1.weight=1e4 1" "a.0.weight=100 1"
    refuses 1 'state.safetensors: "a.0.weight" with a.1 would have a number that is not finite in its type' \
        state.safetensors -o out.safetensors --pair a.0=a.1 --eps 0.25
    make_state type=F16 "a.1.weight=1e-3 1" "a.0.weight=1e-3 1" "a.1.bias=0 0" "a.1.running_mean=0 0"
    refuses 1 'state.safetensors: "a.0.weight" with a.1 would be too small for the digits of its type' \
        state.safetensors -o out.safetensors --pair a.0=a.1 --eps 0.25
    make_state "a.1.weight=1e-30 1" "a.0.weight=1e-10 1" "a.1.bias=0 0" "a.1.running_mean=0 0"
    folds state.safetensors -o out.safetensors --pair a.0=a.1 --eps 0.25
    grep -qx "1 numbers would have been subnormal and are 0" out.log || fail "$(cat out.log)"
    folds state.safetensors -o out.safetensors --pair a.0=a.1 --eps 0.25 --json
    [ "$(python3 -c 'import json; print(json.load(open("out.log"))["flushed"])')" = 1 ] || fail "$(cat out.log)"
}

# What folding does not change comes out with the same bytes, whatever its type.
case_state_of_every_type() {
    make_state
    cat >load.py <<'P'
import json, struct
def load(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    header.pop("__metadata__", None)
    return {n: (t["dtype"], t["shape"], data[slice(*t["data_offsets"])]) for n, t in header.items()}
def save(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, new) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(new)]}
        data += new
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
P
    PYTHONPATH=. python3 - <<'P'
from load import *
state = load("state.safetensors")
save("integers.safetensors", {**state, "a.0.weight": ("I32", [2, 1], b"12345678")})
eights = {t: 8 for t in ("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2")}
others = {"F4": 4, "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "U64": 64,
          "I64": 64, "F64": 64, "C64": 64}
for dtype, bits in {**eights, **others}.items():
    state["x." + dtype] = (dtype, [2], bytes(range(255, 255 - bits // 4, -1)))
save("types.safetensors", state)
P
    folds types.safetensors -o out.safetensors --pair a.0=a.1 --eps 0.25
    PYTHONPATH=. python3 - <<'P' || fail "tensors are lost, or others"
from load import *
kept, after = ({n: t for n, t in load(f).items() if not n.startswith("a.")} for f in ("types.safetensors", "out.safetensors"))
assert len(kept) == 17 and after == kept, (kept, after)
P
    refuses 1 'integers.safetensors: "a.0.weight" is of type I32, which is not computed with' \
        integers.safetensors -o out.safetensors --pair a.0=a.1 --eps 0.25
}

case_state_from_a_pipe() {
    make_state
    cat state.safetensors | fold /dev/stdin -o piped.safetensors --pair a.0=a.1 --eps 0.25 >out.log 2>err.log ||
        fail "$(cat err.log)"
    folds state.safetensors -o out.safetensors --pair a.0=a.1 --eps 0.25
    cmp piped.safetensors out.safetensors || fail "a pipe gives another state"
}

case_state_onto_itself_is_refused() {
    make_state
    cp state.safetensors kept.safetensors
    ln -s state.safetensors link.safetensors
    ln state.safetensors hard.safetensors
    for output in state.safetensors ./state.safetensors link.safetensors hard.safetensors; do
        refuses 1 "$output: it is the state that is read; it must go into another file" \
            state.safetensors -o $output --pair a.0=a.1 --eps 0.25
        cmp state.safetensors kept.safetensors || fail "the state was touched"
    done
    for end in onnx pth pt; do
        refuses 2 "state.safetensors: a state is written as safetensors: -o FILE.safetensors" \
            state.safetensors -o out.$end --pair a.0=a.1 --eps 0.25
    done
}

case_state_and_options_of_models() {
    make_state
    refuses 2 "state.safetensors: --verify is for ONNX models: a state has no graph that could be run" \
        state.safetensors -o out.safetensors --pair a.0=a.1 --eps 0.25 --verify
    refuses 2 "state.safetensors: --rewrite is for ONNX models: a state has no graph" \
        state.safetensors -o out.safetensors --pair a.0=a.1 --eps 0.25 --rewrite
}

case_state_that_is_not_told_enough() {
    make_state
    refuses 2 "state.safetensors: a state has no graph, so that it must be told what follows what: --pair LAYER=NORM" \
        state.safetensors -o out.safetensors --eps 1e-5
    refuses 1 "state.safetensors: the file does not tell eps: --eps X is missing (PyTorch's default is 1e-5)" \
        state.safetensors -o out.safetensors --pair a.0=a.1
    refuses 1 "state.safetensors: --pair a.5=a.1: the file has no such layer" \
        state.safetensors -o out.safetensors --pair a.5=a.1 --eps 1
    refuses 1 "state.safetensors: --pair *.0=a.1: a * must be on both sides" \
        state.safetensors -o out.safetensors --pair '*.0=a.1' --eps 1
    refuses 1 "state.safetensors: --pair b.0=b.1: nothing in the file fits" \
        state.safetensors -o out.safetensors --pair b.0=b.1 --eps 1
    refuses 2 "--pair: 'a' is not LAYER=NORM" state.safetensors -o out.safetensors --pair a --eps 1
}

run_case
