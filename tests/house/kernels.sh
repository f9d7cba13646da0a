#!/bin/bash
# SPDX-License-Identifier: MIT
# kernels.sh NM OBJDUMP OBJECT...: an object of an instruction set has one external symbol, its table or the verbs of an element
# type (the linker could keep another one for every processor), and no fused multiply-add (it would round differently) but those
# of vectors.h that multiply vectors of doubles by one, and so add, and of 16-bit elements those of affine.h that add nothing;
# kernel.golden and kernel.products show that they do.
. "$(dirname "$0")/common.sh"
nm=$1 objdump=$2
shift 2
for object; do
    names=$("$nm" -g --defined-only "$object" | awk '{ print $3 }')
    [[ $names =~ ^bnk_(table__[a-z0-9]+|verbs__[a-z0-9]+_[a-z0-9]+)$ ]] || wrong "$object: external symbols:" $names
    code=$("$objdump" -d --no-show-raw-insn "$object")
    [ "${#code}" -gt 1000 ] || wrong "$object: hardly any code"
    types=pd
    [[ $names != bnk_verbs__*16 ]] || types='p[ds]'
    fused=$(grep -E '\b(vfn?m(add|sub)[0-9]|fn?m(add|sub|la|ls)\b)' <<<"$code" |
        grep -vE "\bvfm(add|sub)[0-9]+$types\b.*%[yz]mm") &&
        wrong "$object: fused multiply-add, first:" $(head -1 <<<"$fused")
done
exit $failed
