#!/bin/bash
# SPDX-License-Identifier: MIT
# symbols.sh NM LIBRARY...: a shared library exports batchnorm_* under a version node and nothing else; a static one brings only
# names that begin with batchnorm_, bn_ or bnk_ into the user's name space.
. "$(dirname "$0")/common.sh"
nm=$1
shift
for library; do
    case $library in
    *.a)
        names=$("$nm" -g --defined-only "$library" | awk 'NF == 3 { print $3 }')
        ours='^(batchnorm|bnk?)_'
        ;;
    *)
        names=$("$nm" -D --defined-only "$library" | awk '$2 != "A" { print $3 }')
        ours='^batchnorm_[a-z0-9_]+@@BATCHNORM_[0-9]+$'
        ;;
    esac
    [ -n "$names" ] || wrong "$library: no symbol at all"
    foreign=$(grep -vE "$ours" <<<"$names") && wrong "$library: foreign symbols:" $foreign
done
exit $failed
