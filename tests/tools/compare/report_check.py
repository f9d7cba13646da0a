#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""report_check.py REPORT.html METRICS.csv: opens the report in a headless Chromium, with nothing to reach but itself.

As it is: the console must be silent (the page's own policy makes it an error to load or to run anything). Then a copy without
that policy and with a script that measures, as a phone and as a desk see it: nothing is wider than the window, every picture
has a size, marks in the colours of the page and text that can be read; numbers beside a figure are those of the metrics.
"""
import csv
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

FIGURES = {  # id: panels
    "convergence-curves": 3, "convergence-targets": 2, "gradients-norms": 3, "gradients-landscape": 3, "sweep-rates": 2,
    "best-curves": 2, "sigmoid-saturated": 3, "sigmoid-gradients": 2, "layer-channels": 4, "layer-running": 2, "layer-batch": 2,
    "ranks-statistics": 2}
WIDTHS = {390: 10, 1280: 11}  # of the window: the least size of text in a picture, in pixels

PROBE = """
<script>
const figures = [...document.querySelectorAll("figure[data-figure]")].map(f => ({
  id: f.dataset.figure, caption: f.querySelector("figcaption").textContent.trim(),
  legend: f.querySelectorAll(".legend li").length,
  rows: [...f.querySelectorAll(".data tbody tr")].map(r => [...r.cells].map(c => c.textContent)),
  panels: [...f.querySelectorAll(".panel")].map(p => {
    const svg = p.querySelector("svg"), box = svg ? svg.getBoundingClientRect() : {width: 0, height: 0};
    const texts = svg ? [...svg.querySelectorAll("text")].filter(t => t.textContent.trim()) : [];
    return {width: box.width, height: box.height, title: p.querySelector("h4").textContent,
      marks: svg ? svg.querySelectorAll("[stroke*='var(--'],[fill*='var(--'],[color*='var(--']").length : 0,
      ink: svg ? [...svg.querySelectorAll("[stroke^='rgb'],[fill^='rgb'],g > use:not([color^='var('])")].length : 0,
      texts: texts.length, sizes: [...new Set(texts.map(t =>
        (parseFloat(getComputedStyle(t).fontSize) * box.width / svg.viewBox.baseVal.width).toFixed(2)))].map(Number),
      outside: texts.filter(t => {
        const b = t.getBoundingClientRect(), s = box;
        return b.left < s.left - 2 || b.right > s.right + 2 || b.top < s.top - 2 || b.bottom > s.bottom + 2;
      }).map(t => t.textContent)};
  })}));
const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
document.title = JSON.stringify({inner: innerWidth, scroll: document.documentElement.scrollWidth, figures,
  twice: ids.filter((id, i) => ids.indexOf(id) != i), images: [...document.images].map(i => [i.naturalWidth, i.alt]),
  dangling: [...document.querySelectorAll("use")].map(u => u.getAttribute("xlink:href") || u.getAttribute("href"))
            .filter(h => !document.getElementById(h.slice(1))).length,
  claims: document.querySelectorAll(".claims .verdict").length, paragraphs: document.querySelectorAll("section > p").length,
  background: getComputedStyle(document.body).backgroundColor});
</script>"""


def browse(page, width):
    """The DOM at the end, and what the console said."""
    with tempfile.TemporaryDirectory() as profile:
        run = subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}",
             f"--window-size={width},900", "--virtual-time-budget=3000", "--proxy-server=127.0.0.1:9",
             "--enable-logging=stderr", "--dump-dom", page.resolve().as_uri()],
            capture_output=True, text=True, timeout=200)
    if run.returncode != 0 or "</html>" not in run.stdout:
        sys.exit(f"chromium gave status {run.returncode}: {run.stderr[-2000:]}")
    return run.stdout, [line for line in run.stderr.splitlines() if "CONSOLE" in line]


def check_figure(figure, least, wrong):
    name = figure["id"]
    if len(figure["panels"]) != FIGURES[name]:
        wrong.append(f"{name}: {len(figure['panels'])} panels, not {FIGURES[name]}")
    if len(figure["caption"]) < 40 or not figure["rows"] or not figure["legend"]:
        wrong.append(f"{name}: no sentence, no numbers or no legend")
    for panel in figure["panels"]:
        where = f"{name}, {panel['title']}"
        if not panel["width"]:
            wrong.append(f"{where}: no picture")
            continue
        if panel["height"] < 150 or panel["marks"] < 10 or panel["texts"] < 4:
            wrong.append(f"{where}: {panel}")
        if min(panel["sizes"]) < least:
            wrong.append(f"{where}: text of {min(panel['sizes']):.1f} pixels")
        if panel["ink"]:
            wrong.append(f"{where}: {panel['ink']} lines in colours of their own")
        if panel["outside"]:
            wrong.append(f"{where}: cut off: {panel['outside']}")


def check_numbers(figures, path, wrong):
    """The sweep's medians, from the metrics."""
    found = {}
    for row in csv.DictReader(open(path)):
        if row["experiment"] == "sweep" and row["name"] == "final_accuracy":
            found.setdefault((row["norm"], float(row["at"])), []).append(float(row["value"]))
    rows = [r for f in figures if f["id"] == "sweep-rates" for r in f["rows"] if r[0] == "accuracy"]
    shown = {("with" if r[1] == "with batch norm" else "without", float(r[2])): float(r[3]) for r in rows}
    expected = {key: statistics.median(values) for key, values in found.items()}
    if len(shown) != 16 or any(abs(shown.get(key, -1) - value) > 1e-5 for key, value in expected.items()):
        wrong.append(f"sweep: {shown} is shown, {expected} was measured")


def main():
    report, metrics = map(pathlib.Path, sys.argv[1:])
    wrong = []
    text = report.read_text()
    wrong += browse(report, 1280)[1]
    for address in re.findall(r"""(?:src|href)=["']([^"'#][^"']*)""", text):
        if not address.startswith("data:"):
            wrong.append(f"it refers to {address}")
    copy = report.with_name("probe.html")
    copy.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text).replace("</body>", PROBE + "</body>"))
    for width, least in WIDTHS.items():
        dom, console = browse(copy, width)
        wrong += console
        seen = json.loads(re.search(r"<title>(.*?)</title>", dom, re.S).group(1).replace("&lt;", "<").replace("&gt;", ">")
                          .replace("&quot;", '"').replace("&amp;", "&"))
        # A headless window is at least 500 pixels wide in some versions: what counts is what it says itself.
        sizes = {size for figure in seen["figures"] for panel in figure["panels"] for size in panel["sizes"]}
        if max(sizes) > 1.01 * min(sizes):
            wrong.append(f"{width}: text of several sizes: {sorted(sizes)}")
        if seen["scroll"] > seen["inner"]:
            wrong.append(f"{width}: {seen['scroll']} pixels in a window of {seen['inner']}")
        if [f["id"] for f in seen["figures"]] != list(FIGURES):
            wrong.append(f"{width}: figures {[f['id'] for f in seen['figures']]}")
            continue
        if seen["twice"] or seen["dangling"]:
            wrong.append(f"{width}: ids {seen['twice'][:9]} are there twice, {seen['dangling']} symbols are not there")
        if any(not natural or not label for natural, label in seen["images"]):
            wrong.append(f"{width}: images {seen['images']}")
        if seen["claims"] != 19:
            wrong.append(f"{width}: {seen['claims']} verdicts")
        for figure in seen["figures"]:
            check_figure(figure, least, wrong)
        check_numbers(seen["figures"], metrics, wrong)
    print("\n".join(wrong) or "the report is as it should be")
    sys.exit(1 if wrong else 0)


main()
