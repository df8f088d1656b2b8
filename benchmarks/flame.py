"""Draws where the main thread of a run spent its time, before and after a change.

Each recording is the raw stacks of py-spy, which is no part of this project:

    py-spy record --idle --rate 50 --format raw --output before.raw -- \\
        python -m traveltide_assets run
    python -m benchmarks.flame before.raw after.raw --title "A run of the sample" --to flame.png

A box is a function of ours, or the library that it called, and as wide as the seconds in it. What a
box calls is below it. Waiting counts, so the whole width is the wall time.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

_RATE = 50
_MAIN = "_run_module_as_main"
_FRAME = re.compile(r"(?P<function>\S.*?) \((?P<file>[^:()]*)(:\d+)?\)$")
_OURS = "traveltide_assets/"
# Frames on the way to a step, which every stack has.
_WAY = re.compile(r"__main__|cli/|defs/run\.py|defs/checks/(steps|check)\.py|benchmarks/")
_DEPTH = 4
_SMALLEST = 0.004  # Of the whole width.
_LETTER = 0.0051
_COLOURS = ("#9ecae1", "#fdae6b", "#a1d99b", "#bcbddc", "#fdd0a2", "#c7e9c0", "#dadaeb", "#9edae5")
_LIBRARY = "#e3e3e3"


@dataclass
class Box:
    """Samples within a function, and within what it called."""

    samples: int = 0
    inner: dict[str, Box] = field(default_factory=dict)

    def add(self, names: list[str], samples: int) -> None:
        self.samples += samples
        if names:
            self.inner.setdefault(names[0], Box()).add(names[1:], samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--title", required=True)
    parser.add_argument("--to", type=Path, required=True, metavar="FILE")
    chosen = parser.parse_args()
    draw(chosen.title, recorded(chosen.before), recorded(chosen.after)).savefig(chosen.to, dpi=110)


def recorded(file: Path) -> Box:
    """The stacks of the main thread as one box."""
    whole = Box()
    for line in file.read_text().splitlines():
        stack, _, samples = line.rpartition(" ")
        if stack.startswith(_MAIN):
            whole.add(list(_named(stack.split(";")))[:_DEPTH], int(samples))
    return whole


def draw(title: str, before: Box, after: Box) -> Figure:
    """Both on one scale of seconds."""
    figure = Figure(figsize=(14, 4.8), layout="constrained")
    figure.suptitle(title)
    seconds = max(before.samples, after.samples) / _RATE
    panels = figure.subplots(2, 1, sharex=True)
    for axes, name, whole in zip(panels, ("before", "after"), (before, after), strict=True):
        axes.set_title(f"{name}: {whole.samples / _RATE:.0f} s", loc="left", fontsize=9)
        axes.set_xlim(0, seconds)
        axes.set_ylim(_DEPTH, 0)
        axes.set_yticks([])
        axes.spines[["left", "right", "top"]].set_visible(False)
        _place(axes, whole, 0, 0, seconds)
    panels[-1].set_xlabel("seconds of the main thread")
    return figure


def _place(axes: Axes, box: Box, left: float, depth: int, whole: float) -> None:
    """Draw what is inside a box, the widest first."""
    for name, inner in sorted(box.inner.items(), key=lambda item: -item[1].samples):
        width = inner.samples / _RATE
        if width < _SMALLEST * whole:
            continue
        axes.add_patch(
            Rectangle((left, depth), width, 0.96, facecolor=_colour(name), edgecolor="white")
        )
        letters = int(width / whole / _LETTER)
        if letters > 3:
            text = f"{name} {width:.1f}" if len(name) + 5 <= letters else name[:letters]
            axes.text(left + 0.1, depth + 0.5, text, fontsize=7, va="center", clip_on=True)
        _place(axes, inner, left, depth + 1, whole)
        left += width


def _named(frames: list[str]) -> Iterator[str]:
    """The functions of ours, from the outside, and the library that the innermost one called."""
    places = [found for frame in frames if (found := _FRAME.match(frame))]
    for place in filter(_is_ours, places):
        if not _WAY.search(place["file"]):
            yield f"{Path(place['file']).stem}.{place['function'].rpartition('.')[2]}"
    outside = list(takewhile(lambda place: not _is_ours(place), reversed(places)))
    if outside:
        package = outside[-1]["file"].partition("/")[0]
        yield package.removeprefix("<frozen ").partition(".")[0]


def _is_ours(place: re.Match[str]) -> bool:
    return _OURS in place["file"] or place["file"].startswith("benchmarks/")


def _colour(name: str) -> str:
    module, dot, _ = name.partition(".")
    return _COLOURS[sum(module.encode()) % len(_COLOURS)] if dot else _LIBRARY


if __name__ == "__main__":
    main()
