#!/bin/bash
# SPDX-License-Identifier: MIT
# manual.sh PAGE: the man page has no mistake that mandoc warns of, beside the spare paragraph macros that scdoc writes everywhere.
set -euo pipefail
command -v mandoc >/dev/null || { echo "skipped: mandoc was not found"; exit 77; }
warnings=$(mandoc -T lint -W warning "$1" | grep -v 'skipping paragraph macro: PP' || true)
echo "$warnings"
[ -z "$warnings" ]
