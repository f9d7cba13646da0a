# SPDX-License-Identifier: MIT
"""map_report.py BENCH: which cases the map has, and what it says of rows that were made by hand."""
import io
import json
import sys
import tempfile

sys.path.insert(0, sys.argv[1])

import shape_map  # noqa: E402


def row(name, ratio, difference=1e-6, threads=1):
    return {"name": name, "dtype": "f32", "threads": threads, "ratio": ratio, "seconds": 1e-5, "torch": 1e-5 * ratio,
            "differences": {"torch": difference}}


class Terminal(io.StringIO):
    def isatty(self):
        return True


ROWS = [row("fast", 4), row("near", 1.05, 2e-3), row("slow", 0.5), row("even", 1), row("as fast as is not shown", 1.1)]


def the_worst_come_first():
    lines = shape_map.summary(ROWS)
    assert lines[0] == "f32, 1 thread: 4 of 5 cases at 1.0 or more, geometric mean 1.18", lines[0]
    assert lines[1] == "largest difference of y or dx: 2.0e-03 in near", lines[1]
    assert [line.split()[0] for line in lines[3:]] == ["slow", "even", "near"], lines
    assert lines[3].split()[1:] == ["0.500", "10", "us", "5", "us"], lines[3]


def nothing_is_slow():
    assert shape_map.summary([row("fast", 2, threads=2)])[0].startswith("f32, 2 threads: 1 of 1 cases")
    assert shape_map.summary([row("fast", 2)])[-1] == "none below 1.1"


def every_sort_has_cases():
    found = shape_map.places(None, ["train", "eval", "backward"], None)
    assert len({place.size for place in found}) >= 36
    assert len({place.name for place in found}) == len(found), "a name is there twice"
    assert set(shape_map.FUSED) <= {place.size for place in found}
    for group in shape_map.SHAPES:
        assert any(place.group == group for place in found)


def words_choose():
    sizes = {place.size for place in shape_map.places(None, ["eval"], ["32x64x56", "tiny"])}
    assert (32, 64, 56, 56) in sizes and (256, 512, 2, 2) in sizes and (32, 64, 112, 112) not in sizes
    assert all(place.fused for place in shape_map.places(None, ["eval"], ["fused"]))
    assert {place.layout for place in shape_map.places([(4, 1, 8, 8), (4, 8, 1, 1), (4, 8)], ["eval"], None)} == {"nc"}


def a_run_tells_what_was_slow():
    with tempfile.NamedTemporaryFile("w+") as file:
        json.dump({"rows": [*ROWS, row("other threads", 0.5, threads=2)]}, file)
        file.flush()
        assert shape_map.slow_before(file.name, "f32", 1) == {"near", "slow", "even"}
        assert shape_map.slow_before(file.name, "f64", 1) == set()


def only_a_terminal_sees_progress():
    pipe, terminal = io.StringIO(), Terminal()
    for file in pipe, terminal:
        progress = shape_map.Progress(4, file)
        progress.show(0)
        progress.show(1)
        progress.close()
    assert pipe.getvalue() == ""
    assert "1 of 4 cases, 0.0 min left" in terminal.getvalue()


for check in (the_worst_come_first, nothing_is_slow, every_sort_has_cases, words_choose, a_run_tells_what_was_slow,
              only_a_terminal_sees_progress):
    check()
    print(check.__name__)
