"""Two sides in one run: in turn, several times, medians."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from statistics import median

Side = Callable[[], int]
"""Does the work once and returns the tokens it wrote."""


def rates(sides: Mapping[str, Side], repeat: int) -> dict[str, list[float]]:
    """Tokens a second of each side, `repeat` times, the sides in turn so that all meet the same machine."""
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeat):
        for name, side in sides.items():
            started = time.perf_counter()
            tokens = side()
            measured[name].append(tokens / (time.perf_counter() - started))
    return measured


def table(measured: Mapping[str, Sequence[float]], against: str, unit: str = "tokens/s") -> str:
    """Medians, spread, and the ratio to the side `against`; the ratio is the median of those of each turn."""
    lines = [f"| | {unit} | lowest to highest | ratio |", "|---|---|---|---|"]
    for name, values in measured.items():
        ratio = median(mine / theirs for mine, theirs in zip(values, measured[against], strict=True))
        lines.append(
            f"| {name} | {median(values):,.0f} | {min(values):,.0f} to {max(values):,.0f} | {ratio:.2f}x |"
        )
    return "\n".join(lines)


def machine(*packages: str) -> str:
    """What a table was measured on."""
    told = [platform.machine(), f"Python {platform.python_version()}"]
    for name in packages:
        try:
            told.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(told)
