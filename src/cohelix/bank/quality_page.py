"""The quality report as one HTML page that stands alone: no network, no script; readable, printable, and by a screen reader."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from cohelix.bank.manifest import Manifest
from cohelix.bank.plots import Line, Series, histogram, scatter

_POINTS_MOST = 3000
_ROWS_MOST = 500
_WORDS = {
    "accept": ("Accept", "No call set is left out. What deserves a look stands below.", "good"),
    "accept with exclusions": ("Accept with exclusions", "Some call sets should not count; the others are good.", "fair"),
    "refuse": ("Refuse", "The dataset as a whole misses its thresholds.", "bad"),
    "not assessed": ("Not assessed", "The gate looks at germline genotypes; these are others.", "fair"),
}
_CHECKS = {
    "call_rate": "Call rate",
    "depth": "Read depth",
    "contamination": "Contamination",
    "heterozygosity": "Heterozygosity",
    "outlier": "Ti/Tv, het/hom or singletons far from the population's",
    "sex": "Another sex than declared",
    "sex_unclear": "Sex unclear from genotypes",
    "duplicate": "Duplicate, or another person than declared",
    "relative": "Relative up to the second degree",
    "ancestry": "Ancestry outlier",
    "batch": "Bad batch",
}
STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--paper:#fff;--card:#f6f8fa;--rule:#d0d7de;
  --good:#116329;--fair:#7d4e00;--bad:#b00020}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9da7b3;--paper:#0d1117;--card:#161b22;
  --rule:#30363d;--good:#56d364;--fair:#e3b341;--bad:#ff7b85}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main,header{max-width:1080px;margin:0 auto;padding:1rem 1.25rem}
h1{font-size:1.6rem;margin:.6rem 0 .2rem}
h2{font-size:1.2rem;margin:2rem 0 .6rem}
h3{font-size:1rem;margin:0 0 .4rem}
p{margin:.3rem 0}
.soft,.described,caption{color:var(--soft);font-size:.88rem}
.verdict{border-left:.5rem solid;padding:.7rem 1rem;background:var(--card);border-radius:.3rem;margin:1rem 0}
.verdict strong{font-size:1.25rem}
.good{border-color:var(--good)}
.good strong{color:var(--good)}
.fair{border-color:var(--fair)}
.fair strong{color:var(--fair)}
.bad{border-color:var(--bad)}
.bad strong,.exclude{color:var(--bad)}
.exclude{font-weight:600}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:.6rem;margin:1rem 0;
  padding:0}
.figures div{background:var(--card);padding:.6rem .8rem;border-radius:.3rem}
.figures dt{color:var(--soft);font-size:.85rem}
.figures dd{margin:0;font-size:1.2rem;font-weight:600}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,29rem),1fr));gap:1rem}
figure{margin:0;padding:.8rem;background:var(--card);border-radius:.3rem;break-inside:avoid}
figure svg{width:100%;height:auto;display:block}
svg text{fill:var(--ink);font:11px system-ui,sans-serif}
.grid{stroke:var(--rule);stroke-width:.6}
.threshold{stroke:var(--bad);stroke-width:1.4;stroke-dasharray:5 3}
.diagonal{stroke:var(--soft);stroke-width:1}
.legend{display:flex;flex-wrap:wrap;gap:.2rem .9rem;list-style:none;margin:.4rem 0 0;padding:0;
  font-size:.85rem}
.legend svg{display:inline-block;width:12px;height:12px;margin-right:.3rem;vertical-align:-1px}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--rule);vertical-align:top}
th,td:nth-child(2){white-space:nowrap}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.2rem 0}
a{color:inherit}
:focus-visible{outline:3px solid #0072b2;outline-offset:2px}
"""


def write_page(document: dict[str, Any], manifest: Manifest, path: Path, *, names: bool) -> None:
    """Write the page of an assessment; without `names`, call sets go by their column's number."""
    path.write_text(page(document, manifest, names=names), encoding="utf-8")


