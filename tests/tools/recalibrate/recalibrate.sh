#!/bin/bash
# SPDX-License-Identifier: MIT
# Cases of `batchnorm recalibrate` that need no ONNX Runtime: recalibrate.sh CASE COMMAND... runs the function case_CASE in a
# directory of its own. With ONNX Runtime it is tests/model/recalibrate_models.py.
. "$(dirname "$0")/../cases.sh"
models=$here/../../model/models

recalibrate() { "${command[@]}" recalibrate "$@"; }
recalibrates() { silently recalibrate "$@"; }
prints() { [ "$(cat out.log)" = "$1" ] || fail "$(cat out.log)"; }

# npz FILE NAME=NUMBERS...: arrays of doubles, one number alone being of no dimension.
npz() {
    needs python3
    python3 - "$@" <<'P'
import struct, sys, zipfile
how = zipfile.ZIP_DEFLATED if "deflated" in sys.argv[1] else zipfile.ZIP_STORED
with zipfile.ZipFile(sys.argv[1], "w", how) as z:
    for argument in sys.argv[2:]:
        name, _, text = argument.partition("=")
        values = [float(v) for v in text.split()]
        shape = "()" if len(values) == 1 else "(%d,)" % len(values)
        head = ("{'descr': '<f8', 'fortran_order': False, 'shape': %s, }" % shape).encode().ljust(117) + b"\n"
        data = struct.pack("<%dd" % len(values), *values)
        z.writestr(name + ".npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + data)
P
}

case_wrong_usage() {
    refuses 2 "MODEL is missing"
    refuses 2 "one MODEL at a time" a.onnx b.onnx --data x -o c
    refuses 2 "-o FILE is missing: where does the model go?" a.onnx --data x
    refuses 2 "--data PATH is missing: on what are the statistics taken?" a.onnx -o b
    refuses 2 "--check writes no model: -o is not needed" a.onnx --data x --check -o b
    refuses 2 "--check looks at the model as it is, by no method" a.onnx --data x --check --method batch
    refuses 2 "--data -: samples are looked at before they are read, so they need a file or a folder" a.onnx --data - -o b
    refuses 2 "--depth is for --instrument" a.onnx --data x -o b --depth 1
    refuses 2 "--data goes neither with --instrument nor with --merge: the model is run elsewhere" a.onnx --instrument -o b \
        --data x
    refuses 2 "--instrument and --merge are two steps" a.onnx --instrument --merge -o b
    refuses 2 "--merge needs the .npz files with the statistics, after the model" a.onnx --merge -o b
    refuses 2 "with --instrument, exact goes depth by depth: --depth 1, then 2 on what was merged, and so on" a.onnx \
        --instrument --method exact -o b
    refuses 2 "--svg runs the model, which --merge does not" a.onnx --merge x.npz -o b --svg c
    refuses 2 "--mean: '1,2' is not a number, or three with commas between" a.onnx --data x -o b --mean 1,2
    refuses 2 "--std: '0' is not a number above 0, or three with commas between" a.onnx --data x -o b --std 0
    refuses 2 "--size: '0' is not N or HEIGHTxWIDTH, each from 1 to 4096" a.onnx --data x -o b --size 0
    refuses 2 "--batch: '0' is not a whole number from 1 to 1048576" a.onnx --data x -o b --batch 0
}

case_without_a_runtime() {
    mkdir empty
    local tool words
    tool=$(command -v env)
    without() { "$tool" -u BATCHNORM_ONNXRUNTIME PATH=empty VIRTUAL_ENV= LD_LIBRARY_PATH= "${command[@]}" recalibrate "$@"; }
    without "$models/conv.onnx" --data x.npy -o out.onnx >out.log 2>err.log && fail "there are no data"
    grep -q "ONNX Runtime was not found" err.log || { echo "skipped: the linker finds ONNX Runtime"; exit 77; }
    for words in "--runtime PATH" BATCHNORM_ONNXRUNTIME LD_LIBRARY_PATH VIRTUAL_ENV "python3 on the PATH" \
        "pip install onnxruntime"; do
        grep -qF -- "$words" err.log || fail "$words: $(cat err.log)"
    done
    without "$models/conv.onnx" --data x.npy -o out.onnx --runtime /nowhere/lib.so 2>err.log && fail "it succeeds"
    grep -q -- "--runtime /nowhere/lib.so: there is no ONNX Runtime" err.log || fail "$(cat err.log)"
    BATCHNORM_ONNXRUNTIME=$PWD/empty recalibrate "$models/conv.onnx" --data x.npy -o out.onnx 2>err.log && fail "it succeeds"
    grep -q "BATCHNORM_ONNXRUNTIME is $PWD/empty: there is no" err.log || fail "$(cat err.log)"
    [ ! -e out.onnx ] || fail "a file was written"
}

case_wrong_files() {
    refuses 1 "no.onnx: cannot be opened: No such file or directory" no.onnx --data x.npy -o out.onnx
    printf 'x' >bad.onnx
    recalibrate bad.onnx --data x.npy -o out.onnx 2>err.log && fail "bad.onnx is taken"
    grep -q "^batchnorm recalibrate: bad.onnx: is neither" err.log || fail "$(cat err.log)"
    cp "$models/conv.onnx" m.onnx
    refuses 1 "m.onnx: it is read, as m.onnx; choose another name" m.onnx --instrument -o m.onnx
    cp m.onnx x.npy
    refuses 1 "x.npy: it is read, as x.npy; choose another name" m.onnx --data x.npy -o x.npy
    recalibrate m.onnx --data x.npy -o both --svg both 2>err.log && fail "two outputs in one file"
    grep -q "both" err.log && [ ! -e both ] || fail "$(cat err.log)"
    recalibrate m.onnx --instrument -o nowhere/m.onnx 2>err.log && fail "a folder that is not there"
    [ -s err.log ] || fail "it says nothing"
}

# The key of the only batch norm of conv.onnx.
key() { grep -aoE "batchnorm/[a-z0-9_]+/mean" probe.onnx | head -n 1 | cut -d/ -f2; }

case_instruments() {
    local word
    recalibrates "$models/conv.onnx" --instrument -o probe.onnx
    prints "probe.onnx: outputs for 1 of 1 batch norms; the deepest is of depth 1"
    for word in count mean m2; do grep -aqE "batchnorm/[a-z0-9_]+/$word" probe.onnx || fail "no $word"; done
    recalibrate probe.onnx --instrument -o again.onnx 2>err.log && fail "it has no statistics of its own"
    grep -q "none of its 1 batch norms can have other statistics; .*: its mean is no constant" err.log || fail "$(cat err.log)"
    refuses 1 "deep.onnx: there is no batch norm of depth 2; the deepest is of depth 1" "$models/conv.onnx" --instrument \
        --depth 2 -o deep.onnx
    recalibrates "$models/conv.onnx" --instrument --depth 1 -o prefix.onnx --json
    prints '{"count": 1, "outputs": 1, "deepest": 1}'
    [ "$(wc -c <prefix.onnx)" -lt "$(wc -c <probe.onnx)" ] || fail "nothing was cut off"
    recalibrate "$models/training_mode.onnx" --instrument -o t.onnx 2>err.log && fail "training mode"
    grep -q "none of its 1 batch norms can have .*: it normalizes with the statistics of each batch" err.log ||
        fail "$(cat err.log)"
}

case_merges() {
    local k
    recalibrates "$models/conv.onnx" --instrument -o probe.onnx
    k=batchnorm/$(key)
    npz a.npz "$k/count=2" "$k/mean=1 2 3 4" "$k/m2=2 2 2 0" "y=1 2"
    npz b.npz "$k/count=2" "$k/mean=3 2 3 4" "$k/m2=2 2 2 0"
    recalibrates "$models/conv.onnx" --merge a.npz b.npz -o out.onnx --json
    python3 - <<'P' || fail "$(cat out.log)"
import json
o = json.load(open("out.log"))
assert (o["method"], o["count"], o["left"], o["tensors"], o["batch_norms"][0]["values"]) == ("merge", 1, 0, 2, 4), o
P
    # means 2 2 3 4, variances (2 + 2 + 4) / 4 = 2, then 1, 1, 0
    python3 - <<'P' || fail "other numbers are in the file"
import struct
b = open("out.onnx", "rb").read()
assert struct.pack("<4f", 2, 2, 3, 4) in b and struct.pack("<4f", 2, 1, 1, 0) in b
P
    ! cmp -s out.onnx "$models/conv.onnx" || fail "nothing changed"
    [ "$(wc -c <out.onnx)" = "$(wc -c <"$models/conv.onnx")" ] || fail "the size changed"
    recalibrates "$models/conv.onnx" --merge a.npz b.npz --check
    grep -q ": 1 of 1 batch norms were looked at; furthest off is" out.log || fail "$(cat out.log)"
}

case_merges_nothing_wrong() {
    local k m
    recalibrates "$models/conv.onnx" --instrument -o probe.onnx
    k=batchnorm/$(key)
    npz good.npz "$k/count=2" "$k/mean=1 2 3 4" "$k/m2=2 2 2 0"
    npz none.npz "y=1 2"
    npz other.npz "batchnorm/odd/mean=1 2"
    npz some.npz "$k/count=2" "$k/mean=1 2 3 4"
    npz short.npz "$k/count=2" "$k/mean=1 2 3" "$k/m2=2 2 2 0"
    npz nan.npz "$k/count=2" "$k/mean=1 2 3 nan" "$k/m2=2 2 2 0"
    npz minus.npz "$k/count=2" "$k/mean=1 2 3 4" "$k/m2=2 -2 2 0"
    npz zero.npz "$k/count=0" "$k/mean=1 2 3 4" "$k/m2=2 2 2 0"
    npz deflated.npz "$k/count=2" "$k/mean=1 2 3 4" "$k/m2=2 2 2 0"
    printf 'PK' >tiny.npz
    head -c 300 good.npz >cut.npz
    m=("$models/conv.onnx" --merge -o out.onnx)
    refuses 1 "none.npz: has no statistics: the outputs that --instrument adds are not in it" "${m[@]}" none.npz
    refuses 1 "other.npz: has \"batchnorm/odd/mean\", and the model has no such batch norm" "${m[@]}" other.npz
    refuses 1 "some.npz: has only some of count, mean and m2 of \"${k#*/}\"" "${m[@]}" some.npz
    refuses 1 "short.npz: \"$k/mean\" must have 4 numbers" "${m[@]}" short.npz
    refuses 1 "nan.npz: \"$k/mean\" has a number that is not finite" "${m[@]}" nan.npz
    refuses 1 "minus.npz: \"$k/m2\" is negative in channel 1" "${m[@]}" minus.npz
    refuses 1 "zero.npz: \"$k/count\" is 0, which is no count" "${m[@]}" zero.npz
    refuses 1 "deflated.npz: is compressed: numpy.savez() writes what is read here, numpy.savez_compressed() does not" \
        "${m[@]}" deflated.npz
    refuses 1 "tiny.npz: is no .npz file" "${m[@]}" tiny.npz
    refuses 1 "cut.npz: a zip file without its directory: it is cut off" "${m[@]}" cut.npz
    refuses 1 "none.npz: has statistics of other batch norms than the files before it: \"${k#*/}\"" "${m[@]}" good.npz none.npz
    refuses 1 "no.npz: cannot be opened: No such file or directory" "${m[@]}" no.npz
}

# No two images after each other are the same: a line has 9 bytes, and 784 is no multiple of that.
make_data() {
    local part
    mkdir -p data
    for part in train:24 t10k:12; do
        { images_head "${part#*:}" 28; yes "0 9 aZ~!" | head -c $((${part#*:} * 784)); } >"data/${part%:*}-images-idx3-ubyte"
        labels "${part#*:}" >"data/${part%:*}-labels-idx1-ubyte"
    done
}

trained() {
    needs_backend
    needs_safetensors
    make_data
    runs "${command[@]}" train --data data --threads 2 --batch 8 --epochs 1 "$@" --save net.safetensors --force
}

# checks_every_size MODEL...: whatever the batches are, what arrives is what the new statistics say.
checks_every_size() {
    local size
    needs python3
    trained --model "$@"
    for size in 1 5 24; do
        recalibrates net.safetensors --data data --batch $size -o out.safetensors
        recalibrates out.safetensors --data data --check --json
        python3 - "$@" <<'P' || fail "$size: $(cat out.log)"
import json
o = json.load(open("out.log"))
assert o["count"] > 1 and o["samples"] == 24 and o["left"] == 0, o
assert all(abs(n["shift"]) < 1e-5 and abs(n["ratio"] - 1) < 1e-5 for n in o["batch_norms"]), o
P
    done
    runs "${command[@]}" predict --checkpoint out.safetensors --data data
}

case_a_checkpoint_of_a_perceptron() { checks_every_size mlp; }
case_a_checkpoint_of_a_cnn() { checks_every_size cnn; }
case_a_checkpoint_of_a_resnet() { checks_every_size resnet --depth 8; }
case_a_checkpoint_with_norm_after() { checks_every_size resnet --depth 8 --norm after; }
case_a_checkpoint_of_less_memory() { checks_every_size cnn --memory less --activation leaky_relu; }

case_only_statistics_of_a_checkpoint_change() {
    trained --model cnn
    recalibrates net.safetensors --data data -o out.safetensors --svg out.svg --explain
    grep -q "^bn1: depth 1, mean off by .* sigma" out.log || fail "$(cat out.log)"
    grep -q "<svg" out.svg && grep -q "bn3 after: " out.svg || fail "$(cat out.svg)"
    needs python3
    python3 - <<'P' || fail "something else changed"
import json, struct
def tensors(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    told = header.pop("__metadata__")
    return told, {n: (t["dtype"], t["shape"], data[slice(*t["data_offsets"])]) for n, t in header.items()}
(a, x), (b, y) = tensors("net.safetensors"), tensors("out.safetensors")
assert a == b and x.keys() == y.keys()
changed = {n for n in x if x[n] != y[n]}
assert changed and all(n.endswith(("running_mean", "running_var")) for n in changed), changed
P
    runs recalibrate net.safetensors --data data -o batch.safetensors --method batch --batch 24
    grep -q "batches that have as few as 24: fewer than 32 samples change the result" err.log || fail "$(cat err.log)"
}

case_progress_on_a_terminal() {
    needs_terminal
    trained --model cnn
    script -qec "${command[*]} recalibrate net.safetensors --data data -o out.safetensors" /dev/null >out.log 2>&1 </dev/null
    grep -qE "[0-9]+ %  depth 1 of 3  [0-9]+ samples/s  [0-9]+:[0-9]+ left" out.log || fail "$(cat out.log)"
    grep -q "out.safetensors: 3 of 3 batch norms have new statistics, of 24 samples" out.log || fail "$(cat out.log)"
}

case_a_checkpoint_and_other_options() {
    trained --model cnn
    refuses 1 "net.safetensors: has its own mean, standard deviation and size of images" net.safetensors --data data -o x \
        --mean 1
    refuses 1 "net.safetensors: is a network of train, which needs no other program: --data is enough" net.safetensors \
        --instrument -o x
    trained --model cnn --no-bn
    refuses 1 "net.safetensors: has no batch norms" net.safetensors --data data -o x
}

run_case
