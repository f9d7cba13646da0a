#!/bin/bash
# SPDX-License-Identifier: MIT
# python-packages.sh MODULE...: see to it that the Python environment in the user's cache has these, which are packages of the
# same names. Asks the network for nothing when they are there or BATCHNORM_PYTHON names another Python; when it cannot install
# them it says so, and the tests that need them are skipped.
set -uo pipefail
venv=${XDG_CACHE_HOME:-$HOME/.cache}/batchnorm/venv
[ -z "${BATCHNORM_PYTHON:-}" ] || exit 0
has='import sys, importlib.util as util; sys.exit(not all(map(util.find_spec, sys.argv[1:])))'
! "$venv/bin/python" -c "$has" "$@" 2>/dev/null || exit 0
echo "installing $* for Python into $venv"
{ [ -x "$venv/bin/python" ] || python3 -m venv "$venv"; } >/dev/null &&
    "$venv/bin/pip" install --quiet --disable-pip-version-check --retries 1 --timeout 20 "$@" 2>/dev/null ||
    echo "python-packages.sh: $* could not be installed; tests that need them are skipped" >&2
exit 0
