#!/bin/bash
# SPDX-License-Identifier: MIT
# Cases of `batchnorm train` as several processes: ranks.sh CASE COMMAND... The command forks them itself (ranks_fork.c), or
# they are started by $BATCHNORM_TEST_MPIRUN.
# Longer than 300 lines, because both ways share what they make and look at.
. "$(dirname "$0")/../cases.sh"
verb=train
set -o pipefail
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 # containers have no other user
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none # there are fewer cores than processes
[ -z "${BATCHNORM_TEST_MPIRUN:-}" ] || export LSAN_OPTIONS=exitcode=0 # an MPI keeps what it has

# several COUNT ARGUMENT...: trains so, and leaves what it says in out.log and err.log, when all processes have ended.
several() {
    local count=$1 status=0
    shift
    if [ -n "${BATCHNORM_TEST_MPIRUN:-}" ]; then
        $BATCHNORM_TEST_MPIRUN -n "$count" "${command[@]}" train --data data --threads 1 "$@" >out.log 2>err.log || status=$?
    else
        { BATCHNORM_TEST_RANKS=$count "${command[@]}" train --data data --threads 1 "$@" 2>&3 | cat >out.log; } 3>&1 |
            cat >err.log || status=$?
    fi
    return "$status"
}

# good COUNT ARGUMENT...: it succeeds, and says nothing.
good() {
    several "$@" || fail "status $? of $* ($(cat err.log))"
    [ -n "${BATCHNORM_TEST_MPIRUN:-}" ] || [ ! -s err.log ] || fail "stderr: $(cat err.log)"
    [ -z "$(find . -name '.batchnorm*')" ] || fail "a temporary file is left"
}

# bad STATUS MESSAGE COUNT ARGUMENT...: it fails, and one process says why.
bad() {
    local wanted=$1 message=$2 status=0
    shift 2
    several "$@" || status=$?
    [ "$status" = "$wanted" ] || fail "status $status, not $wanted, of: $* ($(cat err.log))"
    [ "$(grep '^batchnorm' err.log)" = "batchnorm train: $message" ] || fail "it says: $(cat err.log)"
}

# COUNT images of noise that are the same every time, 28 x 28.
noise() {
    images_head "$1" 28
    awk -v n=$(($1 * 784)) 'BEGIN {
        for (x = 1; n > 0; n--) { x = (x * 69069 + 5) % 1048576; printf "%c", 33 + int(x / 8192) % 90 }
    }'
}

make_data() {
    mkdir -p data
    noise "${1:-90}" >data/train-images-idx3-ubyte
    labels "${1:-90}" >data/train-labels-idx1-ubyte
    noise 40 >data/t10k-images-idx3-ubyte
    labels 40 >data/t10k-labels-idx1-ubyte
}

needs_ranks() {
    needs_backend
    needs_safetensors
    make_data
}

# same FILE FILE: they are, byte by byte.
same() { cmp "$1" "$2" || fail "$1 and $2 differ"; }

# The last batch has 26 images, which are two shards, so that one or two of four processes get nothing.
case_any_number_gives_the_same_checkpoint() {
    needs_ranks
    local model count options models=(cnn "resnet --shift 2 --flip --optimizer adam" "mlp --batch 33")
    [ -z "${BATCHNORM_TEST_MPIRUN:-}" ] || models=(cnn) # which takes its time
    for model in "${models[@]}"; do
        options="--epochs 2 --batch 64 --json --model $model"
        rm -f one
        good 1 --save one $options
        sed 's/, "seconds.*//' out.log >one.log
        [ "$(wc -l <one.log)" = 2 ] || fail "$(cat one.log)"
        for count in 2 3 4; do
            rm -f more
            good $count --save more $options
            same one more
            sed 's/, "seconds.*//' out.log | cmp - one.log || fail "$(cat out.log)"
        done
    done
}

case_they_are_described_once() {
    needs_ranks
    good 3 --epochs 1 --per-class
    [ "$(grep -c '^epoch ' out.log)" = 1 ] || fail "$(cat out.log)"
    [ "$(awk '/^class/ { rows = 1 } rows && /^[0-9]/ { n += $2 } END { print n }' out.log)" = 40 ] || fail "$(cat out.log)"
    tr '\n' ' ' <out.log | tr -s ' ' | grep -q ', 3 processes of 1 thread epoch' || fail "$(cat out.log)"
}

