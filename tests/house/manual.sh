#!/bin/bash
# SPDX-License-Identifier: MIT
# manual.sh PAGE: mandoc warns of nothing in the man page but empty paragraphs, which scdoc writes everywhere.
. "$(dirname "$0")/common.sh"
needs mandoc
warnings=$(mandoc -T lint -W warning "$1" | grep -v 'skipping paragraph macro: PP' || true)
echo "$warnings"
[ -z "$warnings" ]
