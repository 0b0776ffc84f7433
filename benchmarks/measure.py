"""Timing side by side: the house and its referee take turns in one run, and the figures are medians."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Row:
    """One line of the results: what was measured, on what, beside whom, and what was promised."""

    promise: str
    scale: str
    house: str
    referee: str
    ratio: str
    target: str
    met: bool | None  # None: nothing was promised of this line

    def text(self) -> str:
        """As a line of a Markdown table; a missed target says so."""
        verdict = {True: "met", False: "**missed**", None: "–"}[self.met]
        return f"| {self.promise} | {self.scale} | {self.house} | {self.referee} | {self.ratio} | {self.target} | {verdict} |"


@dataclass(frozen=True)
class Times:
    """Seconds of repeated calls."""

    seconds: tuple[float, ...]

    @property
    def p50(self) -> float:
        return float(np.median(self.seconds))

    @property
    def p95(self) -> float:
        return float(np.quantile(self.seconds, 0.95))

    @property
    def p99(self) -> float:
        return float(np.quantile(self.seconds, 0.99))


def interleaved(calls: Mapping[str, Callable[[], object]], repeats: int, warm: int = 1) -> dict[str, Times]:
    """Time each call `repeats` times, taking turns, after `warm` untimed rounds."""
    for _ in range(warm):
        for call in calls.values():
            call()
    found: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    gc.disable()
    try:
        for _ in range(repeats):
            for name, call in calls.items():
                start = time.perf_counter()
                call()
                found[name].append(time.perf_counter() - start)
    finally:
        gc.enable()
    return {name: Times(tuple(seconds)) for name, seconds in found.items()}


def each(call: Callable[[int], object], count: int, warm: int = 100) -> Times:
    """Time `call(0)`, `call(1)`, … one by one."""
    for number in range(min(warm, count)):
        call(number)
    seconds = []
    gc.collect()
    gc.disable()
    try:
        for number in range(count):
            start = time.perf_counter()
            call(number)
            seconds.append(time.perf_counter() - start)
    finally:
        gc.enable()
    return Times(tuple(seconds))


def duration(seconds: float) -> str:
    """12.3 µs, 4.56 ms, 7.8 s."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g} µs"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def size(n_bytes: float) -> str:
    """12.3 MB (10^6 bytes)."""
    return f"{n_bytes / 1e6:.3g} MB"


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def drop_from_cache(folder: Path) -> None:
    """Ask the kernel to forget the pages of all files below a folder (they must not be mapped by anybody)."""
    for path in [folder] if folder.is_file() else folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(handle)
