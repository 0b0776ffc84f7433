"""The signed list of revocations, and what a node concludes from lists that come, come late, come again, or are cut."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from joserfc import jws
from joserfc.jwk import KeySet

from cohelix.access.authority import all_authorities, find_authority, init_authority, list_keys, rotate
from cohelix.access.grants import Grants
from cohelix.access.jose import read_key_set
from cohelix.access.revocation import Payload, compose, document_of, needed_keys, read_payload, sign, verify
from cohelix.access.trust import TrustList
from cohelix.core.errors import BadUsage, Conflict, NotAuthentic, NotFound
from cohelix.db import open_database
from cohelix.federation.revocations import RevocationWatch
from cohelix.wire.federation import PinnedHub

HUB = "https://hub.example"
NOW = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)


class Hands:
    """A clock whose hands the test moves; the wall clock may also be set."""

    def __init__(self, now=NOW):
        self.at, self.tick = now, 1000.0

    def now(self):
        return self.at

    def monotonic(self):
        return self.tick

    def move(self, seconds):
        self.at, self.tick = self.at + timedelta(seconds=seconds), self.tick + seconds


def authority_in(folder, name="FI-DAC", datasets=("FI:*",), clock=None):
    folder.mkdir(exist_ok=True)
    return init_authority(folder, authority=name, name="A committee", hub_url=HUB, datasets=datasets, clock=clock)


def keys_of(*authorities):
    return {(one.issuer, kid): key for one in authorities for kid, key in read_key_set(one.keys.published()).items()}


def listed(authorities, revoked=(), now=NOW):
    encoded = compose(HUB, revoked, now).encoded()
    return document_of(encoded, [sign(encoded, one.issuer, one.keys.current()) for one in authorities])


def test_every_authority_signs_the_same_list_and_a_referee_reads_it(tmp_path):
    one, two = authority_in(tmp_path / "a"), authority_in(tmp_path / "b", "GB-DAC", ("GB:x",))
    document = json.loads(json.dumps(listed([one, two], ["FI-DAC:1"])))
    found = verify(document, keys_of(one, two), hub=HUB)
    assert found.payload == Payload(HUB, int(NOW.timestamp()), int(NOW.timestamp()) + 60, frozenset({"FI-DAC:1"}))
    assert found.signed_by == {one.issuer, two.issuer}
    assert set(needed_keys(document)) == set(keys_of(one, two))
    # The library's own reader of the general serialisation finds every signature good.
    everything = KeySet.import_key_set({"keys": [*one.keys.published()["keys"], *two.keys.published()["keys"]]})
    assert json.loads(jws.deserialize_json(document, everything, algorithms=["ES256"]).payload)["jtis"] == ["FI-DAC:1"]
    for signature in document["signatures"]:
        compact = f"{signature['protected']}.{document['payload']}.{signature['signature']}"
        assert json.loads(jws.deserialize_compact(compact, everything, algorithms=["ES256"]).payload)["jtis"] == ["FI-DAC:1"]


@pytest.mark.parametrize("what", ["cut", "longer", "later", "foreign", "none", "unknown kid", "type"])
def test_what_was_changed_on_the_way_has_no_signature(tmp_path, what):
    one = authority_in(tmp_path / "a")
    document = listed([one], ["FI-DAC:1", "FI-DAC:2"])
    payload = read_payload(document["payload"])
    changed = {
        "cut": Payload(HUB, payload.issued, payload.expires, frozenset({"FI-DAC:1"})),
        "longer": Payload(HUB, payload.issued, payload.expires, payload.revoked | {"x"}),
        "later": Payload(HUB, payload.issued + 30, payload.expires + 30, payload.revoked),
    }
    signature = document["signatures"][0]
    header = json.loads(base64.urlsafe_b64decode(signature["protected"] + "=="))
    headers = {
        "foreign": {**header, "jku": f"{HUB}/authorities/OTHER/jwks.json"},
        "none": {**header, "alg": "none"},
        "unknown kid": {**header, "kid": "x"},
        "type": {**header, "typ": "JWT"},
    }
    if what in changed:
        document["payload"] = changed[what].encoded()
    else:
        raw = json.dumps(headers[what]).encode()
        signature["protected"] = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    assert verify(document, keys_of(one), hub=HUB).signed_by == frozenset()


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"payload": "x", "signatures": []},
        {"payload": Payload(HUB, 1, 62, frozenset()).encoded(), "signatures": []},
        {"payload": Payload("https://other.example", 1, 61, frozenset()).encoded(), "signatures": []},
        {"payload": Payload(HUB, 1, 61, frozenset()).encoded()},
        {"payload": Payload(HUB, 1, 61, frozenset()).encoded(), "signatures": [{}] * 1001},
    ],
)
def test_what_is_no_list_is_refused(document):
    with pytest.raises(NotAuthentic):
        verify(document, {}, hub=HUB)


def watching(folder, authorities, clock):
    folder.mkdir(exist_ok=True)
    pinned = PinnedHub(hub_url=HUB, hub_key="k", node_url="http://node", joined_at="")
    grants = Grants(open_database(folder / "node.sqlite"), clock)
    keys = keys_of(*authorities)
    return RevocationWatch(folder, lambda: grants, lambda _named: keys, lambda: pinned, clock=clock)


def fresh(watch, authority, clock):
    return watch.known().known(authority.issuer, clock.now())


@pytest.mark.parametrize("skew", [-60, -30, 0, 30, 60])
def test_a_minute_after_the_last_list_nobody_knows_whatever_the_clocks_say(tmp_path, skew):
    """The node's clock differs by up to a minute from the authority's."""
    one, other = authority_in(tmp_path / "a"), authority_in(tmp_path / "b", "GB-DAC", ("GB:*",))
    clock = Hands(NOW + timedelta(seconds=skew))
    watch = watching(tmp_path / "node", [one, other], clock)
    assert not fresh(watch, one, clock)
    for turn in range(4):
        watch.take(listed([one], ["FI-DAC:1"], NOW + timedelta(seconds=20 * turn)))
        assert fresh(watch, one, clock)
        assert not fresh(watch, other, clock)
        assert watch.known().revoked[one.issuer] == {"FI-DAC:1"}
        if turn < 3:
            clock.move(20)
    clock.move(59)
    assert fresh(watch, one, clock)
    clock.move(1)
    assert not fresh(watch, one, clock)


def test_a_list_that_is_shown_again_or_held_back_makes_nothing_fresh(tmp_path):
    one = authority_in(tmp_path / "a")
    clock = Hands()
    watch = watching(tmp_path / "node", [one], clock)
    first = listed([one])
    watch.take(first)
    for _ in range(5):
        clock.move(11)
        watch.take(first)
    clock.move(5)
    assert not fresh(watch, one, clock)
    # A new one that was held back for 50 s counts as 50 s old.
    held = listed([one], [], clock.now())
    clock.move(50)
    watch.take(held)
    assert fresh(watch, one, clock)
    clock.move(11)
    assert not fresh(watch, one, clock)
    # What was revoked once stays so, although a later list does not say it.
    watch.take(listed([one], ["FI-DAC:1"], clock.now()))
    clock.move(5)
    watch.take(listed([one], [], clock.now()))
    assert watch.known().revoked[one.issuer] == {"FI-DAC:1"}
    with pytest.raises(NotAuthentic, match="future"):
        watch.take(listed([one], [], clock.now() + timedelta(seconds=61)))


def test_a_clock_that_is_set_changes_nothing(tmp_path):
    one = authority_in(tmp_path / "a")
    clock = Hands()
    watch = watching(tmp_path / "node", [one], clock)
    watch.take(listed([one]))
    for jump in (-3600, 7200):
        clock.at += timedelta(seconds=jump)
        assert fresh(watch, one, clock)
    clock.tick += 60
    assert not fresh(watch, one, clock)


@pytest.mark.parametrize(("away", "knows"), [(30, True), (59, True), (61, False), (-5, False)])
def test_a_restart_goes_on_with_the_list_of_before(tmp_path, away, knows):
    one = authority_in(tmp_path / "a")
    clock = Hands()
    watch = watching(tmp_path / "node", [one], clock)
    watch._take_and_keep(listed([one], ["FI-DAC:1"]))
    later = Hands(clock.at + timedelta(seconds=away))
    later.tick = 3.0  # another process, another count
    again = watching(tmp_path / "node", [one], later)
    assert fresh(again, one, later) == knows
    (tmp_path / "node" / "revocations.json").write_text("{")
    assert not fresh(watching(tmp_path / "node", [one], later), one, later)


def test_own_revocations_are_known_at_once(tmp_path):
    clock = Hands()
    node = tmp_path / "node"
    own = authority_in(node)
    watch = watching(node, [own], clock)
    grants = Grants(open_database(node / "node.sqlite"), clock)
    until = clock.now() + timedelta(days=30)
    one = grants.grant(own, hub_url=HUB, dataset="FI:x", subject="s", subject_issuer=f"{HUB}/broker", until=until)
    watch.take(listed([own]))
    assert fresh(watch, own, clock)
    assert watch.known().revoked[own.issuer] == frozenset()
    grants.revoke(one.identifier)
    clock.move(1)
    assert watch.known().revoked[own.issuer] == {one.identifier}


def test_without_a_fresh_list_not_even_its_own_committee_is_known_unless_there_is_no_hub(tmp_path):
    clock = Hands()
    node = tmp_path / "node"
    own = authority_in(node)
    watch = watching(node, [own], clock)
    assert not fresh(watch, own, clock)
    watch.take(listed([own], ["FI-DAC:1"]))
    clock.move(59)
    assert fresh(watch, own, clock)
    clock.move(1)
    assert not fresh(watch, own, clock)
    grants = Grants(open_database(node / "node.sqlite"), clock)
    alone = RevocationWatch(node, lambda: grants, lambda _named: {}, lambda: None, clock=clock)
    assert fresh(alone, own, clock)


@pytest.mark.parametrize("skew", [-60, 0, 60])
def test_a_list_lives_a_minute_from_when_its_signatures_were_asked_for(tmp_path, skew):
    """Every member is asked, whether or not it has an authority: how long the list was on its way counts as age."""
    one = authority_in(tmp_path / "a")
    clock = Hands(NOW + timedelta(seconds=skew))
    watch = watching(tmp_path / "node", [one], clock)
    document = listed([one])
    watch.asked(document["payload"])
    clock.move(13)
    watch.take(document)
    clock.move(46)
    assert fresh(watch, one, clock)
    clock.move(1)
    assert not fresh(watch, one, clock)


def test_an_authority_has_a_folder_of_its_own(tmp_path):
    clock = Hands()
    made = authority_in(tmp_path, clock=clock)
    assert [one.id for one in all_authorities(tmp_path)] == ["FI-DAC"]
    assert find_authority(tmp_path, None) == made
    assert made.jwks == f"{HUB}/authorities/FI-DAC/jwks.json"
    for path in (tmp_path / "authorities").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    with pytest.raises(Conflict):
        authority_in(tmp_path)
    with pytest.raises(NotFound, match="dac init"):
        find_authority(tmp_path, "GB-DAC")
    for wrong in ({"authority": "../x"}, {"name": ""}, {"datasets": ("FI",)}):
        with pytest.raises(BadUsage):
            init_authority(tmp_path, **{"authority": "B", "name": "B", "hub_url": HUB, "datasets": ("FI:*",), **wrong})
    assert not any("private" in str(key) or "d" in key for key in made.keys.published()["keys"])


def test_a_key_gives_way_and_what_it_signed_holds(tmp_path):
    clock = Hands()
    made = authority_in(tmp_path, clock=clock)
    before = listed([made], ["FI-DAC:1"])
    clock.move(10)
    done = rotate(tmp_path, "FI-DAC", clock)
    assert done["old"] != done["new"]
    made = find_authority(tmp_path, "FI-DAC", clock)
    assert made.keys.current().kid == done["new"]
    keys = keys_of(made)
    assert len(keys) == 2
    assert verify(before, keys, hub=HUB).signed_by == {made.issuer}
    assert verify(listed([made]), keys, hub=HUB).signed_by == {made.issuer}
    assert [row["state"] for row in list_keys(tmp_path, clock)] == ["published", "signs"]
    clock.move(368 * 86_400)
    assert [row["state"] for row in list_keys(tmp_path, clock)] == ["former", "signs"]


@pytest.fixture
def grants(tmp_path):
    return Grants(open_database(tmp_path / "server.sqlite"), Hands())


def test_grants_are_kept_until_the_hub_has_them(tmp_path, grants):
    own = authority_in(tmp_path)
    given = {"hub_url": HUB, "subject": "s", "subject_issuer": f"{HUB}/broker"}
    one = grants.grant(own, dataset="FI:x", until=NOW + timedelta(days=1), **given)
    assert TrustList.of([own.trusted()]).authorities("FI:x") == {own.issuer}
    assert one.identifier.startswith("FI-DAC:")
    assert [found.identifier for found in grants.unsent()] == [one.identifier]
    grants.note_sent(one.identifier)
    assert grants.unsent() == ()
    assert [found.document(NOW)["state"] for found in grants.all()] == ["holds"]
    for wrong in ({"dataset": "GB:x"}, {"until": NOW}, {"until": NOW + timedelta(days=400)}):
        with pytest.raises(BadUsage):
            grants.grant(own, **{"dataset": "FI:x", "until": NOW + timedelta(days=1), **given, **wrong})
    assert grants.revoke(one.identifier, "left").revoked_at == int(NOW.timestamp())
    assert grants.revoke(one.identifier).reason == "left"
    assert grants.revoked() == {"FI-DAC": {one.identifier}}
    with pytest.raises(NotFound):
        grants.revoke("FI-DAC:other")
