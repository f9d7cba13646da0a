#!/bin/bash
# SPDX-License-Identifier: MIT
# docs.sh BUILD_DIR: Doxygen writes the HTML without a warning.
. "$(dirname "$0")/common.sh"
cd "$1"
[ -f Doxyfile ] || { echo "skipped: doxygen was not found"; exit 77; }
doxygen Doxyfile
[ -s html/index.html ]
