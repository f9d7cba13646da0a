# SPDX-License-Identifier: MIT
"""picture.py BENCH: the picture of rows that were made by hand has a bar for each, as high as it is fast, and says how fast."""
import itertools
import math
import pathlib
import shutil
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, sys.argv[1])

import picture  # noqa: E402

SIZES = [(32, 64, 112, 112), (32, 2048, 7, 7), (128, 512)]
RATIOS = itertools.cycle([0.5, 2, 4, 8, 1.5])


def row(size, op, threads, ratio):
    return {"size": size, "layout": "nchw", "op": op, "threads": threads, "reached": {"torch": ratio} if ratio else {}}


ROWS = [row(size, op, threads, next(RATIOS)) for threads in (1, 2) for size in SIZES for op in ("train", "eval", "backward")]
LAYERS = ["32x64x112x112 nchw", "32x2048x7x7 nchw", "128x512 nc"]


def texts(root):
    return ["".join(node.itertext()).strip() for node in root.iter() if node.tag.endswith("text")]


def bars(root):
    """The heights of the bars in pixels, by their colour: closed paths that are filled with it."""
    found = {}
    for group in root.iter():
        fill = group.get("fill", "")
        points = group.get("points") or group.get("d", "")
        if fill.startswith("rgb") and points:
            numbers = [float(n) for n in points.replace("M", " ").replace("L", " ").replace("Z", " ").replace(",", " ").split()]
            heights = numbers[1::2]
            found.setdefault(fill.replace(" ", ""), []).append(max(heights) - min(heights))
    return found


def rows_become_bars(path):
    picture.draw(ROWS + [row((1, 2), "train", 1, None)], "a processor's name; f32", path)
    root = ElementTree.parse(path).getroot()
    said = texts(root)
    for text in [*LAYERS, "train", "eval", "backward", "1 thread", "2 threads", "as fast", "a processor's name; f32"]:
        assert text in said, (text, said)
    assert "1x2 nc" not in said, said
    assert sum(text == f"{ratio:.1f}" for text in said for ratio in (0.5, 2, 4, 8, 1.5)) == len(ROWS), said
    found = bars(root)
    for op, colour in picture.COLOURS.items():
        red, green, blue = (int(colour[i:i + 2], 16) for i in (1, 3, 5))
        heights = [height for height in found[f"rgb({red},{green},{blue})"] if height > 0]
        ratios = [abs(math.log2(row["reached"]["torch"])) for row in ROWS if row["op"] == op]
        unit = max(heights[:len(ratios)]) / max(ratios)
        for ratio in ratios:
            assert any(abs(height - ratio * unit) < 2 for height in heights), (op, ratio * unit, heights)


def nothing_to_draw_is_said(path):
    try:
        picture.draw([row((1, 2), "train", 1, None)], "title", path)
    except SystemExit as end:
        assert "PyTorch" in str(end), end
    else:
        raise AssertionError("a picture of nothing")


if not shutil.which("gnuplot"):
    print("skipped: gnuplot is not installed")
    sys.exit(77)
with tempfile.TemporaryDirectory() as folder:
    nothing_to_draw_is_said(f"{folder}/none.svg")
    assert not pathlib.Path(f"{folder}/none.svg").exists()
    rows_become_bars(f"{folder}/rows.svg")
