#!/bin/bash
# SPDX-License-Identifier: MIT
# demo.sh [COMMAND]: train a small network with and without batch norm; export it as an ONNX model, look at its batch norms,
# fold them, and compare both models where ONNX Runtime is found; and then measure what is claimed of batch norm. About three
# and a half minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
command=${1:-build/batchnorm}

# run COMMAND...: shows what it runs.
run() {
    echo
    echo "\$ $*"
    "$@"
}

echo "Fashion-MNIST; these runs can be repeated:"
mkdir -p build/demo
# where `make test` puts ONNX Runtime
venv=${XDG_CACHE_HOME:-$HOME/.cache}/batchnorm/venv
[ -n "${VIRTUAL_ENV:-}" ] || [ ! -d "$venv" ] || export VIRTUAL_ENV=$venv
run "$command" train --limit 5000 --epochs 2 --no-bn
run "$command" train --limit 5000 --epochs 2 --save build/demo/net.safetensors --force
run "$command" export build/demo/net.safetensors -o build/demo/net.onnx
run "$command" inspect build/demo/net.onnx
run "$command" fold build/demo/net.onnx -o build/demo/folded.onnx --explain --verify
run "$command" compare --quick --out build/compare
echo
echo "A report with figures, to open in a browser: $PWD/build/compare/report.html"