def page(document: dict[str, Any], manifest: Manifest, *, names: bool) -> str:
    """The page of a quality document, whole."""
    if not names:
        document = _numbered(document)
    title = f"Quality of {manifest.title}"
    declared = f"dataset {manifest.dataset}, version {manifest.version}, {manifest.assembly}"
    parts = (
        _verdict(document),
        _figures(document),
        _plots(document),
        _table_of_checks(document),
        _table_of_findings(document),
        _table_of_pairs(document),
        _table_of_variants(document),
        _table_of_thresholds(document),
    )
    simulated = "<p><strong>Simulated: these people do not exist.</strong></p>" if manifest.simulated else ""
    whose = "It names call sets: for the operator of this node only." if names else "Call sets go by number."
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f'<header><h1>{escape(title)}</h1><p class="soft">{escape(declared)}. {whose}</p>{simulated}</header>'
        f"<main>{''.join(parts)}</main></body></html>\n"
    )


def _numbered(document: dict[str, Any]) -> dict[str, Any]:
    """The document with each call set's name replaced, in findings' words too."""
    call_sets = document["callSets"]
    if call_sets is None:
        return document
    number = {name: f"call set {place + 1}" for place, name in enumerate(call_sets["names"])}

    def told(detail: str) -> str:
        # Names stand in details as whole words.
        return " ".join(number.get(word.rstrip(","), word) for word in detail.split(" "))

    relatives = document["relatives"]
    if relatives is not None:
        pairs = [{**pair, "callSets": [number[name] for name in pair["callSets"]]} for pair in relatives["pairs"]]
        relatives = {**relatives, "pairs": pairs}
    findings = [{**one, "callSet": number[one["callSet"]], "detail": told(one["detail"])} for one in document["findings"]]
    excluded = [number[name] for name in document["excluded"]]
    named = {**call_sets, "names": list(number.values())}
    return {**document, "callSets": named, "relatives": relatives, "findings": findings, "excluded": excluded}


def _verdict(document: dict[str, Any]) -> str:
    word, explained, kind = _WORDS[document["verdict"]]
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in document["reasons"])
    listed = f"<ul>{reasons}</ul>" if reasons else ""
    return f'<div class="verdict {kind}"><strong>{word}</strong><p>{explained}</p>{listed}</div>'


def _figures(document: dict[str, Any]) -> str:
    call_sets, variants = document["callSets"], document["variants"]
    shown: list[tuple[str, str]] = []
    if call_sets is not None:
        shown += [("Call sets", f"{len(call_sets['names']):,}"), ("Left out", f"{len(document['excluded']):,}")]
        shown += [("Median call rate", _median(call_sets["callRate"], "{:.2%}"))]
        shown += [
            ("Median Ti/Tv", _median(call_sets["tiTv"], "{:.2f}")),
            ("Median het/hom", _median(call_sets["hetHom"], "{:.2f}")),
        ]
        if call_sets["depths"]:
            shown += [("Median depth", _median(call_sets["depths"]["mean"], "{:.1f}×"))]
    if variants is not None:
        tests = variants["hardyWeinberg"]
        shown += [("Variants", f"{variants['variants']:,}"), ("With low call rate", f"{variants['lowCallRate']:,}")]
        if tests["tests"]:
            shown += [("HWE tests failed", f"{tests['failed'] / tests['tests']:.2%}")]
    if document["relatives"] is not None:
        shown += [("Related pairs", f"{len(document['relatives']['pairs']) + document['relatives']['notListed']:,}")]
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in shown)
    return f'<dl class="figures">{items}</dl>'


def _plots(document: dict[str, Any]) -> str:
    figures = [*_plots_of_call_sets(document), *_plots_of_variants(document)]
    drawn = "".join(f"<figure><h3>{escape(title)}</h3>{svg}</figure>" for title, svg in figures if svg)
    return f'<h2>Plots</h2><p class="soft">Dashed: thresholds.</p><div class="plots">{drawn}</div>' if drawn else ""


def _plots_of_call_sets(document: dict[str, Any]) -> list[tuple[str, str]]:
    data = document["callSets"]
    if data is None:
        return []
    limits = document["thresholds"]["samples"]
    marked: dict[str, set[str]] = {}
    for finding in document["findings"]:
        marked.setdefault(finding["check"], set()).add(finding["callSet"])
    least = Line(limits["call_rate_min"], "x", f"Threshold {limits['call_rate_min']}")
    plots = [("Call rate", histogram("Call rate", data["callRate"], label="call rate", lines=[least]))]
    assessed = {check["name"] for check in document["checks"] if check["status"] == "assessed"}
    if "sex" in assessed:
        share = [called / data["yRows"] if data["yRows"] else 0.0 for called in data["yCalled"]]
        flagged = marked.get("sex", set()) | marked.get("sex_unclear", set())
        series = _series(data, data["fX"], share, groups=data["declaredSex"], flagged=flagged, called="mismatch or unclear")
        lines = [Line(limits["female_f_max"], "x", "At most: female"), Line(limits["male_f_min"], "x", "At least: male")]
        plots.append(("Sex", scatter("Sex", series, x_label="F on X", y_label="share of Y called", lines=lines)))
    if data["depths"]:
        depth, foreign = data["depths"]["mean"], data["depths"]["contamination"]
        flagged = marked.get("contamination", set()) | marked.get("depth", set())
        series = _series(data, depth, foreign, groups=["call sets"] * len(depth), flagged=flagged, called="beyond a threshold")
        lines = [
            Line(limits["contamination_max"], "y", f"Most foreign reads {limits['contamination_max']:.0%}"),
            Line(limits["mean_depth_min"], "x", f"Least depth {limits['mean_depth_min']:g}"),
        ]
        drawn = scatter("Depth and contamination", series, x_label="mean depth", y_label="foreign reads", lines=lines)
        plots.append(("Depth and contamination", drawn or histogram("Depth", depth, label="mean depth", lines=lines[1:])))
    flagged = marked.get("heterozygosity", set())
    series = _series(
        data,
        data["callRate"],
        data["fAutosomes"],
        groups=["call sets"] * len(data["names"]),
        flagged=flagged,
        called="outliers",
    )
    plots.append(("Heterozygosity", scatter("Heterozygosity", series, x_label="call rate", y_label="F of autosomes")))
    series = _series(
        data, data["tiTv"], data["hetHom"], groups=_groups(data), flagged=marked.get("outlier", set()), called="outliers"
    )
    plots.append(("Ti/Tv and het/hom", scatter("Ti/Tv and het/hom", series, x_label="Ti/Tv", y_label="het/hom")))
    if data["components"] is not None:
        first, second = data["components"][:2]
        series = _series(data, first, second, groups=_groups(data), flagged=marked.get("ancestry", set()), called="outliers")
        plots.append(("Ancestry", scatter("Ancestry", series, x_label="component 1", y_label="component 2")))
    if document["relatives"] is not None and document["relatives"]["pairs"]:
        pairs = document["relatives"]["pairs"][:_POINTS_MOST]
        limit = document["thresholds"]["relatedness"]
        lines = [Line(limit["kinship_min"], "y", "Second degree"), Line(0.177, "y", "First degree")]
        lines.append(Line(limit["duplicate_min"], "y", "Same person"))
        share = [pair["ibs0"] / max(pair["markers"], 1) for pair in pairs]
        series = [Series("pairs", share, [pair["kinship"] for pair in pairs])]
        drawn = scatter("Relatives", series, x_label="markers without a shared allele", y_label="kinship", lines=lines)
        plots.append(("Relatives", drawn))
    return plots


def _plots_of_variants(document: dict[str, Any]) -> list[tuple[str, str]]:
    variants = document["variants"]
    if variants is None:
        return []
    tests, plots = variants["hardyWeinberg"], []
    if tests["tests"]:
        series = [Series("tests", tests["expected"], [min(value, 60.0) for value in tests["observed"]])]
        drawn = scatter(
            "Hardy-Weinberg", series, x_label="expected -log10 p", y_label="observed -log10 p (up to 60)", diagonal=True
        )
        plots.append(("Hardy-Weinberg equilibrium", drawn))
    reference = variants["reference"]
    if reference is not None and reference["found"]:
        series = [Series("variants", reference["expected"], reference["observed"])]
        drawn = scatter(
            "Frequencies of a reference", series, x_label="reference's frequency", y_label="frequency here", diagonal=True
        )
        plots.append(("Frequencies of a reference", drawn))
    return plots


def _groups(data: dict[str, Any]) -> list[str]:
    """Populations, the smaller ones together where there are more than a legend bears."""
    labels, sizes = np.unique(np.array(data["population"]), return_counts=True)
    most = {str(labels[i]) for i in np.argsort(-sizes, kind="stable")[:32]} - {""}
    return [label if label in most else "other or unknown" for label in data["population"]]


