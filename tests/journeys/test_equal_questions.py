"""Two equal questions have byte-equal answers within a release, over the hub: `elapsedMs` and identifiers apart."""

from __future__ import annotations

import re
import urllib.request

from validation.town import Town

_VARYING = re.compile(rb'"(elapsedMs|requestId)": ?("[^"]*"|[0-9.]+|null),?')


def _ask(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return _VARYING.sub(b"", answer.read())


def test_equal_questions_have_equal_answers_over_the_hub(town: Town) -> None:
    variants = [variant for variant in town.nodes["GB"].variants() if not variant.alt.startswith("<")][:12]
    paths = [f"/api/v1/frequency/{variant.text}?assembly=GRCh37" for variant in variants]
    paths.append("/api/v1/frequency/22-5-A-C?assembly=GRCh37")
    first = [_ask(f"{town.hub_url}{path}") for path in paths]
    for _ in range(3):
        assert [_ask(f"{town.hub_url}{path}") for path in paths] == first
