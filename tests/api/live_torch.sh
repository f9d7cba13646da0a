#!/bin/sh
# SPDX-License-Identifier: MIT
# live_torch.sh LIBRARY [COUNT]: runs live_torch.py with $BATCHNORM_PYTHON, or python3. Status 77 means skipped.
python=${BATCHNORM_PYTHON:-python3}
if ! command -v "$python" >/dev/null 2>&1; then
    echo "skipped: there is no $python (set BATCHNORM_PYTHON to a Python with torch)"
    exit 77
fi
exec "$python" "$(dirname "$0")/live_torch.py" "$@"
