"""Notices in SQL and by e-mail: in the event's transaction, once in the portal, at least once by mail, and harmless."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import ValidationError
from tests.access.mail_help import TAKEN, MailServer, certificate, mail_server

from cohelix.access import outbox as outbox_room
from cohelix.access.actor import Role
from cohelix.access.application_store import ApplicationStore
from cohelix.access.mail import MailSettings, Post, plain
from cohelix.access.notify import WORDS, Matter
from cohelix.access.outbox import KEPT_SECONDS, TRIES_MAX, Outbox, is_address, pause
from cohelix.access.roles import Roles
from cohelix.core.errors import BadQuestion, BadUsage, Conflict, NotFound, Unreachable
from cohelix.db import open_database
from cohelix.db.tables import APPLICATION_EVENTS, APPLICATIONS, CONTACTS, METADATA, NOTICES
from cohelix.portal.languages import written
from cohelix.wire.applications import Identity
from validation.applications.walks import APPLICANT, COLLEAGUE, LINES, PEOPLE, person

HUB = "https://hub.example"
WHO = {acting.who.subject: acting for acting in PEOPLE}
OFFICIAL, MEMBER = person("official"), person("dac-FI-1")
FORM: dict[str, Any] = {
    "title": "Blood pressure",
    "summary": "Nobody else's business.",
    "organisation": "institute",
    "lines": [LINES[0].model_dump()],
    "members": [COLLEAGUE.model_dump()],
    "investigations": ["genetic"],
}


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 2, 2, 9, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()


class Place:
    """A store with its outbox, people with duties, and addresses."""

    def __init__(self, database: str, *, mailing: bool = True) -> None:
        self.clock, self.engine = Hands(), open_database(database)
        with self.engine.begin() as connection:  # a shared database has other tests' rows
            for table in (NOTICES, CONTACTS, APPLICATION_EVENTS, APPLICATIONS, *_role_tables()):
                connection.execute(table.delete())
        self.outbox = Outbox(self.engine, self.clock, mailing=mailing)
        self.store = ApplicationStore(self.engine, clock=self.clock, outbox=self.outbox)
        roles = Roles(self.engine, self.clock)
        for role, what, who in (
            (Role.SIGNING_OFFICIAL, "institute", "official"),
            (Role.DAC_CHAIR, "FI-dac", "dac-FI-0"),
            (Role.DAC_MEMBER, "FI-dac", "dac-FI-1"),
            (Role.DAC_MEMBER, "FI-dac", "researcher-2"),  # works on the application, and is on its committee
            (Role.DAC_CHAIR, "IT-dac", "dac-IT-0"),
            (Role.NATIONAL_COORDINATION_POINT, "FI", "ncp-FI"),
        ):
            one = person(who)
            roles.grant_for(role, what, one.subject, one.issuer)
        roles.grant(Role.AUDITOR, "auditor", OFFICIAL.issuer)
        for one in (APPLICANT, OFFICIAL, MEMBER):
            self.outbox.set_contact(one, f"{one.subject}@people.example", by_operator=False)

    def begin(self, **form: Any) -> str:
        name, _ = self.store.create(WHO["researcher"], FORM | form)
        self.store.add(name, WHO["researcher"], {"event": "signing-asked"})
        return name

    def matters(self, who: Identity) -> list[str]:
        return [one.matter.value for one in self.outbox.of(who)]


def _role_tables() -> list[sa.Table]:
    return [METADATA.tables["role_scopes"], METADATA.tables["roles"]]


def _post(server: MailServer, folder: Path, **settings: Any) -> Post:
    given = {"host": "127.0.0.1", "port": server.port, "security": "none", "from": "noreply@hub.example", **settings}
    return Post(MailSettings.model_validate(given), folder, hub_url=HUB, name="Test federation")


def test_an_event_and_its_notices_are_one(database: str) -> None:
    place = Place(database)
    name = place.begin()
    assert place.matters(OFFICIAL) == ["sign"]
    assert place.matters(APPLICANT) == []  # nobody is told what they did
    with pytest.raises(Conflict):
        place.store.add(name, WHO["researcher"], {"event": "signing-asked"})
    place.store.add(name, WHO["official"], {"event": "signed"}, request="once")
    place.store.add(name, WHO["official"], {"event": "signed"}, request="once")
    assert place.matters(APPLICANT) == ["handed-in"] == place.matters(COLLEAGUE)  # not as the committee's member
    assert place.matters(MEMBER) == ["decide"] == place.matters(person("dac-FI-0"))
    assert place.matters(person("dac-IT-0")) == []
    [told] = place.outbox.of(MEMBER)
    assert (told.title, told.application, told.read) == ("Blood pressure", name, False)
    assert told.due == datetime(2026, 2, 9, 22, tzinfo=UTC)
    place.clock.moment += timedelta(days=8)
    assert place.store.run_clocks() == 1 and place.store.run_clocks() == 0
    assert place.matters(MEMBER) == ["overdue", "decide"]
    [audited] = place.outbox.of(person("auditor"))
    assert (audited.matter.value, audited.title, audited.dataset) == ("decision-overdue", "", "FI:a")


def test_notices_that_cannot_be_written_leave_no_event_behind(database: str) -> None:
    place = Place(database)
    name = place.begin()
    number = len(place.store.events(name))
    with place.engine.begin() as connection:
        row = connection.execute(sa.select(NOTICES)).mappings().one()
    broken = Outbox(place.engine, place.clock)
    broken._row = lambda *_: dict(row)  # type: ignore[method-assign]  # a notice that is there already
    store = ApplicationStore(place.engine, clock=place.clock, outbox=broken)
    with pytest.raises(sa.exc.IntegrityError):
        store.add(name, WHO["official"], {"event": "signed"})
    assert len(place.store.events(name)) == number
    assert place.store.get(name).stage == "signing"


def test_reading_is_ones_own_and_comes_in_pages(database: str) -> None:
    place = Place(database)
    for _ in range(5):
        place.begin()
        place.clock.moment += timedelta(minutes=1)
    told = place.outbox.of(OFFICIAL, most=3)
    assert [one.at for one in told] == sorted((one.at for one in told), reverse=True)
    assert len(place.outbox.of(OFFICIAL, start=3, most=3)) == 2 and place.outbox.unread(OFFICIAL) == 5
    place.outbox.mark_read(APPLICANT, [told[0].id])  # somebody else's
    assert place.outbox.unread(OFFICIAL) == 5
    place.outbox.mark_read(OFFICIAL, [told[0].id, "N-" + "0" * 32])
    assert place.outbox.unread(OFFICIAL) == 4
    assert told[0].id not in [one.id for one in place.outbox.of(OFFICIAL, unread=True)]
    place.outbox.mark_read(OFFICIAL)
    assert place.outbox.unread(OFFICIAL) == 0
    with pytest.raises(BadQuestion):
        place.outbox.mark_read(OFFICIAL, ["' or 1=1"])
    with pytest.raises(BadQuestion):
        place.outbox.of(OFFICIAL, start=10**9)
    place.clock.moment += timedelta(seconds=KEPT_SECONDS)
    assert place.outbox.forget_old() == 5


def test_mail_says_what_and_by_when_and_nothing_that_people_wrote(database: str, tmp_path: Path) -> None:
    place = Place(database)
    with mail_server() as server:
        post = _post(server, tmp_path)
        name = place.begin()
        place.store.add(name, WHO["official"], {"event": "signed"})
        place.store.add(name, WHO["dac-FI-0"], {"event": "asked", "text": "A secret question"})
        assert post.deliver(place.outbox) == 4  # the others have no address
        assert post.deliver(place.outbox) == 0 and server.sessions == 1
    by_reader: dict[str, list[EmailMessage]] = {}
    for message, address in zip(server.taken, server.recipients, strict=True):
        by_reader.setdefault(address.partition("@")[0], []).append(message)
    assert {who: len(mails) for who, mails in by_reader.items()} == {"official": 1, "researcher": 2, "dac-FI-1": 1}
    [mail] = by_reader["dac-FI-1"]
    text = mail.get_content().replace("\r\n", "\n")
    assert mail["subject"] == "An application waits for your committee: Blood pressure"
    assert mail["from"] == "Test federation <noreply@hub.example>" and mail["auto-submitted"] == "auto-generated"
    for words in (
        name,
        "“Blood pressure”",
        "Monday 09 February 2026, 22:00 UTC",
        f"{HUB}/applications/{name}\n",
        f"{HUB}/notices",
    ):
        assert words in text, words
    assert "secret" not in "".join(one.get_content() for one in server.taken)
    assert "Nobody else" not in "".join(one.get_content() for one in server.taken)
    assert {one["references"] for one in server.taken} == {f"<{name}@hub.example>"}
    assert len({one["message-id"] for one in server.taken}) == 4
    with place.engine.connect() as connection:
        faults = set(connection.scalars(sa.select(NOTICES.c.mail_fault).where(NOTICES.c.mailed_at.is_(None))))
    assert faults == {"no address is known"}


HOSTILE = [
    "Hello\r\nBcc: all@evil.example",
    "Hello\nSubject: other\n\nBody of mine",
    "a\x07b\x1b[31mc\x7f",
    "\u202egnp.exe \u2066x\u2069 \u200bzero",
    "\r\n.\r\nMAIL FROM:<evil@evil.example>\r\nRCPT TO:<x@y.example>\r\nDATA",
    "=?utf-8?q?=0D=0ABcc:_all@evil.example?=",
    "Log in at https://evil.example/ now",
    "“quoted” <b>bold</b> & ünïcödé 基因 🧬",
    "x" * 300,
    '<N-0@hub.example>, "; drop table notices; --',
]


def test_hostile_titles_end_no_header_and_lead_nowhere(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "x.sqlite"))
    for title in HOSTILE:
        place.begin(title=title)
    with mail_server() as server:
        assert _post(server, tmp_path).deliver(place.outbox) == len(HOSTILE)
    assert server.recipients == ["official@people.example"] * len(HOSTILE)
    for mail in server.taken:
        assert set(map(str.lower, mail.keys())) <= {
            *("subject", "from", "to", "date", "auto-submitted", "message-id", "references", "content-language"),
            *("mime-version", "content-type", "content-transfer-encoding", "x-peer", "x-mailfrom", "x-rcptto"),
        }
        assert mail["to"] == "official@people.example" and mail["bcc"] is None
        lines = mail.get_content().splitlines()
        assert len(mail["subject"]) <= 200 and "\u202e" not in mail["subject"] + mail.get_content()
        assert sum(line.startswith("  Title:") for line in lines) == 1
        assert not any("evil" in line for line in lines if not line.startswith("  Title:"))
        assert "https://evil" not in mail.get_content() + mail["subject"]
        assert not set("".join(lines)) & set(map(chr, (*range(9), 11, 12, *range(14, 32), 127)))
    assert plain("می\u200cخواهم") == "می\u200cخواهم"


def test_what_is_not_taken_comes_again_later_and_not_for_ever(database: str, tmp_path: Path) -> None:
    place = Place(database)
    place.begin()
    with mail_server() as server:
        post = _post(server, tmp_path)
        server.answer = lambda _message: "451 later, x@y.example"
        assert post.deliver(place.outbox) == 0 == post.deliver(place.outbox)
        with place.engine.connect() as connection:
            assert connection.scalar(sa.select(NOTICES.c.mail_fault)) == "451 later, (address)"
        server.answer = lambda _message: TAKEN
        place.clock.moment += timedelta(seconds=pause(1) - 1)
        assert post.deliver(place.outbox) == 0
        place.clock.moment += timedelta(seconds=1)
        assert post.deliver(place.outbox) == 1
        place.begin()
        server.recipient = lambda _address: "550 nobody"
        assert post.deliver(place.outbox) == 0
        place.clock.moment += timedelta(days=3)
        server.recipient = lambda _address: "250 known"
        assert post.deliver(place.outbox) == 0  # refused for good
    place.begin()
    for _ in range(TRIES_MAX + 3):  # nobody answers any more
        assert post.deliver(place.outbox) == 0
        place.clock.moment += timedelta(hours=6)
    with place.engine.connect() as connection:
        row = connection.execute(sa.select(NOTICES).order_by(NOTICES.c.mail_tries.desc()).limit(1)).one()
    assert (row.mail_tries, row.mail_at) == (TRIES_MAX, None) and "refused" in row.mail_fault.lower()
    assert place.outbox.unread(OFFICIAL) == 3  # the portal has it all the time
    assert sum(pause(tries) for tries in range(1, TRIES_MAX)) < 2 * 86_400


_KILLED = """
import sys
from pathlib import Path
from cohelix.access.actor import Role
from cohelix.access.application_store import ApplicationStore
from cohelix.access.applications import Acting
from cohelix.access.mail import MailSettings, Post
from cohelix.access.outbox import Outbox
from cohelix.db import open_database
from cohelix.wire.applications import Identity
engine = open_database(sys.argv[1])
outbox = Outbox(engine, mailing=True)
official = Identity(subject="official", issuer="https://hub.example/broker")
acting = Acting(official, frozenset({Role.SIGNING_OFFICIAL}), organisation="institute")
ApplicationStore(engine, outbox=outbox).add(sys.argv[2], acting, {"event": "signed"})
given = {"host": "127.0.0.1", "port": int(sys.argv[3]), "security": "none", "from": "a@b.example"}
settings = MailSettings.model_validate(given)
Post(settings, Path("."), hub_url="https://hub.example", name="x").deliver(outbox)
print("survived")
"""


def test_a_hub_killed_while_it_sends_loses_no_notice_and_doubles_none(database: str, tmp_path: Path) -> None:
    place = Place(database)
    place.outbox.forget_contact(OFFICIAL)
    name = place.begin()
    with mail_server() as server:
        processes: list[subprocess.Popen[bytes]] = []

        def kill(_message: EmailMessage) -> str:
            os.kill(processes[0].pid, signal.SIGKILL)
            return TAKEN  # the server has the mail; the hub has not heard so

        server.answer = kill
        arguments = [sys.executable, "-c", _KILLED, database, name, str(server.port)]
        processes.append(subprocess.Popen(arguments, stdout=subprocess.PIPE))
        assert processes[0].communicate(timeout=60) == (b"", None)
        assert processes[0].returncode == -signal.SIGKILL
        assert place.store.events(name)[-1].event == "signed"
        assert place.matters(APPLICANT) == ["handed-in"] and place.matters(MEMBER) == ["decide"]
        server.answer = lambda _message: TAKEN
        place.clock.moment = datetime.now(UTC) + timedelta(seconds=pause(1) + 1)
        _post(server, tmp_path).deliver(place.outbox)
    sent = [(address, str(mail["message-id"])) for address, mail in zip(server.recipients, server.taken, strict=True)]
    assert len(sent) == 3 and len(set(sent)) == 2  # one twice, by the same id
    assert {address for address, _ in sent} == {"researcher@people.example", "dac-FI-1@people.example"}
    assert place.matters(APPLICANT) == ["handed-in"] and place.matters(MEMBER) == ["decide"]


def test_two_hubs_of_one_database_send_each_mail_once(database: str, tmp_path: Path) -> None:
    place = Place(database)
    for _ in range(4):
        place.begin()
    other = Outbox(place.engine, place.clock, mailing=True)
    first = place.outbox.claim(2)
    assert len(first) == 2 and {one.notice.id for one in first}.isdisjoint(one.notice.id for one in other.claim(9))
    with mail_server() as server:
        assert _post(server, tmp_path).deliver(place.outbox) == 0


def test_addresses_wishes_and_bounds(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_room, "MAILS_A_DAY", 5)
    place = Place(database)
    outbox = place.outbox
    assert outbox.set_contact(OFFICIAL, "desk@people.example", by_operator=True)
    assert not outbox.set_contact(OFFICIAL, "new@people.example", by_operator=False)  # a login does not go before
    contact = outbox.contact(OFFICIAL)
    assert contact is not None and (contact.address, contact.wanted) == ("desk@people.example", True)
    outbox.want_mail(OFFICIAL, False)
    outbox.set_contact(OFFICIAL, "other@people.example", by_operator=True)  # keeps the wish
    place.begin()
    with mail_server() as server:
        post = _post(server, tmp_path)
        assert post.deliver(outbox) == 0
        outbox.want_mail(OFFICIAL, True)
        with place.engine.begin() as connection:
            connection.execute(NOTICES.delete())
        for _ in range(7):
            place.begin()
        while post.deliver(outbox, most=50):
            pass
        assert len(server.taken) == 5 and set(server.recipients) == {"other@people.example"}
        place.clock.moment += timedelta(days=1, seconds=1)
        place.begin()
        assert post.deliver(outbox) == 1
    assert outbox.unread(OFFICIAL) == 8
    assert outbox.forget_contact(OFFICIAL) and not outbox.forget_contact(OFFICIAL)
    silent = Outbox(place.engine, place.clock)
    ApplicationStore(place.engine, clock=place.clock, outbox=silent).add(place.begin(), WHO["official"], {"event": "signed"})
    assert all(letter.notice.matter.value == "sign" for letter in place.outbox.claim(99))  # what was told without mail stays so


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        *(("a@b.example", True), ("first.last+tag@sub.b.example", True), ("root@localhost", True)),
        *(("", False), ("a@b@c", False), ("a b@c.example", False), ("a@b.example\r\nBcc: x@y", False)),
        *(("A <a@b.example>", False), ("a@b.example, c@d.example", False), ("ä@b.example", False), ("a@" + "b" * 300, False)),
        *(
            ("a..b@c.example", False),
            ("=?utf-8?q?x?=@b.example", False),
            ("a@b.example\n", False),
            ("<script>@b.example", False),
        ),
    ],
)
def test_addresses(text: str, is_one: bool, tmp_path: Path) -> None:
    assert is_address(text) is is_one


@pytest.mark.filterwarnings("ignore:Requiring AUTH")  # aiosmtpd does not see that the connection is TLS
def test_mail_goes_over_tls_with_a_login_and_never_without(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "x.sqlite"))
    context = certificate(tmp_path)
    (tmp_path / "mail.secret").write_text("a river\n")
    (tmp_path / "mail.secret").chmod(0o600)
    login = {"user": "hub", "password_file": "mail.secret", "tls_ca": "ca.pem"}
    for implicit, security in ((False, "starttls"), (True, "tls")):
        with mail_server(tls=context, implicit=implicit, login="hub:a river") as server:
            place.begin()
            assert _post(server, tmp_path, security=security, **login).deliver(place.outbox) == 1, security
            (tmp_path / "wrong.secret").write_text("a lake")
            (tmp_path / "wrong.secret").chmod(0o600)
            with pytest.raises(Unreachable, match="535"):
                _post(server, tmp_path, security=security, **(login | {"password_file": "wrong.secret"})).test("a@b.example")
            with pytest.raises(Unreachable, match=r"(?i)certificate"):
                _post(server, tmp_path, security=security, **(login | {"tls_ca": ""})).test("a@b.example")
    with mail_server() as plain_server:  # it offers no TLS: nothing is told
        place.begin()
        assert _post(plain_server, tmp_path, security="starttls", tls_ca="ca.pem").deliver(place.outbox) == 0
        assert plain_server.taken == []


def test_settings_that_would_send_in_the_clear_or_show_a_password_are_refused(tmp_path: Path) -> None:
    good = {"host": "mail.example", "from": "noreply@hub.example"}
    assert not MailSettings().on and MailSettings.model_validate(good).on
    for wrong in (
        {"security": "none"},
        {"from": ""},
        {"from": "Hub <noreply@hub.example>"},
        {"from": "a@b.example\nBcc: c@d.example"},
        {"user": "hub"},
        {"password_file": "x"},
        {"host": "127.0.0.1", "security": "none", "user": "hub", "password_file": "x"},
        {"port": 0},
        {"nothing": 1},
    ):
        with pytest.raises(ValidationError):
            MailSettings.model_validate(good | wrong)
    secret = tmp_path / "mail.secret"
    settings = MailSettings.model_validate(good | {"user": "hub", "password_file": "mail.secret"})
    with pytest.raises(NotFound, match="there is no file"):
        Post(settings, tmp_path, hub_url=HUB, name="x")
    secret.write_text("a river")
    secret.chmod(0o644)
    with pytest.raises(BadUsage, match="chmod 600"):
        Post(settings, tmp_path, hub_url=HUB, name="x")
    with pytest.raises(BadUsage, match="certificates"):
        Post(MailSettings.model_validate(good | {"tls_ca": "mail.secret"}), tmp_path, hub_url=HUB, name="x")


def test_everybody_is_written_to_in_the_language_of_their_last_login(database: str, tmp_path: Path) -> None:
    place = Place(database)
    for tag in ("de", ""):  # a later login that says nothing changes nothing
        place.outbox.set_contact(OFFICIAL, "official@people.example", by_operator=False, language=tag)
    place.outbox.set_contact(MEMBER, "member@people.example", by_operator=True, language="xx")
    name = place.begin(title="Blutdruck")
    place.store.add(name, WHO["official"], {"event": "signed"})
    letters = {one.address: one for one in place.outbox.claim()}
    given = MailSettings.model_validate({"host": "127.0.0.1", "security": "none", "from": "noreply@hub.example"})
    post = Post(given, tmp_path, hub_url=HUB, name="Test federation", speaking=written)
    german, english = (post.message(letters[f"{who}@people.example"]) for who in ("official", "member"))
    assert german["Content-Language"] == "de" and german["Subject"].endswith(": Blutdruck")
    text = german.get_content()
    assert "Antrag:" in text and "Bitte antworten Sie nicht darauf." in text and WORDS[Matter.SIGN][0] not in text
    said = english.get_content()  # a language that is none
    assert "  Application: " in said and "  By:          Monday, February 9, 2026, 22:00 UTC" in said
