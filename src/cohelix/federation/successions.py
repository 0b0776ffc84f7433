"""How a key gives way to another: documents signed by the old key and the new, and the book of them that everybody keeps.

Who knows a member or the hub by a key knows it by every key that follows in an unbroken line of such documents; no one
else, the hub not either, can say who a member is. `docs/guides/keys.md` tells the story.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import TypeAdapter, ValidationError

from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadUsage, Conflict, Damaged, NotAuthentic
from cohelix.core.private_files import replace_private, sync_folder
from cohelix.federation.signing import (
    TOLERANCE_SECONDS,
    Identity,
    PublicKey,
    document_holds,
    former_key_file,
    load_identity,
    public_key,
    sign_document,
    write_key,
)
from cohelix.wire.federation import Succession
from cohelix.wire.plan import canonical

OVERLAP_DAYS = 7.0  # a run lasts a day at most; members may be away for some
OVERLAP_DAYS_MAX = 31.0
_KIND = "cohelix-succession-1"
_FILE, _LOCK = "successions.json", "successions.lock"
_NEXT_KEY, _NEXT = "next.pem", "next.json"
_MANY = TypeAdapter(tuple[Succession, ...])


def make_succession(old: Identity, new: Identity, who: str, *, now: datetime, days: float = OVERLAP_DAYS) -> Succession:
    """The document by which `old` gives way to `new`."""
    if not 0 < days <= OVERLAP_DAYS_MAX:
        raise BadUsage(f"both keys hold for more than 0 and at most {OVERLAP_DAYS_MAX:.0f} days")
    until = now + timedelta(days=days)
    plain = Succession(who=who, old=old.public, new=new.public, at=_text(now), until=_text(until))
    content = succession_content(plain)
    return plain.model_copy(update={"by_old": sign_document(old, _KIND, content), "by_new": sign_document(new, _KIND, content)})


def check_succession(one: Succession, *, now: datetime) -> None:
    """Whether a succession is one: both keys signed it, and its times can be meant; `NotAuthentic` with what does not hold."""
    public_key(one.old)
    public_key(one.new)
    if one.old == one.new:
        raise NotAuthentic("a key does not follow itself")
    try:
        at, until = datetime.fromisoformat(one.at), datetime.fromisoformat(one.until)
        overlap, early = until - at, at - now
    except (ValueError, TypeError) as error:
        raise NotAuthentic("the succession's times are none") from error
    if not timedelta(0) < overlap <= timedelta(days=OVERLAP_DAYS_MAX) or early > timedelta(seconds=TOLERANCE_SECONDS):
        raise NotAuthentic("the succession's times cannot be meant")
    content = succession_content(one)
    if not document_holds(one.old, _KIND, content, one.by_old):
        raise NotAuthentic("the succession is not signed by the old key")
    if not document_holds(one.new, _KIND, content, one.by_new):
        raise NotAuthentic("the succession is not signed by the new key")


def succession_content(one: Succession) -> bytes:
    """What both keys sign: the document without its signatures, canonical."""
    return canonical(one.model_dump(mode="json", exclude={"by_old", "by_new"}))


class SuccessionBook:
    """The successions that a node or hub has been told, kept in its folder; safe to use from several processes at once."""

    def __init__(self, folder: Path, *, clock: Clock | None = None) -> None:
        self._path, self._lock = folder / _FILE, folder / _LOCK
        self._clock = clock or SystemClock()
        self._read_of: tuple[int, int] | None = None
        self._found: tuple[Succession, ...] = ()

    def all(self) -> tuple[Succession, ...]:
        """All that were kept, in the order in which they came."""
        try:
            state = self._path.stat()
        except FileNotFoundError:
            return ()
        version = (state.st_ino, state.st_mtime_ns)
        if version != self._read_of:
            self._found, self._read_of = self._load(), version
        return self._found

    def add(self, one: Succession) -> bool:
        """Check a succession and keep it; whether it was new.

        Raises
        ------
        NotAuthentic
            If it is none.
        Conflict
            If another key follows the same one already: of two documents the first holds.
        """
        check_succession(one, now=self._clock.now())
        with self._changing() as kept:
            for other in kept:
                if (other.who, other.old) == (one.who, one.old):
                    if other.new != one.new:
                        raise Conflict(f"the key of {one.who} has given way to another one already")
                    return False
            kept.append(one)
        return True

    def history(self, key: str, who: str) -> tuple[PublicKey, ...]:
        """Every key of the line to which a key belongs, oldest first: for documents that were signed long ago."""
        line = [key]
        after, before = self._by_old(who), {one.new: one for one in self._of(who)}
        while line[-1] in after and after[line[-1]].new not in line:
            line.append(after[line[-1]].new)
        while line[0] in before and before[line[0]].old not in line:
            line.insert(0, before[line[0]].old)
        return tuple(PublicKey(name) for name in line)

    def keys(self, key: str, who: str) -> tuple[PublicKey, ...]:
        """The keys that hold now of somebody who is known by this key: the newest, then those that still hold beside it."""
        now = self._clock.now()
        *former, newest = self.history(key, who)
        after = self._by_old(who)
        holding = [name for name in reversed(former) if datetime.fromisoformat(after[name].until) > now]
        return (newest, *holding)

    def _of(self, who: str) -> Iterator[Succession]:
        return (one for one in self.all() if one.who == who)

    def _by_old(self, who: str) -> dict[str, Succession]:
        return {one.old: one for one in self._of(who)}

    def _load(self) -> tuple[Succession, ...]:
        try:
            return _MANY.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return ()
        except ValidationError as error:
            raise Damaged(f"{self._path} is not a list of successions", path=str(self._path)) from error

    @contextmanager
    def _changing(self) -> Iterator[list[Succession]]:
        with _alone(self._lock):
            kept = list(self._load())
            before = len(kept)
            yield kept
            if len(kept) > before:
                replace_private(self._path, _MANY.dump_json(tuple(kept), indent=1))


def pending_succession(folder: Path) -> Succession | None:
    """The succession that is announced, while the old key still signs; None where there is none."""
    try:
        return Succession.model_validate_json((folder / "identity" / _NEXT).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise Damaged(f"{folder / 'identity' / _NEXT} is not a succession") from error


def begin_succession(folder: Path, who: str, *, days: float = OVERLAP_DAYS, clock: Clock | None = None) -> Succession:
    """Make the next key of a node's or hub's folder and the document of it; one that was begun before is gone on with.

    The old key signs on until `complete_succession`.
    """
    place, now = folder / "identity", (clock or SystemClock()).now()
    begun = pending_succession(folder)
    if begun is not None and datetime.fromisoformat(begun.until) > now:
        return begun
    (place / _NEXT).unlink(missing_ok=True)
    (place / _NEXT_KEY).unlink(missing_ok=True)
    new = Ed25519PrivateKey.generate()
    write_key(place / _NEXT_KEY, new)
    made = make_succession(load_identity(folder).current(), Identity(new), who, now=now, days=days)
    replace_private(place / _NEXT, made.model_dump_json(indent=1).encode())
    return made


def complete_succession(folder: Path, *, note: Callable[[Succession], None], clock: Clock | None = None) -> Succession:
    """Let the announced key sign from now on, and keep the old one for as long as it holds; after a crash call it again.

    Parameters
    ----------
    note
        Writes it down while the old key still signs; it may be called again after a crash.

    Raises
    ------
    Conflict
        If no key is announced.
    """
    place = folder / "identity"
    with _alone(place / _LOCK):
        one = pending_succession(folder)
        if one is None:
            raise Conflict("no key is announced")
        SuccessionBook(folder, clock=clock).add(one)
        if load_identity(folder).public == one.old:
            note(one)
            former = former_key_file(folder, one.old)
            former.parent.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.link(place / "key.pem", former)
            (place / _NEXT_KEY).replace(place / "key.pem")
        (place / _NEXT).unlink()
        sync_folder(place)
    return one


def forget_former_keys(folder: Path, *, clock: Clock | None = None) -> tuple[PublicKey, ...]:
    """Delete the private keys that no longer hold; which they were."""
    now = (clock or SystemClock()).now()
    gone = []
    for one in SuccessionBook(folder, clock=clock).all():
        path = former_key_file(folder, one.old)
        if datetime.fromisoformat(one.until) <= now and path.is_file():
            path.unlink()
            gone.append(PublicKey(one.old))
    return tuple(gone)


def known_of(successions: Sequence[Succession], known: dict[str, str], book: SuccessionBook) -> int:
    """Keep those of somebody whom this node knows, in any order; how many it has of them now.

    Parameters
    ----------
    known
        A key of each, by member's id or hub's address: as the operator typed it, or as it was pinned at joining.
    """
    waiting = [one for one in successions if one.who in known]
    noted, progress = 0, True
    while waiting and progress:
        progress = False
        for one in list(waiting):
            if one.old in book.history(known[one.who], one.who):
                with contextlib.suppress(NotAuthentic, Conflict):
                    book.add(one)
                    noted += 1
                waiting.remove(one)
                progress = True
    return noted


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Until the end of the context nobody else passes here."""
    with lock.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
