"""The question of a page as a command that a reader can take away: curl, Python and our command line."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from cohelix.core.genome import Assembly, Region


@dataclass(frozen=True, slots=True)
class Snippets:
    """One question, three ways; each runs as it stands."""

    curl: str
    python: str
    cli: str


def frequency_snippets(hub_url: str, variant: str, assembly: Assembly) -> Snippets:
    """Asks for one variant."""
    address = f"{hub_url}{frequency_path(variant, assembly)}"
    return Snippets(
        curl=f"curl {shlex.quote(address)}",
        python=_python(hub_url, f'frequency({_python_text(variant)}, assembly="{assembly}")'),
        cli=f"cohelix frequency {shlex.quote(variant)} --assembly {assembly} --hub {shlex.quote(hub_url)}",
    )


def region_snippets(hub_url: str, region: Region, gene: str | None, assembly: Assembly) -> Snippets:
    """Asks for the first variants of a region or, where one is meant, of a gene."""
    address = f"{hub_url}{region_json_path(str(region), assembly)}"
    subject, verb = (gene, "gene") if gene else (str(region), "region")
    return Snippets(
        curl=f"curl {shlex.quote(address)}",
        python=_python(hub_url, f'{verb}({_python_text(subject)}, assembly="{assembly}")'),
        cli=f"cohelix {verb} {shlex.quote(subject)} --assembly {assembly} --hub {shlex.quote(hub_url)}",
    )


def term_snippets(hub_url: str, code: str) -> Snippets:
    """Asks how many people have a code."""
    return Snippets(
        curl=f"curl {shlex.quote(hub_url + term_json_path(code))}",
        python=_python(hub_url, f"cohort_count({_python_text(code)})"),
        cli=f"cohelix cohort count {shlex.quote(code)} --hub {shlex.quote(hub_url)}",
    )


def cohort_snippets(hub_url: str, text: str, datasets: Sequence[str] = ()) -> Snippets:
    """Asks how many people an expression means, of some datasets or of all."""
    chosen = f", datasets=[{', '.join(_python_text(name) for name in datasets)}]" if datasets else ""
    only = "".join(f" --dataset {shlex.quote(name)}" for name in datasets)
    return Snippets(
        curl=f"curl {shlex.quote(hub_url + cohort_json_path(text, datasets))}",
        python=_python(hub_url, f"cohort_count({_python_text(text)}{chosen})"),
        cli=f"cohelix cohort count {shlex.quote(text)}{only} --hub {shlex.quote(hub_url)}",
    )


def cohort_json_path(text: str, datasets: Sequence[str] = ()) -> str:
    """The hub's address of a count of the people that an expression means as JSON."""
    only = "".join(f"&datasets={quote(name, safe=':')}" for name in datasets)
    return f"/api/v1/cohorts/count?expression={quote(text, safe=':')}{only}"


def term_json_path(code: str) -> str:
    """The hub's address of a count of people with a code as JSON."""
    return f"/api/v1/cohorts/count?expression={quote(code, safe=':')}"


def frequency_path(variant: str, assembly: Assembly) -> str:
    """The hub's address of the frequency answer as JSON."""
    return f"/api/v1/frequency/{quote(variant, safe='')}?assembly={assembly}"


def region_json_path(region: str, assembly: Assembly, after: str | None = None) -> str:
    """The hub's address of a page of a region's variants as JSON."""
    start = f"&after={quote(after, safe='')}" if after else ""
    return f"/api/v1/region/{quote(region, safe=':')}?assembly={assembly}{start}"


def _python(hub_url: str, call: str) -> str:
    return f"import cohelix\n\nhub = cohelix.connect({_python_text(hub_url)})\nhub.{call}"


def _python_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
