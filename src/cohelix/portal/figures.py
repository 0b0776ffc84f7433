"""Numbers as a reader sees them; the only place that would change with a reader's language."""

from __future__ import annotations


def grouped(number: int) -> str:
    """`50,313,359`."""
    return f"{number:,}"


def decimal(frequency: float) -> str:
    """A frequency in [0, 1] with four decimals, or with two significant digits where four decimals would say little.

    `0.1685`, `0.00042`, `4.2e-06`; whole numbers as `0` and `1`, so that a value that was rounded never looks exact.
    """
    if frequency in (0.0, 1.0):
        return str(int(frequency))
    if frequency >= 0.001:
        return f"{frequency:.4f}" if frequency < 0.99995 else f"{frequency:.6f}"
    if frequency >= 0.0001:
        return f"{frequency:.5f}"
    return f"{frequency:.1e}"


def milliseconds(elapsed: float) -> str:
    """Whole milliseconds, one decimal below ten, seconds from a thousand."""
    if elapsed >= 1000:
        return f"{elapsed / 1000:.1f} s"
    return f"{elapsed:.1f} ms" if elapsed < 10 else f"{elapsed:.0f} ms"


def sentence(text: str) -> str:
    """An error's detail, which begins small and has no full stop, as a sentence."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
