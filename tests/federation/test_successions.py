"""A key gives way to another only by the old key's word, both hold for a while, and nobody is led along another line."""

from __future__ import annotations

import itertools
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cohelix.core.errors import BadUsage, CohelixError, Conflict, NotAuthentic
from cohelix.federation.signing import Identity, create_identity, load_identity, sign_document
from cohelix.federation.successions import (
    SuccessionBook,
    begin_succession,
    check_succession,
    complete_succession,
    forget_former_keys,
    known_of,
    make_succession,
    pending_succession,
)
from cohelix.wire.federation import Succession

NOW = datetime.now(UTC)
Make = Callable[[str], Identity]


@pytest.fixture
def line(make_identity: Make) -> tuple[list[Identity], list[Succession]]:
    keys = [make_identity(f"k{number}") for number in range(4)]
    return keys, [make_succession(old, new, "FI", now=NOW) for old, new in itertools.pairwise(keys)]


def _spoilt(good: Succession, stranger: Identity) -> dict[str, Succession]:
    """Documents that are none, by what is wrong with them."""
    by_stranger = sign_document(stranger, "cohelix-succession-1", b"x")
    late = (NOW + timedelta(days=40)).isoformat()
    return {
        "another new key": good.model_copy(update={"new": stranger.public}),
        "another old key": good.model_copy(update={"old": stranger.public}),
        "another member": good.model_copy(update={"who": "GB"}),
        "a longer overlap": good.model_copy(update={"until": late}),
        "signed by a stranger": good.model_copy(update={"by_old": by_stranger}),
        "not signed by the new key": good.model_copy(update={"by_new": good.by_old}),
        "not signed by the old key": good.model_copy(update={"by_old": good.by_new}),
        "unsigned": good.model_copy(update={"by_old": "", "by_new": ""}),
        "no key": good.model_copy(update={"new": "x"}),
        "no time": good.model_copy(update={"until": "soon"}),
        "a time without a zone": good.model_copy(update={"until": "2030-01-01T00:00:00"}),
    }


def test_only_what_both_keys_signed_is_a_succession(line: tuple[list[Identity], list[Succession]], make_identity: Make) -> None:
    check_succession(line[1][0], now=NOW)
    for what, spoilt in _spoilt(line[1][0], make_identity("stranger")).items():
        with pytest.raises(CohelixError):
            check_succession(spoilt, now=NOW)
            pytest.fail(what)


def test_a_succession_of_tomorrow_or_of_a_year_is_none(make_identity: Make) -> None:
    old, new = make_identity("a"), make_identity("b")
    with pytest.raises(NotAuthentic):
        check_succession(make_succession(old, new, "FI", now=NOW + timedelta(hours=1)), now=NOW)
    with pytest.raises(BadUsage):
        make_succession(old, new, "FI", now=NOW, days=365)
    with pytest.raises(NotAuthentic):
        check_succession(make_succession(old, old, "FI", now=NOW), now=NOW)


def test_whoever_knows_one_key_knows_the_line(
    tmp_path: Path, line: tuple[list[Identity], list[Succession]], clock: object
) -> None:
    keys, documents = line
    book = SuccessionBook(tmp_path, clock=clock)  # type: ignore[arg-type]
    assert [book.add(one) for one in documents] == [True, True, True]
    assert book.add(documents[0]) is False
    names = [one.public for one in keys]
    for known in names:
        assert list(book.keys(known, "FI")) == names[::-1]
        assert list(book.history(known, "FI")) == names
        assert book.keys(known, "GB") == (known,)
    clock.off = timedelta(days=8)  # type: ignore[attr-defined]
    assert book.keys(names[0], "FI") == (names[-1],)
    assert list(SuccessionBook(tmp_path).history(names[-1], "FI")) == names


def test_a_key_has_one_successor(tmp_path: Path, line: tuple[list[Identity], list[Succession]], make_identity: Make) -> None:
    book = SuccessionBook(tmp_path)
    book.add(line[1][0])
    with pytest.raises(Conflict):
        book.add(make_succession(line[0][0], make_identity("other"), "FI", now=NOW))


def test_a_node_keeps_what_follows_from_the_keys_it_knows(
    tmp_path: Path, line: tuple[list[Identity], list[Succession]], make_identity: Make
) -> None:
    keys, documents = line
    stranger, thief = make_identity("stranger"), make_identity("thief")
    foreign = make_succession(stranger, thief, "FI", now=NOW)  # the name of a member, the key of somebody else
    unknown = make_succession(stranger, thief, "IT", now=NOW)
    book = SuccessionBook(tmp_path)
    assert known_of([foreign, *reversed(documents), unknown], {"FI": keys[0].public}, book) == 3
    assert book.keys(keys[0].public, "FI")[0] == keys[-1].public
    assert stranger.public not in {one.old for one in book.all()}


def test_a_folders_key_changes_at_once_for_whoever_holds_it(tmp_path: Path, clock: object) -> None:
    create_identity(tmp_path)
    written: list[Succession] = []
    serving = load_identity(tmp_path)  # what a server made at its start
    old = serving.public
    begun = begin_succession(tmp_path, "FI", clock=clock)  # type: ignore[arg-type]
    assert begin_succession(tmp_path, "FI", clock=clock) == begun == pending_succession(tmp_path)  # type: ignore[arg-type]
    assert serving.public == old == begun.old
    complete_succession(tmp_path, note=written.append)
    assert serving.public == begun.new and serving.current().public == begun.new
    assert serving.holding(old).public == old and serving.holding(begun.new).public == begun.new
    assert pending_succession(tmp_path) is None and written == [begun]
    former = tmp_path / "identity" / "former" / f"{old}.pem"
    assert stat.S_IMODE(former.stat().st_mode) == 0o600
    assert forget_former_keys(tmp_path) == ()
    clock.off = timedelta(days=8)  # type: ignore[attr-defined]
    assert forget_former_keys(tmp_path, clock=clock) == (old,)  # type: ignore[arg-type]
    assert not former.exists() and serving.holding(old).public == begun.new


@pytest.mark.parametrize("step", ["book", "link", "key"])
def test_a_change_that_was_cut_short_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """The machine stops after the document was kept, after the old key was put by, or after the new one took its place."""
    create_identity(tmp_path)
    written: list[Succession] = []
    begun = begin_succession(tmp_path, "FI")

    class Stopped(BaseException):
        pass

    def stop(*_arguments: object, **_options: object) -> None:
        raise Stopped

    where = {"book": ("os.link", stop), "link": ("pathlib.Path.replace", stop), "key": ("pathlib.Path.unlink", stop)}[step]
    if step == "link":
        SuccessionBook(tmp_path).add(begun)  # its own file is replaced in the same way
    with monkeypatch.context() as patch:
        patch.setattr(*where)
        with pytest.raises(Stopped):
            complete_succession(tmp_path, note=written.append)
    assert complete_succession(tmp_path, note=written.append) == begun
    assert load_identity(tmp_path).public == begun.new
    assert load_identity(tmp_path).holding(begun.old).public == begun.old


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    create_identity(tmp_path)
    key = tmp_path / "identity" / "key.pem"
    key.chmod(0o644)
    with pytest.raises(BadUsage, match=r"every user of this machine .*chmod 0600"):
        load_identity(tmp_path)
