"""The log's own secret key: keyed hashes of what must not stand in the clear."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from cohelix.audit.events import Keyed, Person
from cohelix.core.errors import Damaged
from cohelix.core.private_files import check_private

KEY_FILE: Final = "audit.key"  # in `identity/`, for the owner alone


class Names:
    """Keyed hashes under one log's key: equal names are seen to be equal, and nobody without the key can try names.

    Parameters
    ----------
    key
        32 secret bytes.
    """

    def __init__(self, key: bytes) -> None:
        # Made once and copied: `hmac.digest` would let go of the interpreter's lock, and a server's event loop wait for it.
        self._empty = hmac.new(key, digestmod="sha256")

    def keyed(self, *name: str) -> Keyed:
        """The keyed hash of a variant, a region, an individual or a question, 32 hexadecimal digits."""
        return Keyed(self._hash("name", *name).hex()[:32])

    def digest_of(self, person: Person) -> str:
        """By what a person is found in the table of pseudonyms."""
        return self._hash("person", person.issuer, person.subject).hex()

    def _hash(self, *parts: str) -> bytes:
        """Each part with its length, so that no two lists of parts are the same bytes."""
        encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
        content = b"".join(len(part).to_bytes(8, "big") + part for part in encoded)
        found = self._empty.copy()
        found.update(content)
        return found.digest()


def open_names(folder: Path) -> Names:
    """The key of the log of the node or hub in a folder; made where there is none.

    Raises
    ------
    Damaged
        If it is not what was written.
    """
    path = folder / "identity" / KEY_FILE
    if not path.exists():
        draft = path.with_name(f".{KEY_FILE}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # whole or not at all, and never over another process's key
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    check_private(path)
    key = path.read_bytes()
    if len(key) != 32:
        raise Damaged("the audit log's key is not what was written", path=str(path))
    return Names(key)
