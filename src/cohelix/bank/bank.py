"""`Bank`: all datasets of a node, opened, taken over when others are published, and asked by whoever a decision is about."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cohelix.access.gate import Charge
from cohelix.access.policy import Decision
from cohelix.bank.answering import HELD, Answers, Opened
from cohelix.bank.people import Register
from cohelix.bank.publish import DATASETS, open_current, published, published_mark
from cohelix.bank.version import OpenVersion
from cohelix.bank.view import DatasetView
from cohelix.core.errors import Damaged, NotFound
from cohelix.core.ids import DatasetId, NodeId
from cohelix.wire.dataset import Disclosure

Deciding = Callable[[str, Disclosure, float | None], Decision]
"""Decides what a dataset tells somebody: by its federation id, its declared disclosure and its membership power."""
Charging = Callable[[Decision], Charge | None]
"""Whom a decision has told of the rows whose counts leave."""

_LOOK_SECONDS = 1.0  # how often every pointer is looked at, whether or not the mark of them all has changed


class Bank(Answers):
    """A node's datasets. Asked itself, it tells what anybody may know; `under` asks for somebody. Safe for many threads.

    Parameters
    ----------
    public
        Decides what everybody may know; None for whoever holds the folder, to whom each dataset answers by its declared
        disclosure alone.
    """

    def __init__(self, folder: Path, node: NodeId, public: Deciding | None = None) -> None:
        self._folder, self._node, self._public = folder, node, public
        self._lock = threading.Lock()
        self._looked = (0, -_LOOK_SECONDS)  # the mark when every pointer was as in `_opened`, and when that was seen
        self._opened = Opened({}, {}, {}, {}, Register({}), {})

    @classmethod
    def open(cls, folder: Path, node: NodeId, public: Deciding | None = None) -> Bank:
        """The bank in a node's folder, with what is published now; `damaged` names what could not be opened."""
        bank = cls(folder, node, public)
        bank.refresh()
        return bank

    def is_current(self) -> bool:
        """Whether nothing was published since the last refresh.

        A glance at one mark, which every switch of a pointer changes; once a second a look at every pointer, for a folder
        that was changed by other hands.
        """
        mark, looked = self._looked
        now = time.monotonic()
        if published_mark(self._folder) == mark and now - looked < _LOOK_SECONDS:
            return True
        return self._look()

    def _look(self) -> bool:
        """Look at every pointer."""
        mark, now = published_mark(self._folder), time.monotonic()  # of before: what changes meanwhile is looked at again
        current = published(self._folder) == self._opened.marks
        if current:
            self._looked = mark, now
        return current

    @property
    def standing(self) -> object:
        """What answers come from now: the same object for as long as no public answer can have changed."""
        return self._opened

    def refresh(self) -> None:
        """Take over newly published versions. It may take long: servers call it on a thread, after `is_current`.

        A dataset that cannot be opened stops nobody: it answers `not_assessed`, and the others answer as before.
        """
        marks = published(self._folder)
        if marks == self._opened.marks:
            return
        with self._lock:
            before = self._opened
            if marks == before.marks:
                return
            versions: dict[DatasetId, OpenVersion] = {}
            damaged: dict[DatasetId, str] = {}
            for dataset, mark in marks.items():
                same = before.marks.get(dataset) == mark
                if same and dataset in before.versions:
                    versions[dataset] = before.versions[dataset]
                elif same:
                    damaged[dataset] = before.damaged[dataset]
                else:
                    try:
                        versions[dataset] = open_current(self._folder, dataset)
                    except (Damaged, NotFound, OSError) as error:
                        damaged[dataset] = str(error)
            register = Register({dataset: (version.people, version.call_sets) for dataset, version in versions.items()})
            views = {
                dataset: before.views[dataset] if version is before.versions.get(dataset) else self._viewed(version)
                for dataset, version in versions.items()
            }
            self._opened = Opened(marks, versions, damaged, views, register, {})

    def stored(self) -> tuple[OpenVersion, ...]:
        """The versions that answers come from, for whoever watches over their files."""
        return tuple(self._opened.versions.values())

    def hold(self, dataset: DatasetId) -> bool:
        """Let a dataset answer nothing until another version is published; whether it was answering."""
        with self._lock:
            return self._set_aside(dataset, HELD)

    def note_damage(self, error: Damaged) -> bool:
        """Set aside the dataset whose file an error is about; whether the question may be put again.

        Where another version is published meanwhile, the file may have gone with the old one: that one is taken over instead.
        """
        if not self._look():
            self.refresh()
            return True
        place, root = Path(error.path or ""), self._folder / DATASETS
        if not place.is_relative_to(root):
            return False
        dataset = DatasetId(place.relative_to(root).parts[0])
        with self._lock:
            return self._set_aside(dataset, error.detail)

    def _set_aside(self, dataset: DatasetId, why: str) -> bool:
        before = self._opened
        if dataset not in before.versions:
            return False
        versions = {name: version for name, version in before.versions.items() if name != dataset}
        views = {name: view for name, view in before.views.items() if name != dataset}
        register = Register({name: (version.people, version.call_sets) for name, version in versions.items()})
        damaged = {**before.damaged, dataset: why}
        self._opened = Opened(before.marks, versions, damaged, views, register, {})
        return True

    def under(self, deciding: Deciding, charging: Charging | None = None) -> Answers:
        """The datasets as somebody may ask them; for one question, by one thread.

        Parameters
        ----------
        deciding
            Asked of each dataset that answers, of the version that answers.
        charging
            Given the decision of each dataset, whom to tell of the rows whose counts leave; None where nobody is told.
        """
        return _Under(self, deciding, charging)

    @property
    def node(self) -> NodeId:
        return self._node

    def _now(self) -> Opened:
        return self._opened

    def _viewed(self, version: OpenVersion) -> DatasetView:
        view = DatasetView(version, self._node)
        return view if self._public is None else view.under(decided(view, self._public))


class _Under(Answers):
    """The datasets as one person may ask them."""

    def __init__(self, bank: Bank, deciding: Deciding, charging: Charging | None) -> None:
        self._bank, self._deciding, self._charging = bank, deciding, charging
        self._public: Opened | None = None
        self._own: Opened | None = None

    @property
    def node(self) -> NodeId:
        return self._bank.node

    def note_damage(self, error: Damaged) -> bool:
        return self._bank.note_damage(error)

    def _now(self) -> Opened:
        public = self._bank._now()
        if self._own is None or public is not self._public:
            self._public = public
            self._own = replace(public, views={dataset: self._viewed(view) for dataset, view in public.views.items()})
        return self._own

    def _viewed(self, view: DatasetView) -> DatasetView:
        decision = decided(view, self._deciding)
        return view.under(decision, self._charging(decision) if self._charging else None)


def decided(view: DatasetView, deciding: Deciding) -> Decision:
    """What was decided about a dataset."""
    return deciding(view.record.id, view.disclosure, view.membership_power)
