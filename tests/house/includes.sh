#!/bin/bash
# SPDX-License-Identifier: MIT
# includes.sh: includes point downwards only. Each room may include the rooms that its line names, through their doors, and its
# own files, but there not in a circle: a.c and a.h are one thing, and of two things only one may include the other.
. "$(dirname "$0")/common.sh"

# ROOM: the rooms that it may include. nn calls the library, and the library never nn.
rooms='
include:
src/kernel:   include
src/parallel: include src/kernel
src/plan:     include src/kernel src/parallel
src/sync:     include src/plan
src/api:      include src/kernel src/parallel src/plan src/sync
src/place:
src/file:     include src/place
src/mpi:      include
src/model:    include src/place
nn:           include
tools/shared: include nn src/place src/model
lab:          include nn tools/shared
tools/apply:  include tools/shared
tools/bench:  include nn tools/shared
tools/train:  include nn tools/shared
tools/predict: include nn tools/shared tools/train
tools/export: include nn src/place tools/shared tools/train
tools/compare: include nn tools/shared tools/bench lab
tools/inspect: include tools/shared
tools/fold:   include tools/shared
tools/convert: include tools/shared
tools/keras:  include src/model
tools/recalibrate: include nn tools/shared tools/train
tools:        include tools/shared
python/core:  include
python/torch: include
examples:     include
bench:        include nn
'
# Headers of a room that others may include; where a room has no line here, all of them.
doors='
src/kernel: kernel.h
src/parallel: parallel.h
src/plan: job.h coefficients.h tree.h tuning.h
src/sync: sync.h
src/place: place.h source.h
src/model: range.h zip.h
tools/shared: array.h clean.h conventions.h convert.h data_notes.h gnuplot.h inputs.h json.h markup.h messages.h model_file.h
tools/shared: npy.h npz.h numbers.h options.h outputs.h picture.h progress.h runtime.h started.h state_norms.h state_tensors.h
tools/shared: stop.h terminal.h wrap.h
tools/train: checkpoint.h
tools/bench: machine.h
lab: plan.h saving.h
'

words_of() { sed -n "s|^$2: *||p" <<<"$1" | tr '\n' ' '; } # <table> <room>
room_of() { # <path>: the longest room that it is in
    local room best=""
    for room in $all_rooms; do [[ $1 == "$room"/* && ${#room} -gt ${#best} ]] && best=$room; done
    echo "$best"
}
resolve() { # <file> <name>: the file that is meant, relative to the root
    local place
    for place in "$(dirname "$1")" . include src; do
        [ -f "$place/$2" ] && { realpath --relative-to=. "$place/$2"; return; }
    done
    return 0
}
stem() { echo "${1%.*}"; }

all_rooms=$(sed -n 's/:.*//p' <<<"$rooms")
for room in $all_rooms; do [ -d "$room" ] || wrong "there is no $room"; done

edges=$(mktemp)
trap 'rm -f "$edges"' EXIT
count=0
while IFS=: read -r file line text; do
    name=${text#*[\"<]} name=${name%[\">]*}
    from=$(room_of "$file") target=$(resolve "$file" "$name")
    [ -n "$target" ] || { [[ $text == *\<* ]] || wrong "$file:$line: there is no $name"; continue; } # <...>: the system's
    to=$(room_of "$target") count=$((count + 1))
    if [ "$from" = "$to" ]; then
        [ "$(stem "$file")" = "$(stem "$target")" ] || echo "$from $(stem "$file") $(stem "$target")" >>"$edges"
        continue
    fi
    [[ " $(words_of "$rooms" "$from") " == *" $to "* ]] || wrong "$file:$line: $from may not include $target"
    open=$(words_of "$doors" "$to")
    [ -z "$open" ] || [[ " $open " == *" $(basename "$target") "* ]] || wrong "$file:$line: $target is not a door of $to"
done < <(grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]' $(sources '*.[ch]' | grep -v ^tests/))

for room in $all_rooms; do
    circle=$(sed -n "s|^$room ||p" "$edges" | tsort 2>&1 >/dev/null) ||
        wrong "$room: these include each other in a circle:" $(sed '/loop/d; s/^tsort: //' <<<"$circle")
done
echo "$count includes"
[ $count -gt 300 ] && exit $failed
