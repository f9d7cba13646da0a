#!/bin/bash
# SPDX-License-Identifier: MIT
# bench.sh [--training] [ARGUMENTS...]: bench/peers.py, or bench/train_step.py, with these arguments, and without any of them
# bench/torch_layers.py, too, in a Python that has torch: $BATCHNORM_PYTHON, or else a virtual environment in the user's cache,
# which is made where it is missing. Asks the network for nothing when everything is there.
set -euo pipefail
cd "$(dirname "$0")/.."
script=bench/peers.py
[ "${1:-}" != --training ] || { script=bench/train_step.py; shift; }
venv=${XDG_CACHE_HOME:-$HOME/.cache}/batchnorm/venv
python=${BATCHNORM_PYTHON:-$venv/bin/python}

has() { "$python" -c "import $1" >/dev/null 2>&1; }

# torch loads its CUDA libraries also where it only uses the CPU, so pip installs it with all it depends on.
if [ -z "${BATCHNORM_PYTHON:-}" ] && ! has torch; then
    echo "installing torch and numpy into $venv (about 5 GB)"
    { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check torch numpy; } ||
        echo "bench.sh: torch could not be installed; going on without it" >&2
    has numpy || python=python3
fi
has numpy || { echo "bench.sh: $python has no numpy, which $script needs" >&2; exit 1; }
"$python" "$script" "$@"

# The table of the Python package: only where everything was asked for, and PyTorch is there.
if [ $# = 0 ] && [ $script = bench/peers.py ] && has torch; then
    if [ -e build/python/batchnorm/_torch.abi3.so ]; then
        PYTHONPATH=build/python "$python" bench/torch_layers.py
    else
        echo "bench.sh: the Python package was not built; without it there is no table of its layers" >&2
    fi
fi
