"""Numbers as a reader sees them, in the reader's language; the only place that formats them."""

from __future__ import annotations

from babel.numbers import format_decimal
from markupsafe import Markup, escape

from cohelix.portal.languages import ENGLISH, current


def grouped(number: int) -> str:
    """A count: `50,313,359`, in German `50.313.359`."""
    return f"{number:,}" if current() is ENGLISH else str(format_decimal(number, locale=current().locale))


def place(position: int) -> str:
    """A position on a chromosome, which is notation and the same in every language: `50,313,359`."""
    return f"{position:,}"


def decimal(frequency: float) -> str:
    """A frequency in [0, 1] with four decimals, or with two significant digits where four decimals would say little.

    `0.1685`, `0.00042`, `4.2e-06`; whole numbers as `0` and `1`, so that a value that was rounded never looks exact. The
    decimal sign is the language's.
    """
    if frequency in (0.0, 1.0):
        return str(int(frequency))
    if frequency >= 0.001:
        return signed(f"{frequency:.4f}" if frequency < 0.99995 else f"{frequency:.6f}")
    return signed(f"{frequency:.5f}" if frequency >= 0.0001 else f"{frequency:.1e}")


def signed(text: str) -> str:
    """A number that was written with a point, with the language's decimal sign."""
    mark = "." if current() is ENGLISH else str(current().locale.number_symbols["latn"]["decimal"])
    return text.replace(".", mark)


def formatted(number: float, pattern: str) -> str:
    """A number by a pattern such as `.4g`, with the language's decimal sign."""
    return signed(format(number, pattern))


def milliseconds(elapsed: float) -> str:
    """Whole milliseconds, one decimal below ten, seconds from a thousand."""
    if elapsed >= 1000:
        return f"{signed(f'{elapsed / 1000:.1f}')} s"
    return f"{signed(f'{elapsed:.1f}')} ms" if elapsed < 10 else f"{elapsed:.0f} ms"


def in_bytes(number: float) -> str:
    """A size with one decimal: `58.5 GB`, in German `58,5 GB`; powers of a thousand."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} B" if unit == "B" else signed(f"{number:.1f}") + f" {unit}"
        number /= 1000
    return signed(f"{number:.1f}") + " TB"


def sentence(text: str) -> str:
    """An error's detail, which begins small and has no full stop, as a sentence."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def with_code(text: str) -> Markup:
    """A text as HTML, in which what stands between backticks is code: commands, as a terminal's messages write them."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backtick without its partner is one
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(part) if n % 2 else escape(part) for n, part in enumerate(parts))