# With as many threads as there are cores for each, or as a variable of OpenMP says; alone they would have all.
case_cores_are_shared() {
    needs_ranks
    needs_openmp
    local cores each
    cores=$(nproc)
    each=$((cores / 2 > 0 ? cores / 2 : 1))
    has_threads() { tr '\n' ' ' <out.log | tr -s ' ' | grep -q ", 2 processes of $1 thread" || fail "$(cat out.log)"; }
    env -u OMP_NUM_THREADS BATCHNORM_TEST_RANKS=2 "${command[@]}" train --data data --epochs 1 >out.log || fail "it fails"
    has_threads $each
    BATCHNORM_TEST_RANKS=2 OMP_NUM_THREADS=3 "${command[@]}" train --data data --epochs 1 >out.log || fail "it fails"
    has_threads 3
}

# resumes_well COUNT: from the checkpoint `part`, with so many, to the end of what `whole` has.
resumes_well() {
    good "$1" --resume part
    same part whole
}

# Whatever the process, and wherever it is: all end, nothing is lost, and any number of processes goes on.
case_killed_at_any_exchange() {
    needs_ranks
    local at rank=0 written=0
    good 1 --epochs 3 --batch 48 --save whole --save-every 1
    for at in 0 1 2 4 7 9 12 16 20 24 29 33 38 42 47 52 58 65 72 80; do
        rm -f part
        rank=$(((rank + 1) % 3))
        export BATCHNORM_TEST_SIGNAL=$rank:KILL:$at
        several 3 --epochs 3 --batch 48 --save part --save-every 1 && fail "it ended well at $at"
        [ "$(grep -v ': another process has gone$' err.log)" = "" ] || fail "$(cat err.log)"
        unset BATCHNORM_TEST_SIGNAL
        [ -e part ] || { [ $at -lt 8 ] && continue || fail "nothing was saved before exchange $at"; }
        written=$((written + 1))
        resumes_well $((at % 4 + 1))
    done
    [ $written -gt 12 ] || fail "only $written were killed late enough"
}

