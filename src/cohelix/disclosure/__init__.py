"""How much an answer may tell; the one engine. The bank alone asks it of frequencies and counts, runs ask it of analyses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cohelix.core.later import faces

if TYPE_CHECKING:
    from cohelix.disclosure.analysis import (
        AnalysisFacts,
        AnalysisPolicy,
        PooledFacts,
        Verdict,
        charged_traits,
        decide_analysis,
        decide_pooled,
        refused_by,
    )
    from cohelix.disclosure.rules import (
        FREQUENCY_FLOOR,
        PEOPLE_FLOOR,
        Told,
        tell_count,
        tell_frequencies,
        tell_given_frequencies,
        tell_parts,
    )

__all__ = [  # noqa: RUF022 (the house's faces are in the order of `sorted`)
    "AnalysisFacts",
    "AnalysisPolicy",
    "FREQUENCY_FLOOR",
    "PEOPLE_FLOOR",
    "PooledFacts",
    "Told",
    "Verdict",
    "charged_traits",
    "decide_analysis",
    "decide_pooled",
    "refused_by",
    "tell_count",
    "tell_frequencies",
    "tell_given_frequencies",
    "tell_parts",
]

__getattr__ = faces(
    __name__,
    {
        "analysis": (
            "AnalysisFacts",
            "AnalysisPolicy",
            "PooledFacts",
            "Verdict",
            "charged_traits",
            "decide_analysis",
            "decide_pooled",
            "refused_by",
        ),
        "rules": (
            "FREQUENCY_FLOOR",
            "PEOPLE_FLOOR",
            "Told",
            "tell_count",
            "tell_frequencies",
            "tell_given_frequencies",
            "tell_parts",
        ),
    },
)