def _series(
    data: dict[str, Any], x: Sequence[Any], y: Sequence[Any], *, groups: Sequence[str], flagged: set[str], called: str
) -> list[Series]:
    """Points by group and the flagged ones apart; of the unflagged at most some thousand, evenly chosen."""
    marked = np.array([name in flagged for name in data["names"]], np.bool_)
    plain = np.flatnonzero(~marked)
    if len(plain) > _POINTS_MOST:
        plain = plain[np.linspace(0, len(plain) - 1, _POINTS_MOST).astype(np.int64)]
    members: dict[str, list[int]] = {}
    for index in plain.tolist():
        members.setdefault(groups[index], []).append(index)
    series = [Series(name, [x[i] for i in those], [y[i] for i in those]) for name, those in sorted(members.items())]
    out = np.flatnonzero(marked).tolist()
    return [*series, Series(called, [x[i] for i in out], [y[i] for i in out], flagged=True)]


def _table_of_checks(document: dict[str, Any]) -> str:
    rows = [(check["name"], check["status"], check["detail"]) for check in document["checks"]]
    return _table("Checks", "What was looked at, and what was not", ("check", "status", "from what, or why not"), rows)


def _table_of_findings(document: dict[str, Any]) -> str:
    findings = document["findings"]
    words = {"exclude": "left out", "warn": "look"}
    if not findings:
        return "<h2>Call sets</h2><p>Nothing was found.</p>" if document["callSets"] is not None else ""
    times = [
        (_CHECKS.get(row["check"], row["check"]), words[row["action"]], f"{row['callSets']:,}") for row in document["summary"]
    ]
    rows = [
        (one["callSet"], _CHECKS.get(one["check"], one["check"]), words[one["action"]], one["detail"])
        for one in findings[:_ROWS_MOST]
    ]
    more = f", the first {_ROWS_MOST:,} of {len(findings):,}" if len(findings) > _ROWS_MOST else ""
    return _table("Findings", "How many call sets", ("check", "action", "call sets"), times) + _table(
        "Call sets", f"Each finding{more}", ("call set", "check", "action", "detail"), rows
    )


def _table_of_pairs(document: dict[str, Any]) -> str:
    relatives = document["relatives"]
    if relatives is None or not relatives["pairs"]:
        return ""
    pairs = sorted(relatives["pairs"], key=lambda pair: -pair["kinship"])
    rows = [
        (*pair["callSets"], f"{pair['kinship']:.4f}", f"{pair['ibs0']:,}", f"{pair['markers']:,}")
        for pair in pairs[:_ROWS_MOST]
    ]
    head = ("call set", "call set", "kinship", "IBS0", "markers")
    return _table("Related pairs", "Identical 0.5, first degree 0.25, second 0.125", head, rows)


def _table_of_variants(document: dict[str, Any]) -> str:
    variants = document["variants"]
    if variants is None or not variants["worst"]:
        return ""
    rows = [(one["variant"], one["check"], one["group"] or "everybody", f"{one['value']:.3g}") for one in variants["worst"]]
    head = ("variant", "check", "population", "p or call rate")
    return _table("Variants", "The worst, at most a hundred", head, rows)


def _table_of_thresholds(document: dict[str, Any]) -> str:
    rows = [
        (part, name, "-" if value is None else str(value))
        for part, values in document["thresholds"].items()
        for name, value in values.items()
    ]
    return _table("Thresholds", "As they were set; a YAML file may set others", ("part", "threshold", "value"), rows)


def _table(title: str, caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = "".join(
        "<tr>" + "".join(f"<td{_kind(head[place], cell)}>{escape(cell)}</td>" for place, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    names = "".join(f'<th scope="col"{_kind(name, "")}>{escape(name)}</th>' for name in head)
    return (
        f'<h2>{escape(title)}</h2><div class="wide" tabindex="0" role="region" aria-label="{escape(title)}">'
        f"<table><caption>{escape(caption)}</caption><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _kind(column: str, cell: str) -> str:
    if column in ("kinship", "IBS0", "markers", "call sets", "p or call rate"):
        return ' class="number"'
    return ' class="exclude"' if cell == "left out" else ""


def _median(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return form.format(float(np.median(known))) if known else "-"