# begin_for_ever: three processes that save their network after every epoch, in the background: pid and ranks are their numbers.
begin_for_ever() {
    local before=
    rm -f part
    $BATCHNORM_TEST_MPIRUN -n 3 "${command[@]}" train --data data --threads 1 --epochs 100000 --batch 48 --save part \
        --save-every 1 >out.log 2>err.log &
    pid=$!
    until [ -e part ] && [ "$(stat -c %i-%Y part)" != "${before:=$(stat -c %i-%Y part)}" ]; do
        kill -0 $pid || fail "it ended by itself: $(cat err.log)"
        sleep 0.01
    done
    sleep 0.$((RANDOM % 5))
    ranks=($(pgrep -P "$pid,$(pgrep -d , -P $pid)" -x batchnorm)) # MPICH has a process between
    [ ${#ranks[@]} -ge 3 ] || { kill $pid; echo "skipped: mpirun starts them by others"; exit 77; }
}

# How many epochs to make of `part` one more.
one_more() { echo $(($(tr ',' '\n' <part | sed -n 's/.*"at.epoch":"\([0-9]*\)".*/\1/p') + 1)); }

# The same by the hand of somebody else, and under mpirun.
case_killed_from_outside() {
    needs pgrep
    needs_ranks
    local kills pid ranks start epochs
    for ((kills = 0; kills < 2; kills++)); do
        begin_for_ever
        start=$SECONDS
        kill -9 "${ranks[$kills]}"
        wait $pid && fail "it ends well"
        [ $((SECONDS - start)) -lt 20 ] || fail "it took $((SECONDS - start)) s"
        epochs=$(one_more)
        rm -f whole .batchnorm* # a process that is killed while it saves leaves a file
        good 1 --epochs $epochs --batch 48 --save whole --save-every 1
        good $((kills + 1)) --resume part --epochs $epochs
        same part whole
    done
}

# Two network namespaces, 10.77.0.1 and 10.77.0.2, with a cable between them; agent.sh knows them by $BATCHNORM_TEST_SPACE.
make_hosts() {
    needs ip
    needs unshare
    local i space=batchnorm-$$
    export BATCHNORM_TEST_SPACE=$space
    trap 'for i in 1 2; do ip netns del $BATCHNORM_TEST_SPACE-$i 2>/dev/null || true; done; rm -rf "$scratch"' EXIT
    { ip netns add $space-1 && ip netns add $space-2 &&
        ip -n $space-1 link add eth0 type veth peer name eth0 netns $space-2 &&
        ip netns exec $space-1 unshare --uts hostname here; } >err.log 2>&1 ||
        { echo "skipped: network namespaces are not allowed here: $(cat err.log)"; exit 77; }
    for i in 1 2; do
        ip -n $space-$i addr add 10.77.0.$i/24 dev eth0
        ip -n $space-$i link set eth0 up
        ip -n $space-$i link set lo up
    done
}

# Bytes that have left the first host.
sent() { "$here/agent.sh" 10.77.0.1 cat /sys/class/net/eth0/statistics/tx_bytes; }

# Two processes on each of two hosts, over TCP.
case_two_hosts() {
    needs_ranks
    [[ $("$BATCHNORM_TEST_MPIRUN" --version 2>&1) =~ "Open MPI"|OpenRTE ]] ||
        { echo "skipped: this mpirun is not Open MPI's"; exit 77; }
    make_hosts
    local before after options="--data data --threads 1 --epochs 2 --batch 64 --model cnn"
    good 1 --epochs 2 --batch 64 --model cnn --save one
    before=$(sent)
    "$here/agent.sh" 10.77.0.1 "'$BATCHNORM_TEST_MPIRUN' -H 10.77.0.1:2,10.77.0.2:2 --mca plm_rsh_agent '$here/agent.sh' \
        --mca btl self,tcp --mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24 \
        sh -c 'hostname >>hosts.log; exec \"\$@\"' sh ${command[*]@Q} train $options --save more" >out.log 2>err.log ||
        fail "status $? ($(cat err.log))"
    after=$(sent)
    [ "$(sort hosts.log | uniq -c | tr -s ' \n' ' ')" = " 2 $BATCHNORM_TEST_SPACE-1 2 $BATCHNORM_TEST_SPACE-2 " ] ||
        fail "they ran on: $(cat hosts.log)"
    tr '\n' ' ' <out.log | tr -s ' ' | grep -q ', 4 processes of 1 thread' || fail "$(cat out.log)"
    same one more
    # 4 steps of all gradients: what a host sends at least
    [ $((after - before)) -gt $((4 * $(stat -c %s one) / 3)) ] || fail "only $((after - before)) bytes went between the hosts"
}

# A process that is stopped is named, and is no more.
case_one_that_is_stopped() {
    needs pgrep
    needs_ranks
    local pid ranks start
    BATCHNORM_MPI_LIMIT=x several 2 --epochs 1 && fail "x is a limit"
    [ "$(grep '^batchnorm' err.log)" = "batchnorm train: BATCHNORM_MPI_LIMIT: 'x' is not a number of seconds above 0" ] ||
        fail "$(cat err.log)"
    export BATCHNORM_MPI_LIMIT=3
    begin_for_ever
    start=$SECONDS
    kill -STOP "${ranks[1]}"
    wait $pid && fail "it ends well"
    [ $((SECONDS - start)) -lt 30 ] || fail "it took $((SECONDS - start)) s"
    grep -qE '^batchnorm train: .*rank [0-2] of 3 has not come within 3 s' err.log || fail "$(cat err.log)"
    while kill -0 "${ranks[1]}" 2>kill.log; do
        [ $((SECONDS - start)) -lt 30 ] || fail "it is still there"
        sleep 0.1
    done
    good 1 --resume part --epochs "$(one_more)"
}

case_a_signal_stops_all() {
    needs_ranks
    local rank status
    good 1 --epochs 3 --batch 48 --save whole
    for rank in 0 2; do
        rm -f part
        export BATCHNORM_TEST_SIGNAL=$rank:TERM:50
        status=0
        several 3 --epochs 3 --batch 48 --save part || status=$?
        [ $status -gt 0 ] || fail "status $status"
        unset BATCHNORM_TEST_SIGNAL
        grep -qx 'batchnorm train: stopped after [0-9]* steps; go on with --resume part' err.log || fail "$(cat err.log)"
        [ "$(wc -l <err.log)" = 1 ] || fail "$(cat err.log)"
        resumes_well 2
    done
}

case_one_voice() {
    needs_ranks
    bad 2 "--lr: '0' is not a number above 0" 3 --lr 0
    bad 1 "none/x: no file can be created there: No such file or directory" 3 --save none/x
    [ -z "${BATCHNORM_TEST_MPIRUN:-}" ] || return 0
    bad 2 "nesterov needs a --momentum above 0" 3 --optimizer nesterov --momentum 0
    bad 1 "none: cannot be opened: No such file or directory" 3 --resume none
    bad 2 "--resume -: every process reads the checkpoint, so it needs a file" 3 --resume - --save x
    several 3 --help || fail "$(cat err.log)"
    [ "$(grep -c '^Usage' out.log)" = 1 ] || fail "$(cat out.log)"
    good 2 --epochs 1 --save there
    bad 1 "there: there is a checkpoint already; --resume there goes on from it, and --force replaces it" 3 --save there
    several 3 --lr 1e38 --no-bn && fail "it trains with such a rate"
    [ "$(grep -c '^batchnorm train: the training diverged: ' err.log)" = 1 ] || fail "$(cat err.log)"
    [ "$(grep -c '^batchnorm' err.log)" = 1 ] || fail "$(cat err.log)"
}

# What only one process sees.
case_what_one_sees_ends_all() {
    needs_ranks
    mkdir other
    cp -r data other
    export BATCHNORM_TEST_DIRECTORY=1:other
    good 3 --epochs 1
    truncate -s -1 other/data/train-images-idx3-ubyte
    bad 1 "data/train-images-idx3-ubyte: the file ends before the data its header announces" 3 --epochs 1
    noise 90 | sed 's/9/8/g' >other/data/train-images-idx3-ubyte
    bad 1 "process 1 has other images, options or libraries than process 0; all must have the same" 3 --epochs 1
    # A checkpoint that is another one there.
    cp data/* other/data
    good 1 --epochs 1 --save part
    good 1 --epochs 2 --save more
    cp more other/part
    bad 1 "after step 1 process 1 has another network than process 0; one of their machines computes something else" 3 \
        --resume part --epochs 2
    rm -r other/data
    bad 1 "data: No such file or directory; it must be a data set" 3 --epochs 1
}

case_a_full_disk_is_told_once() {
    needs_ranks
    needs_limit
    (ulimit -f 8 && bad 1 "part: cannot be written: File too large" 3 --epochs 1 --save part)
    [ ! -e part ] || fail "part is there"
}

# Local statistics are an experiment: another network, the same on all.
case_local_statistics() {
    needs_ranks
    good 2 --epochs 1 --batch 64 --save one
    good 2 --epochs 1 --batch 64 --save two --no-sync-bn
    cmp -s one two && fail "it changes nothing"
    good 1 --epochs 1 --batch 64 --save three --no-sync-bn
    good 2 --epochs 2 --resume two
    bad 2 "--no-sync-bn is 1, but one was made with 0; leave it out to go on" 2 --resume one --no-sync-bn
    local message="--no-sync-bn: process 1 of 2 gets 1 image of some batch, and batch norm needs 2; --batch is 17"
    bad 1 "$message" 2 --batch 17 --no-sync-bn
}

# It would train four times, each alone.
case_an_mpirun_that_it_does_not_know() {
    needs_ranks
    export OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_RANK=0
    "$BATCHNORM_TEST_PLAIN" train --data data >out.log 2>err.log && fail "it trains"
    grep -qE '^batchnorm train: (.* says that|started as) 4 processes' err.log || fail "$(cat err.log)"
    OMPI_COMM_WORLD_RANK=2 "$BATCHNORM_TEST_PLAIN" train --data data >out.log 2>err.log && fail "it trains"
    grep -q '^batchnorm' err.log && fail "$(cat err.log)"
    return 0
}

run_case
