#!/bin/bash
# SPDX-License-Identifier: MIT
# demo.sh [COMMAND]: train one network with and without batch norm, in three settings, and put the results side by side.
# About a minute on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
command=${1:-build/batchnorm}
common="--limit 5000 --epochs 3"
settings=("--activation relu --lr 0.05" "--activation relu --lr 0.2" "--activation sigmoid --lr 0.01")

# OpenMP's threads sleep while they wait. Spinning gains little on an idle machine and loses much on a busy one.
export OMP_WAIT_POLICY=passive

results=$(mktemp)
trap 'rm -f "$results"' EXIT
echo "Training on the first 5,000 images of Fashion-MNIST, testing on its 10,000 test images. These runs can be repeated:"
echo "  export OMP_WAIT_POLICY=passive"
for setting in "${settings[@]}"; do
    for without in "" " --no-bn"; do
        echo "  $command train $common $setting$without"
        echo "run $setting" >>"$results"
        "$command" train --json $common $setting$without >>"$results"
    done
done
echo
# The runs come in pairs, with batch norm first.
awk '
# The number under a name in a line of JSON.
function number(name) {
    match($0, "\"" name "\": [^,}]*")
    return substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 4)
}
/^run/ { runs++; epoch = 0; setting = $3 ", learning rate " $5; next }
{
    epoch++
    loss = number("loss")
    last[runs] = 100 * number("accuracy")
    cell[runs, epoch] = sprintf("%8s  %6.2f %%  %7.1f", loss == "null" ? "diverged" : sprintf("%.4f", loss), last[runs], number("seconds"))
    if (runs % 2) title[runs] = setting
}
END {
    print "                   with batch norm                  without batch norm"
    print "  epoch      loss  accuracy  seconds           loss  accuracy  seconds"
    for (run = 1; run < runs; run += 2) {
        print title[run]
        for (e = 1; e <= epoch; e++) printf "  %5d  %s      %s\n", e, cell[run, e], cell[run + 1, e]
        for (i = 0; i < 2; i++) {
            if (run == 1 || last[run + i] < low[i]) low[i] = last[run + i]
            if (run == 1 || last[run + i] > high[i]) high[i] = last[run + i]
        }
    }
    printf "\nAfter %d epochs the network with batch norm gets %.1f to %.1f %% of the test images right, depending on the setting; " \
           "without it, %.1f to %.1f %%.\n", epoch, low[0], high[0], low[1], high[1]
}' "$results"
