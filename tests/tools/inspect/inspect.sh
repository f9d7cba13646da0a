#!/bin/bash
# SPDX-License-Identifier: MIT
# Cases of `batchnorm inspect`: inspect.sh CASE COMMAND... runs the function case_CASE in a directory of its own. Small models
# are in tests/model/models; make_models.py there made them.
. "$(dirname "$0")/../cases.sh"
. "$here/../states.sh"
models=$here/../../model/models

inspect() { "${command[@]}" inspect "$@"; }
inspects() { silently inspect "$@"; }

case_lists_batch_norms() {
    cp "$models/conv.onnx" model.onnx
    inspects model.onnx
    [ "$(sed -E 's/[0-9]+_node/N/g; s/  +/  /g' out.log)" = "batchnormalizationN  4  0.001  Conv  -  ok; folds into convN
model.onnx (ONNX): 1 batch norm with 4 channels; 1 can be folded; 0 unhealthy" ] || fail "$(cat out.log)"
}

case_says_what_is_unhealthy() {
    cp "$models/zeros_and_subnormals.onnx" model.onnx
    inspects model.onnx
    grep -qF "1 with running_var = 0, 1 with a subnormal running_var, 2 with running_var < eps, 2 with |weight| < 1e-3" \
        out.log || fail "$(cat out.log)"
    grep -q "1 unhealthy$" out.log || fail "$(cat out.log)"
}

case_strict() {
    local status=0
    inspects --strict "$models/conv.onnx"
    "${command[@]}" inspect --strict "$models/conv.onnx" "$models/zeros_and_subnormals.onnx" >out.log 2>err.log || status=$?
    [ $status = 1 ] || fail "status $status"
    status=0
    "${command[@]}" inspect --strict "$models/training_mode.onnx" >out.log 2>err.log || status=$?
    [ $status = 1 ] && grep -q "training mode" out.log || fail "status $status: $(cat out.log)"
}

case_all_tensors() {
    cp "$models/conv.onnx" model.onnx
    inspects --all model.onnx
    [ "$(sed -E 's/^([wp])[0-9]+/\1/' out.log)" = "w  FLOAT [4, 3, 3, 3]
p  FLOAT [4]
p  FLOAT [4]
p  FLOAT [4]
p  FLOAT [4]" ] || fail "$(cat out.log)"
    inspects --all --prefix w model.onnx
    [ "$(wc -l <out.log)" = 1 ] || fail "$(cat out.log)"
}

case_prefix() {
    cp "$models/conv.onnx" model.onnx
    inspects --prefix nothing model.onnx
    [ "$(cat out.log)" = "model.onnx (ONNX): 0 batch norms with 0 channels; 0 can be folded; 0 unhealthy" ] ||
        fail "$(cat out.log)"
}

case_json() {
    needs python3
    inspects --json "$models/zeros_and_subnormals.onnx"
    python3 - <<'P' || fail "$(cat out.log)"
import json
o = json.loads(open("out.log").read())
n = o["batch_norms"][0]
assert (o["format"], o["count"], o["channels"], o["foldable"], o["unhealthy"], o["unread"]) == ("ONNX", 1, 4, 1, 1, 0), o
assert (n["var_zero"], n["var_subnormal"], n["var_below_eps"], n["weight_small"], n["healthy"]) == (1, 1, 2, 2, False), n
assert abs(n["eps"] - 1e-3) < 1e-9 and n["eps_in_file"] and n["before"] == "Conv" and n["fold"] == "before", n
P
    inspects --json --all "$models/conv.onnx" "$models/two_users.onnx"
    [ "$(wc -l <out.log)" = 2 ] || fail "$(cat out.log)"
    while read -r line; do python3 -m json.tool <<<"$line" >json.log || fail "$line"; done <out.log
    inspects --json "$models/odd_names.onnx"
    python3 -m json.tool out.log json.log || fail "$(cat out.log)"
}

case_eps_that_is_not_there() {
    inspects "$models/no_eps.onnx"
    grep -qF "1e-05*" out.log && grep -q "eps not in the file" out.log || fail "$(cat out.log)"
    grep -qx "\* eps is not in the file; the default of ONNX is taken" out.log || fail "$(cat out.log)"
    grep -q "  ok, eps not in the file; " out.log && grep -q "; 0 unhealthy$" out.log || fail "$(cat out.log)"
    inspects --strict "$models/no_eps.onnx"
    inspects --json "$models/no_eps.onnx"
    grep -q '"eps_in_file": false' out.log && grep -q '"healthy": true' out.log || fail "$(cat out.log)"
}

# The bytes of 0.001 in the model become those of another number.
case_eps_that_is_no_positive_number() {
    needs python3
    local words bytes status
    while read -r words bytes; do
        python3 - "$models/conv.onnx" "$bytes" <<'P'
import sys
model, old = open(sys.argv[1], "rb").read(), bytes.fromhex("6f12833a")
assert model.count(old) == 1
open("model.onnx", "wb").write(model.replace(old, bytes.fromhex(sys.argv[2])))
P
        status=0
        "${command[@]}" inspect --strict model.onnx >out.log 2>err.log || status=$?
        [ $status = 1 ] && grep -q "eps is $words" out.log || fail "$words: $status $(cat out.log err.log)"
    done <<'E'
-1 000080bf
0 00000000
nan 0000c07f
E
}

case_folder() {
    mkdir checkpoints
    cp "$models/conv.onnx" checkpoints/model_10.onnx
    cp "$models/zeros_and_subnormals.onnx" checkpoints/model_9.onnx
    echo text >checkpoints/notes.txt
    inspects checkpoints
    [ "$(sed -E 's/ +/ /g' out.log)" = "file norms channels batches var = 0 subnormal < eps weight~0 not finite unhealthy
model_9.onnx 1 4 - 1 1 2 2 0 1
model_10.onnx 1 4 - 0 0 0 0 0 0" ] || fail "$(cat out.log)"
    inspects --prefix nothing checkpoints
    grep -q "^model_9.onnx  *0  *0  *-  *0 " out.log || fail "$(cat out.log)"
    refuses 1 "checkpoints: --all lists the tensors of a file, and this is a folder" --all checkpoints
    mkdir empty
    refuses 1 "empty: no file whose name is a model's (.pth, .safetensors, .onnx and so on) is in it" empty
}

case_state() {
    make_state "a.1.running_var=0.125 2"
    inspects state.safetensors
    [ "$(sed -E 's/  +/  /g' out.log)" = "a.1  2  7 batches  ok
A state has no graph: what follows what is not in it.
It has no eps either: with --eps X the variances below X are counted, too.
state.safetensors (safetensors): 1 batch norm with 2 channels, of pytorch; 0 unhealthy" ] || fail "$(cat out.log)"
    inspects --eps 0.25 state.safetensors
    grep -q "7 batches  1 with running_var < eps" out.log && ! grep -q "no eps" out.log || fail "$(cat out.log)"
    make_state eps "a.1.running_var=0.125 2"
    inspects state.safetensors
    grep -q "7 batches  1 with running_var < eps" out.log && ! grep -q "no eps" out.log || fail "$(cat out.log)"
    mkdir states
    mv state.safetensors states
    inspects --json --eps 0.125 states
    grep -q '"var_below_eps": 0' out.log || fail "$(cat out.log)"
}

# make WORD...: state.safetensors, by the words of tensors.py.
make() {
    needs_safetensors
    needs python3
    python3 "$here/../convert/tensors.py" make state.safetensors "$@" || fail "tensors.py"
}
# lists LINE...: these are all.
lists() {
    inspects --eps 0.5 state.safetensors
    [ "$(sed -E '/^A state has/d; s/  +/  /g' out.log)" = "$(printf '%s\n' "$@")" ] || fail "$(cat out.log)"
}

# A variance of 0, one below eps, a weight that is nearly 0, a mean that is none: each is found at its place.
case_every_convention() {
    local of weight bias mean var more ill="1 with running_var = 0, 1 with running_var < eps, 1 with |weight| < 1e-3"
    while read -r of weight bias mean var more; do
        make "x.w=F32:1:1" "$weight=F32:3:1 0 2" "$bias=F32:3:0 0 0" "$mean=F32:3:1 nan 3" "$var=F32:3:0 1 2" $more
        lists "l.b  3  $ill, 1 with a NaN or an infinity" \
            "state.safetensors (safetensors): 1 batch norm with 3 channels, of $of; 1 unhealthy"
        inspects --json --eps 0.5 state.safetensors
        grep -q "\"name\": \"l.b\", \"channels\": 3, \"convention\": \"$of\", \"eps\": 0.5" out.log || fail "$(cat out.log)"
        mkdir -p folder && cp state.safetensors folder
        inspects --eps 0.5 folder
        [ "$(sed -E 's/ +/ /g; 1d' out.log)" = "state.safetensors 1 3 - 1 0 1 1 1 1" ] || fail "$(cat out.log)"
    done <<'N'
pytorch l.b.weight l.b.bias l.b.running_mean l.b.running_var
keras l.b/gamma l.b/beta l.b/moving_mean l.b/moving_variance
keras l.b/gamma:0 l.b/beta:0 l.b/moving_mean:0 l.b/moving_variance:0
flax params/l.b/scale params/l.b/bias batch_stats/l.b/mean batch_stats/l.b/var
flax params.l.b.scale params.l.b.bias batch_stats.l.b.mean batch_stats.l.b.var
mxnet l.b_gamma l.b_beta l.b_moving_mean l.b_moving_var
mxnet arg:l.b_gamma arg:l.b_beta aux:l.b_moving_mean aux:l.b_moving_var
mxnet l.b.gamma l.b.beta l.b.running_mean l.b.running_var
paddle l.b.weight l.b.bias l.b._mean l.b._variance
onnx l.b.scale l.b.B l.b.input_mean l.b.input_var
onnx l.b.scale l.b.B l.b.mean l.b.var
caffe l.b/scale/0 l.b/scale/1 l.b/0 l.b/1 l.b/2=F32:1:1
darknet l.b.scales l.b.biases l.b.rolling_mean l.b.rolling_variance
N
}

case_several_conventions() {
    make "a.running_mean=F32:1:1" "a.running_var=F32:1:2" "b/moving_mean=F16:2:1 1" "b/moving_variance=F16:2:2 0" \
        ".running_mean=F32:1:1" ".running_var=F32:1:2" "c.running_mean=F32:1:1" "c.running_var=F32:1:2"
    lists "a  1  pytorch  ok" "b  2  keras  1 with running_var = 0, 1 with running_var < eps" "  1  pytorch  ok" \
        "c  1  pytorch  ok" \
        "state.safetensors (safetensors): 4 batch norms with 5 channels (3 of pytorch, 1 of keras); 1 unhealthy"
    # what the file says of itself counts more than the number of tensors
    make @batchnorm.convention=pytorch "a.gamma=F32:1:1" "a.beta=F32:1:0" "a.running_mean=F32:1:1" "a.running_var=F32:1:2"
    lists "a  1  ok" "state.safetensors (safetensors): 1 batch norm with 1 channels, of pytorch; 0 unhealthy"
    make @batchnorm.convention=onnx "params.a.scale=F32:1:1" "params.a.bias=F32:1:0" "batch_stats.a.mean=F32:1:1" \
        "batch_stats.a.var=F32:1:2" "batch_stats.a.scale=F32:1:1" "batch_stats.a.B=F32:1:1"
    lists "batch_stats.a  1  ok" "state.safetensors (safetensors): 1 batch norm with 1 channels, of onnx; 0 unhealthy"
    # a mean and a variance are no batch norm where each has a scale
    make "a.mean=F32:1:1" "a.var=F32:1:2"
    lists "state.safetensors (safetensors): 0 batch norms with 0 channels; 0 unhealthy"
}

case_what_conventions_mean() {
    # Caffe's are sums, and a factor of 0 makes them 0
    make "a/0=F32:2:4 4" "a/1=F32:2:4 1" "a/2=F32:1:4" "b/0=F32:1:4" "b/1=F32:1:4" "b/2=F32:1:0"
    lists "a  2  1 with running_var < eps" "b  1  1 with running_var = 0, 1 with running_var < eps" \
        "state.safetensors (safetensors): 2 batch norms with 3 channels, of caffe; 2 unhealthy"
    make "a/0=F32:1:4" "a/1=F32:1:4" "a/2=F32:1:1" "a/3=F32:1:1"
    lists "a  ?  not readable" \
        "state.safetensors (safetensors): 1 batch norm with 0 channels, of caffe; 0 unhealthy; 1 cannot be read"
    # gammas that are read as 1 are not near 0
    make "a_gamma=F32:1:0" "a_beta=F32:1:0" "a_moving_mean=F32:1:1" "a_moving_var=F32:1:2"
    lists "a  1  1 with |weight| < 1e-3" "state.safetensors (safetensors): 1 batch norm with 1 channels, of mxnet; 1 unhealthy"
    make "a_gamma=F32:1:0" "a_beta=F32:1:0" "a_moving_mean=F32:1:1" "a_moving_var=F32:1:2" @batchnorm.fix_gamma=true
    lists "a  1  ok" "state.safetensors (safetensors): 1 batch norm with 1 channels, of mxnet; 0 unhealthy"
    # sizes that do not fit are told as those of PyTorch's are
    make "a.running_mean=F32:1:1" "a.running_var=F32:2:1 2" "b/moving_mean=F32:1:1" "b/moving_variance=F32:2:1 2" \
        "c/moving_mean=F32:1,1:1" "c/moving_variance=F32:1,2:1 2"
    inspects --json state.safetensors
    [ "$(grep -o '"why": "its tensors have different sizes"' out.log | wc -l)" = 3 ] || fail "$(cat out.log)"
}

case_wrong_files() {
    local status
    echo "no model" >wrong.onnx
    : >empty.onnx
    head -c 100 "$models/conv.onnx" >cut.onnx
    for file in missing.onnx wrong.onnx empty.onnx cut.onnx; do
        status=0
        "${command[@]}" inspect $file >out.log 2>err.log || status=$?
        [ $status = 1 ] && [ ! -s out.log ] || fail "$file: status $status, $(cat out.log)"
        grep -q "^batchnorm inspect: $file: " err.log || fail "$(cat err.log)"
    done
    # in JSON there is an object for each
    needs python3
    mkdir folder
    cp wrong.onnx "$models/conv.onnx" folder
    for files in "wrong.onnx $models/conv.onnx" folder; do
        status=0
        "${command[@]}" inspect --json $files >out.log 2>err.log || status=$?
        [ $status = 1 ] && [ "$(wc -l <err.log)" = 1 ] || fail "status $status"
        python3 - <<'P' || fail "$(cat out.log)"
import json
lines = {o["file"].split("/")[-1]: o for o in map(json.loads, open("out.log"))}
assert sorted(lines) == ["conv.onnx", "wrong.onnx"] and list(lines["wrong.onnx"]) == ["file", "error"], lines
assert lines["conv.onnx"]["count"] == 1 and "num_batches_tracked" not in lines["conv.onnx"], lines
P
    done
    # the others are listed
    status=0
    "${command[@]}" inspect wrong.onnx "$models/conv.onnx" >out.log 2>err.log || status=$?
    [ $status = 1 ] && grep -q "1 can be folded" out.log || fail "status $status, $(cat out.log)"
    refuses 2 "FILE is missing" 
}

case_what_is_no_model() {
    local neither="is neither an ONNX model nor a PyTorch checkpoint nor safetensors"
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n' >lfs.pth
    refuses 1 "lfs.pth: $neither: it is a Git LFS pointer: fetch the file itself" lfs.pth
    printf '<!DOCTYPE html><html></html>' >page.onnx
    refuses 1 "page.onnx: $neither: it is a page of HTML: the download went wrong" page.onnx
    echo "hello" >text.onnx
    refuses 1 "text.onnx: $neither: it is text" text.onnx
    printf '\200\3K\1.' >other.pkl
    refuses 1 "other.pkl: $neither: it is a pickle that torch.save() did not write" other.pkl
    printf '\377\376\1\1\1\1' >bytes.onnx
    refuses 1 "bytes.onnx: $neither (as ONNX it is wrong at byte 0: a group, or a wire type that there is not)" bytes.onnx
}

case_from_a_pipe() {
    inspects /dev/stdin <"$models/conv.onnx"
    grep -q "^/dev/stdin (ONNX): 1 batch norm" out.log || fail "$(cat out.log)"
    cat "$models/conv.onnx" | inspect /dev/stdin >out.log 2>err.log || fail "$(cat err.log)"
    grep -q "^/dev/stdin (ONNX): 1 batch norm" out.log || fail "$(cat out.log)"
    inspects - <"$models/conv.onnx"
    grep -q "^standard input (ONNX): 1 batch norm" out.log || fail "$(cat out.log)"
    ! printf '' | inspect - >out.log 2>err.log && says "standard input: is empty" || fail "$(cat err.log)"
    inspects <(cat "$models/conv.onnx")
    grep -q " (ONNX): 1 batch norm" out.log || fail "$(cat out.log)"
    make_state
    cat state.safetensors | inspect /dev/stdin >out.log 2>err.log || fail "$(cat err.log)"
    grep -q "^/dev/stdin (safetensors): 1 batch norm" out.log || fail "$(cat out.log)"
    ! printf '' | inspect /dev/stdin >out.log 2>err.log && says "/dev/stdin: is empty" || fail "$(cat err.log)"
}

case_output_that_cannot_be_written() {
    [ -w /dev/full ] || { echo "skipped: there is no /dev/full"; exit 77; }
    local status=0
    "${command[@]}" inspect "$models/conv.onnx" >/dev/full 2>err.log || status=$?
    [ $status = 1 ] && says "standard output cannot be written" || fail "status $status"
}

run_case
