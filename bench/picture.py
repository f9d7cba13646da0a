# SPDX-License-Identifier: MIT
"""How many times as fast as PyTorch each layer is, as bars, drawn by gnuplot."""
import math
import pathlib
import subprocess

COLOURS = {"train": "#0072B2", "eval": "#E69F00", "backward": "#009E73"}  # Okabe and Ito's
PANEL, TOP, BOTTOM, LEFT, RIGHT = 230, 104, 100, 96, 20  # pixels


def layer_of(row):
    return "x".join(map(str, row["size"])) + " " + ("nc" if len(row["size"]) == 2 else row["layout"])


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def settings(layers, panels, title):
    width, height = LEFT + RIGHT + 78 * max(len(layers), 8), TOP + BOTTOM + panels * PANEL
    return [
        f"set terminal svg size {width},{height} noenhanced font 'sans-serif,12' background '#ffffff'",
        f"set multiplot layout {panels},1 margins {LEFT / width:g},{1 - RIGHT / width:g},{BOTTOM / height:g},"
        f"{1 - TOP / height:g} spacing 0,{40 / height:g}",
        "set style data histograms", "set style histogram clustered gap 1", "set boxwidth 0.92 relative",
        "set style fill solid 1 noborder", "set datafile missing '?'", "set border 3 lc rgb '#444444'",
        "set ytics nomirror ('half' -1, 'as fast' 0, '2 times' 1, '4 times' 2, '8 times' 3, '16 times' 4)",
        "set xtics nomirror scale 0 rotate by 30 right", "set grid ytics lt 1 lc rgb '#dddddd'",
        f"set xrange [-0.6:{len(layers) - 0.4}]",
        "set arrow 1 from graph 0, first 0 to graph 1, first 0 nohead lw 1.5 lc rgb '#444444' front",
        f"set key at screen 0.5, screen {1 - 56 / height:g} center top horizontal samplen 1.5",
        "set label 1 'Batch normalization beside PyTorch: how many times as fast' at screen 0.5, screen 1 center "
        "offset 0, -1.2 font ',16'",
        f"set label 2 {quoted(title)} at screen 0.5, screen 1 center offset 0, -2.8 font ',11'",
    ]


def script(rows, title):
    """A panel for each number of threads, a group of bars for each layer, a bar for each operation. Its axis is logarithmic:
    bars begin at 1, and so their heights are logarithms."""
    rows = [row for row in rows if "torch" in row["reached"]]
    layers, threads, ops = (list(dict.fromkeys(values)) for values in (
        map(layer_of, rows), (row["threads"] for row in rows), (row["op"] for row in rows)))
    ratio = {(row["threads"], layer_of(row), row["op"]): row["reached"]["torch"] for row in rows}
    lines = settings(layers, len(threads), title)
    top, low = max(*ratio.values(), 2) * 1.35, min(*ratio.values(), 0.9) / 1.15
    lines.append(f"set yrange [{math.log2(low):g}:{math.log2(top):g}]")
    for count in threads:
        lines.append(f"$times{count} << END")
        lines += [" ".join([f'"{layer}"'] + [str(ratio.get((count, layer, op), "?")) for op in ops]) for layer in layers]
        lines.append("END")
    for count in threads:
        last = count == threads[-1]
        lines.append(f"set title '{count} thread{'' if count == 1 else 's'}' offset 0, -0.6")
        bars = []
        for i, op in enumerate(ops):
            at = (i - (len(ops) - 1) / 2) / (len(ops) + 1)
            bars += [f"$times{count} using (log(${i + 2})/log(2)):xtic({'1' if last else quoted('')}) "
                     f"lc rgb '{COLOURS[op]}' title '{op}'",
                     f"$times{count} using ($0 + {at:g}):(${i + 2} < 1 ? 0 : log(${i + 2})/log(2)):"
                     f"(sprintf('%.1f', ${i + 2})) with labels font ',9' offset 0, 0.5 notitle"]
        lines += ["plot " + ", ".join(bars), "unset key", "unset label 1", "unset label 2"]
    return "\n".join(lines) + "\n"


def draw(rows, title, path):
    """Write an SVG file; ends the program where that cannot be."""
    if not any("torch" in row["reached"] for row in rows):
        raise SystemExit("--svg: nothing was compared with PyTorch")
    try:
        svg = subprocess.run(["gnuplot"], input=script(rows, title), capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        raise SystemExit("--svg needs gnuplot (Debian: gnuplot-nox)") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"--svg: gnuplot failed: {error.stderr.strip()}") from None
    pathlib.Path(path).write_text(svg, encoding="utf-8")
