"""A run's questions are asked again until they are answered, and every failure names its member."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from cohelix.core.errors import Deviation
from cohelix.federation.conversation import Conversation, RunStopped, deviated, together
from cohelix.federation.transport import Arrival
from cohelix.wire.analysis import AskEnd, EndAnswer, OpenAnswer
from cohelix.wire.federation import Member
from cohelix.wire.packed import pack

MEMBER = Member(id="FI", state="active")
END = AskEnd(run="a" * 16, outcome="combined")
GOOD = Arrival("answered", None, pack(EndAnswer(run="a" * 16).model_dump(mode="json")))


class Road:
    """A transport on which one member's answers are laid out beforehand; the last one is given for ever."""

    def __init__(self, arrivals: Sequence[Arrival], seconds: float = 0.0) -> None:
        self.arrivals, self.seconds, self.asked = list(arrivals), seconds, 0

    async def ask(self, member: Member, question: str, body: bytes) -> Arrival:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        return self.arrivals[min(self.asked, len(self.arrivals)) - 1]

    async def close(self) -> None:
        """Nothing to end."""


def talk(road: Road, seconds: float = 60.0, answer_seconds: float = 60.0) -> tuple[Conversation, list[str]]:
    lost: list[str] = []
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    return Conversation(road, until, lost=lambda *told: lost.append(told[2]), answer_seconds=answer_seconds), lost


def test_a_lost_connection_is_tried_again() -> None:
    road = Road([Arrival("unreachable", "no connection could be made"), Arrival("faulty", "its answer broke off"), GOOD])
    conversation, lost = talk(road)
    answered = asyncio.run(conversation.ask(MEMBER, "analysis-end", END))
    assert answered.read(EndAnswer, MEMBER).run == "a" * 16
    assert lost == ["no connection could be made", "its answer broke off"] and road.asked == 3


@pytest.mark.parametrize("way", ["deadline", "within"])
def test_an_end_to_patience_names_member_question_and_reason(way: str) -> None:
    road = Road([Arrival("unreachable", "no connection could be made")])
    conversation, _ = talk(road, seconds=0.3 if way == "deadline" else 60.0)
    with pytest.raises(RunStopped, match="FI did not answer analysis-end: no connection could be made") as stopped:
        asyncio.run(conversation.ask(MEMBER, "analysis-end", END, within=0.3 if way == "within" else None))
    assert stopped.value.state == "aborted" and stopped.value.node == "FI"
    assert 1 <= road.asked <= 3


def test_an_answer_that_never_comes_is_asked_for_again() -> None:
    road = Road([GOOD], seconds=0.2)
    conversation, lost = talk(road, seconds=1.0, answer_seconds=0.05)
    with pytest.raises(RunStopped, match="no answer in time"):
        asyncio.run(conversation.ask(MEMBER, "analysis-end", END))
    assert lost[0] == "it gave no answer in time"


def test_a_member_that_answers_wrongly_again_and_again_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cohelix.federation.conversation._PAUSE_SECONDS", (0.0,))
    road = Road([Arrival("answered", None, b"no packed document")])
    with pytest.raises(RunStopped, match="not a packed document"):
        asyncio.run(talk(road)[0].ask(MEMBER, "analysis-end", END))
    assert road.asked == 12


def test_a_document_of_another_kind_ends_the_run() -> None:
    wrong = Arrival("answered", None, pack({"acceptance": "yes"}))
    answered = asyncio.run(talk(Road([wrong]))[0].ask(MEMBER, "analysis-open", END))
    with pytest.raises(RunStopped, match="another document"):
        answered.read(OpenAnswer, MEMBER)


def test_the_first_failure_ends_the_others_and_is_the_one_that_is_told() -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("waits")

    async def departs() -> None:
        raise Deviation("changed-share", "the share of GB is not the one that it signed", "GB")

    with pytest.raises(Deviation, match="changed-share"):
        asyncio.run(together([waits(), departs()]))
    assert ended == ["waits"]
    stopped = deviated(Deviation("changed-share", "words", "GB"))
    assert stopped.node == "GB" and "by GB" in stopped.reason
