#!/bin/bash
# SPDX-License-Identifier: MIT
# manual.sh PAGE: the man page has no mistake that mandoc warns of.
set -euo pipefail
command -v mandoc >/dev/null || { echo "skipped: mandoc was not found"; exit 77; }
mandoc -T lint -W warning "$1"
