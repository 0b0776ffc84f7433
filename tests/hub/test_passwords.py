"""Passwords are kept as scrypt hashes of a cost that makes guessing slow."""

from __future__ import annotations

import hashlib
import time
from base64 import b64decode

import pytest
from tests.hub.people_help import REAL_COST

from cohelix.access import accounts
from cohelix.access.accounts import hash_password, verify_password


def test_a_password_is_kept_as_owasp_advises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "COST", REAL_COST)
    assert REAL_COST == (15, 8, 3)
    before = time.process_time()
    kept = hash_password("a quiet river")
    assert time.process_time() - before > 0.05
    _, cost, salt, digest = kept.split("$")
    again = hashlib.scrypt(b"a quiet river", salt=b64decode(salt), n=2**15, r=8, p=3, dklen=32, maxmem=2**26)
    assert cost == "15,8,3" and b64decode(digest) == again
    assert verify_password("a quiet river", kept) and not verify_password("a quiet rivet", kept)


def test_hashes_of_another_cost_still_count() -> None:
    assert accounts.COST != REAL_COST
    kept = hash_password("x")
    assert kept != hash_password("x") and verify_password("x", kept)
