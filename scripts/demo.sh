#!/bin/bash
# SPDX-License-Identifier: MIT
# demo.sh [COMMAND]: train a small network with and without batch norm, and then measure what is claimed of batch norm. About
# two and a half minutes on two cores.
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
run "$command" train --limit 5000 --epochs 2
run "$command" train --limit 5000 --epochs 2 --no-bn
run "$command" compare --quick --out build/compare
echo
echo "A report with figures, to open in a browser: $PWD/build/compare/report.html"
