"""A run's report as one HTML page that stands alone: no network, no script; what was asked, who took part, what came out."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from cohelix.analysis.drawing import Estimate, forest, manhattan, quantiles, region_plot, rendered
from cohelix.analysis.record import RunRecord
from cohelix.analysis.summary import LOCUS_BASES, Summary, Top
from cohelix.analysis.verdict import FileVerdict
from cohelix.bank.quality_page import STYLE
from cohelix.core.arrays import FloatArray, IntArray
from cohelix.core.genome import Assembly, Region

_LOCI_MOST, _TRAITS_MOST = 50, 20
_JUDGED = {"pass": ("Pass", "good"), "review": ("A person should look", "fair"), "fail": ("Must not be released", "bad")}
# What a reader has to know of the figures, by convention of missing genotypes.
_MISSING = {
    "mean": "Missing genotypes count as the mean of all nodes' people (mean-imputed).",
    "complete-case": "People with a missing genotype are left out of that variant (complete case).",
}


def report_page(
    record: RunRecord,
    summary: Summary,
    verdicts: Sequence[FileVerdict],
    *,
    lead_region: tuple[IntArray, FloatArray, int] | None,
    estimates: Mapping[str, Sequence[Estimate]],
) -> str:
    """The page.

    Parameters
    ----------
    lead_region
        1-based positions, −log10 p, and the index of the lead variant, of the lines around the strongest locus.
    estimates
        Estimates of each node by variant, where they were agreed.
    """
    plan = record.plan
    title = f"{', '.join(record.traits[:3])}{' …' if len(record.traits) > 3 else ''} in {record.people:,} people"
    parts = [
        _verdicts(verdicts),
        _figures(
            [
                ("People", f"{record.people:,}"),
                ("Nodes", str(len(record.participants))),
                ("Lines", f"{summary.lines:,}"),
                ("Traits", f"{len(record.traits):,}"),
                ("Genome-wide loci", f"{len(summary.loci):,}"),
                ("Inflation λ", "–" if summary.inflation is None else f"{summary.inflation:.3f}"),
            ]
        ),
        "<h2>Plots</h2><div class=plots>",
        _figure(manhattan(summary, title=title), _manhattan_words(summary)),
        _figure(quantiles(summary, title="Quantiles"), "Observed against expected strength of association."),
    ]
    if lead_region is not None and summary.top:
        lead, (positions, strength, index) = summary.top[0], lead_region
        region = Region(lead.chromosome, max(0, lead.position - LOCUS_BASES), lead.position + LOCUS_BASES)
        words = f"The region of {lead.name}, with genes of {record.assembly}."
        figure = region_plot(positions, strength, region, Assembly(record.assembly), title=lead.name, lead=index)
        parts.append(_figure(figure, words))
    for name, lines in estimates.items():
        parts.append(_figure(forest(lines, title=name), f"Estimates of each node for {name}."))
    parts += ["</div>", _loci(summary), _left_out(record), _asked(record), _who(record)]
    described = f"{escape(plan.method)} analysis, run {escape(record.run)}. {escape(_MISSING[plan.missing])}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        f"<title>{escape(title)}</title><style>{STYLE}figure img{{width:100%;height:auto;background:#fff}}</style></head><body>"
        f'<header><h1>{escape(title)}</h1><p class="soft">{described}</p></header><main>{"".join(parts)}</main></body></html>\n'
    )


def _verdicts(verdicts: Sequence[FileVerdict]) -> str:
    shown = []
    for one in verdicts:
        word, kind = _JUDGED[one.verdict]
        reasons = "; ".join(one.reasons)
        shown.append(
            f'<tr><td>{escape(one.file)}</td><td class="{kind}"><strong>{word}</strong></td><td>{escape(reasons)}</td></tr>'
        )
    return (
        '<h2>Automatic check</h2><div class="wide"><table><thead><tr><th>File</th><th>Verdict</th><th>Why</th></tr></thead>'
        f"<tbody>{''.join(shown)}</tbody></table></div>"
    )


def _figures(shown: Iterable[tuple[str, str]]) -> str:
    return f'<dl class="figures">{"".join(f"<div><dt>{escape(a)}</dt><dd>{escape(b)}</dd></div>" for a, b in shown)}</dl>'


def _figure(figure: Any, words: str) -> str:
    picture = base64.b64encode(rendered(figure, "png")).decode()
    return (
        f'<figure><img alt="{escape(words)}" src="data:image/png;base64,{picture}">'
        f'<figcaption class="described">{escape(words)}</figcaption></figure>'
    )


def _manhattan_words(summary: Summary) -> str:
    if not summary.top:
        return "Nothing was tested."
    lead = summary.top[0]
    found = (
        f"{len(summary.loci)} loci pass the genome-wide threshold"
        if summary.loci
        else "nothing passes the genome-wide threshold"
    )
    trait = f" for {lead.trait}" if lead.trait else ""
    return f"{summary.tested:,} tests; {found}. The strongest is {lead.name}{trait}, −log10 p = {lead.neg_log10_p:.2f}."


def _loci(summary: Summary) -> str:
    shown: Sequence[Top] = summary.loci[:_LOCI_MOST] or summary.top[:10]
    if not shown:
        return ""
    lines = "".join(
        f"<tr><td>{escape(one.name)}</td><td>{escape(one.trait or '')}</td>"
        + "".join(
            f'<td class="number">{_number(value, digits)}</td>'
            for value, digits in (
                (one.effect_allele_frequency, 4),
                (one.beta, 6),
                (one.standard_error, 6),
                (one.neg_log10_p, 3),
                (one.n, 0),
            )
        )
        + "</tr>"
        for one in shown
    )
    title = "Top loci" if summary.loci else "Strongest lines (none passes the genome-wide threshold)"
    heads = "".join(
        f'<th class="number">{name}</th>'
        for name in ("Effect allele frequency", "Effect", "Standard error", "−log10 p", "People")
    )
    return (
        f'<h2>{title}</h2><div class="wide"><table><thead><tr><th>Variant</th><th>Trait</th>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _left_out(record: RunRecord) -> str:
    if not record.left_out:
        return ""
    lines = "".join(
        f'<tr><td>{escape(reason)}</td><td class="number">{count:,}</td></tr>' for reason, count in record.left_out.items()
    )
    return (
        "<h2>Variants without a line</h2><table><thead><tr><th>Reason</th><th class=number>Variants</th></tr></thead>"
        f"<tbody>{lines}</tbody></table>"
    )


def _asked(record: RunRecord) -> str:
    plan = record.plan
    traits = ", ".join(record.traits[:_TRAITS_MOST]) + (
        f" and {len(record.traits) - _TRAITS_MOST} more" if len(record.traits) > _TRAITS_MOST else ""
    )
    shown = [
        ("Project", plan.project),
        ("Plan", record.plan_hash),
        ("Datasets", ", ".join(plan.datasets)),
        ("Traits", traits),
        ("Covariates", ", ".join(record.covariates) or "none"),
        (
            "Transformation",
            f"{plan.transformation}, cells of at most {plan.rank_cell}"
            if "rank" in plan.transformation
            else plan.transformation,
        ),
        ("Missing genotypes", _MISSING[plan.missing]),
        ("Node-level estimates", "as agreed" if plan.release.node_level else "not asked for"),
    ]
    lines = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in shown)
    return f'<h2>What was asked</h2><div class="wide"><table><tbody>{lines}</tbody></table></div>'


def _who(record: RunRecord) -> str:
    lines = "".join(
        f"<tr><td>{escape(one.node)}</td><td>{escape(one.fingerprint[:16])}…</td><td>{escape(one.policy)}</td></tr>"
        for one in record.participants
    )
    return (
        f"<h2>Who took part</h2><p>Sums were added by {escape(', '.join(record.aggregators) or 'the hub, in the clear')} "
        f"({escape(record.summing)}); nobody else saw a node's own figures.</p>"
        '<div class="wide"><table><thead><tr><th>Node</th><th>Data</th><th>Policy</th></tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )
