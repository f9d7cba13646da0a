#!/bin/sh
# SPDX-License-Identifier: MIT
# live_logits.sh PROGRAM: make_logits.py against logits.txt with $BATCHNORM_PYTHON, or python3. Status 77 means skipped.
python=${BATCHNORM_PYTHON:-python3}
if ! "$python" -c 'import torch' >/dev/null 2>&1; then
    echo "skipped: there is no torch in $python (set BATCHNORM_PYTHON to a Python that has it)"
    exit 77
fi
exec "$python" -B -W ignore "$(dirname "$0")/make_logits.py" "$1" "$(dirname "$0")/logits.txt"
