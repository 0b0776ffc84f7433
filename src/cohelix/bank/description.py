"""What a data holder says of a dataset besides its data: description, data-use codes, who decides; kept beside its versions.

datasets/<id>/described.json lasts over versions and releases, and holds from the next question on.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from cohelix.bank.publish import DATASETS, locked
from cohelix.core.errors import Damaged
from cohelix.core.ids import DatasetId
from cohelix.core.private_files import replace_private
from cohelix.wire.dataset import DatasetRecord, DatasetType, DataUseClause

DESCRIBED_FILE: Final = "described.json"


class Description(BaseModel):
    """What is said of a dataset; what is not said is None or empty.

    Attributes
    ----------
    title
        In place of the one that it was loaded with.
    country
        Whose national coordination point may veto, ISO 3166-1 alpha-2; the node's own where nothing is said.
    dataset_type
        Who governs the data, by the 1+MG framework.
    duo
        What the data may be used for; without any code nobody is advised that a use is permitted.
    authority
        The committee that decides about applications; without one nobody can apply.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    title: str | None = Field(default=None, min_length=1, max_length=300)
    description: str = Field(default="", max_length=10_000)
    country: str | None = Field(default=None, pattern=r"^[A-Z]{2}$")
    dataset_type: DatasetType | None = None
    duo: tuple[DataUseClause, ...] = Field(default=(), max_length=30)
    authority: str | None = Field(default=None, max_length=64)

    def on(self, record: DatasetRecord) -> DatasetRecord:
        """The record of the dataset with what its holder says of it."""
        said = {name: value for name, value in self if name not in ("format", "title") and value}
        return record.model_copy(update=said | ({"title": self.title} if self.title else {}))


def described(home: Path) -> Description:
    """What is said of the dataset of a folder; nothing where nobody has said anything. Raises `Damaged`."""
    path = home / DESCRIBED_FILE
    try:
        status = path.stat()
    except FileNotFoundError:
        return Description()
    return _read(path, status.st_ino, status.st_mtime_ns)


def describe(node: Path, dataset: DatasetId, description: Description) -> None:
    """Say it of a dataset from now on, in place of what was said; `NotFound` where the node has no such dataset."""
    with locked(node, dataset) as home:
        said = description.model_dump(mode="json")
        document = {"said": said, "sha256": _digest(said)}
        replace_private(home / DESCRIBED_FILE, json.dumps(document, indent=1, ensure_ascii=False).encode())


def description_of(node: Path, dataset: DatasetId) -> Description:
    """What is said of a dataset of a node."""
    return described(node / DATASETS / dataset)


@lru_cache(maxsize=1024)
def _read(path: Path, _inode: int, _changed: int) -> Description:
    try:
        found = json.loads(path.read_bytes())
        if _digest(found["said"]) != found["sha256"]:
            raise ValueError("its checksum is another")
        return Description.model_validate(found["said"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{DESCRIBED_FILE} of dataset {path.parent.name} is not what was written", path=str(path)) from error


def _digest(said: Any) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
