#!/bin/sh
# SPDX-License-Identifier: MIT
# python.sh MODULES SCRIPT ARGUMENT...: the script in $BATCHNORM_PYTHON, or python3, if that has all of these modules: "torch
# numpy". Status 77 means skipped.
python=${BATCHNORM_PYTHON:-python3}
has='import sys, importlib.util as util; sys.exit(not all(map(util.find_spec, sys.argv[1].split())))'
if ! "$python" -c "$has" "$1" 2>/dev/null; then
    echo "skipped: $python has not all of $1 (set BATCHNORM_PYTHON to a Python that has)"
    exit 77
fi
shift
exec "$python" -B -W ignore "$@"
