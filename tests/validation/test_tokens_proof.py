"""The whole corpus of `validation/tokens`: no token, visa or proof is wrongly accepted or refused."""

from __future__ import annotations

import pytest

from validation.tokens.judged import judge


@pytest.mark.filterwarnings("ignore::UserWarning")  # weak keys are part of the corpus
def test_no_token_is_wrongly_accepted_or_refused() -> None:
    found = judge()
    assert len(found.names) >= 1500
    assert not found.wrong
    assert not found.disputed
    assert not found.sung
    assert sum(found.agreed.values()) >= 600
    assert sum(found.accepted.values()) >= 150
    assert found.sound
