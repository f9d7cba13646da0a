#!/bin/sh
# SPDX-License-Identifier: MIT
# python.sh MODULES SCRIPT ARGUMENT...: the script in $BATCHNORM_PYTHON; or in the environment in the user's cache that `make
# test` and `make bench` fill, or python3, whichever has all of these modules: "torch numpy". Status 77 means skipped.
cached=${XDG_CACHE_HOME:-$HOME/.cache}/batchnorm/venv/bin/python
has='import sys, importlib.util as util; sys.exit(not all(map(util.find_spec, sys.argv[1].split())))'
python=
for candidate in "${BATCHNORM_PYTHON:-$cached}" "${BATCHNORM_PYTHON:-python3}"; do
    [ -n "$python" ] || ! "$candidate" -c "$has" "$1" 2>/dev/null || python=$candidate
done
if [ -z "$python" ]; then
    echo "skipped: ${BATCHNORM_PYTHON:-python3} has not all of $1 (set BATCHNORM_PYTHON to a Python that has)"
    exit 77
fi
shift
exec "$python" -B -W ignore "$@"
