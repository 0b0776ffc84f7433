"""Notices by e-mail: how a message is written, and how it is handed to the operator's own mail server (SMTP)."""

from __future__ import annotations

import re
import smtplib
import ssl
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal, Protocol
from urllib.parse import urlsplit

import structlog
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cohelix.access.issuers import read_secret
from cohelix.access.notify import WORDS, Matter, page_of
from cohelix.access.outbox import Letter, Outbox, is_address
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadUsage, Unreachable

TIMEOUT_SECONDS: Final = 20.0
TITLE_SHOWN: Final = 120
_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
_JOINERS: Final = "\u200c\u200d"  # some scripts are not written without them
_GRANTS: Final = (Matter.GRANTED, Matter.GRANT_ENDS)
_ANY_ADDRESS: Final = re.compile(r"[^\s<>]+@[^\s<>]+")
_log = structlog.get_logger("cohelix.hub")
# What mails say besides `notify.WORDS`; the portal's lists of words have both in other languages.
MAIL_WORDS: Final = {
    "application": "Application",
    "title": "Title",
    "dataset": "Dataset",
    "until": "Until",
    "by": "By",
    "part": "You get this because of your part in this application. Please do not answer it.",
    "all": "All your notices, and a switch for these mails:",
}


class Speaking(Protocol):
    """A language in which people are written to."""

    def gettext(self, message: str) -> str:
        """A message in the language."""

    def day(self, moment: datetime) -> str:
        """A day in the language, with its name."""


class InEnglish:
    """As the words stand here."""

    def gettext(self, message: str) -> str:
        """As it is."""
        return message

    def day(self, moment: datetime) -> str:
        """As `Monday 09 February 2026`."""
        return f"{moment:%A %d %B %Y}"


def in_english(_tag: str) -> Speaking:
    """Every language is English."""
    return InEnglish()


class MailSettings(BaseModel):
    """The mail server that takes the hub's notices: `[mail]` in `hub.toml`. Without a host nothing is sent.

    Attributes
    ----------
    host, port
        Of the operator's own mail server; the port is 587, with `tls` 465, unless another is named.
    security
        `starttls`: the connection must become TLS before anything is told; `tls`: it is from the start; `none`: for a
        server on this machine alone.
    sender
        `from`: the address in every message, to which nobody should answer.
    user, password_file
        Where the server wants a login: its name, and a file beneath the hub's folder, readable by its owner only.
    tls_ca
        PEM file, beneath the folder, of the only authority that is trusted for the server's certificate; the system's
        where nothing is given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    host: str = ""
    port: int | None = Field(default=None, ge=1, le=65_535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: str = Field(default="", alias="from")
    user: str = ""
    password_file: str = ""
    tls_ca: str = ""

    @field_validator("sender")
    @classmethod
    def _an_address(cls, value: str) -> str:
        if value and not is_address(value):
            raise ValueError("write one address: NAME@HOST, without a display name")
        return value

    @model_validator(mode="after")
    def _whole(self) -> MailSettings:
        if self.host and not self.sender:
            raise ValueError("name the sender's address: from = …")
        if self.host and self.security == "none" and not _is_here(self.host):
            raise ValueError('a mail server elsewhere is reached over TLS: security = "starttls" or "tls"')
        if bool(self.user) != bool(self.password_file) or (self.user and self.security == "none"):
            raise ValueError("a login has user and password_file, and goes over TLS")
        return self

    @property
    def on(self) -> bool:
        """Whether mail is sent."""
        return bool(self.host)


class Post:
    """A mail server, and how the hub writes to people.

    Parameters
    ----------
    folder
        The hub's, beneath which the password's file lies.
    name
        What the hub calls itself.
    speaking
        The language of a tag, as people have chosen it; empty: nobody knows.

    Raises
    ------
    NotFound, BadUsage
        If a file that the settings name is not there, may be read by others, or is none such.
    """

    def __init__(
        self,
        settings: MailSettings,
        folder: Path,
        *,
        hub_url: str,
        name: str,
        clock: Clock | None = None,
        speaking: Callable[[str], Speaking] = in_english,
    ) -> None:
        self._speaking = speaking
        self._settings, self._hub_url, self._name = settings, hub_url, name
        self._password = read_secret(folder, settings.password_file)
        self._host = urlsplit(hub_url).hostname or "localhost"
        self._clock = clock or SystemClock()
        try:
            authority = folder / settings.tls_ca if settings.tls_ca else None
            self._tls = None if settings.security == "none" else ssl.create_default_context(cafile=authority)
        except (OSError, ssl.SSLError) as error:
            raise BadUsage(f"{folder / settings.tls_ca} does not hold certificates of an authority: {error}") from None

    def deliver(self, outbox: Outbox, *, most: int = 20) -> int:
        """Send what is due, at most so many; gives how many the server took. What it does not take is tried again later."""
        letters = outbox.claim(most)
        return self._deliver(outbox, letters) if letters else 0

    def test(self, address: str) -> None:
        """Send a message that only says that mail works.

        Raises
        ------
        BadUsage
            If that is no address.
        Unreachable
            If the server does not answer, or does not take it: with its words.
        """
        if not is_address(address):
            raise BadUsage(f"{address[:100]!r} is not an e-mail address: NAME@HOST")
        message = self._message(address, f"{self._name}: mail works", f"{self._name} can send you mail.\n")
        try:
            with self._connected() as server:
                server.send_message(message)
        except OSError as error:  # smtplib's errors are such, too
            raise Unreachable(f"{self._settings.host} does not take mail: {_fault(error)}") from None

    def message(self, letter: Letter) -> EmailMessage:
        """What is sent: nothing but the application's id and title, a dataset, what there is to do, by when, and a link."""
        one = letter.notice
        language = self._speaking(letter.language)
        say = {name: language.gettext(words) for name, words in MAIL_WORDS.items()}
        what, todo = map(language.gettext, WORDS[one.matter])
        title = plain(one.title).replace("://", ": //")  # a title is an applicant's: it leads nowhere
        facts = [
            (say["application"], one.application),
            (say["title"], f"“{title}”" if title else ""),
            (say["dataset"], one.dataset),
        ]
        if one.due is not None:
            by = say["until" if one.matter in _GRANTS else "by"]
            facts.append((by, f"{language.day(one.due)}, {one.due:%H:%M} UTC"))
        width = 2 + max(len(name) for name, _ in facts)
        told = "".join(f"  {name + ':':<{width}}{value}\n" for name, value in facts if value)
        link = self._hub_url + page_of(one.matter, one.application, one.dataset)
        text = (
            f"{what}.\n\n{told}\n{todo}\n{link}\n\n-- \n{plain(self._name)}\n"
            f"{say['part']}\n{say['all']} {self._hub_url}/notices\n"
        )
        written = self._message(letter.address, f"{what}: {title or one.application}", text)
        written["Content-Language"] = letter.language or "en"
        written["Message-ID"] = f"<{one.id}@{_label(self._host)}>"
        written["References"] = f"<{one.application}@{_label(self._host)}>"  # mail programs show one thread for each
        return written

    def _message(self, address: str, subject: str, text: str) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["Subject"] = plain(subject, most=TITLE_SHOWN + 80)
        message["From"] = Address(display_name=plain(self._name), addr_spec=self._settings.sender)
        message["To"] = Address(addr_spec=address)
        message["Date"] = format_datetime(self._clock.now())
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no absence notes, please
        message.set_content(text, cte="quoted-printable")
        return message

    def _deliver(self, outbox: Outbox, letters: Sequence[Letter]) -> int:
        sent, left = 0, list(letters)
        try:
            with self._connected() as server:
                while left:
                    sent += self._send(server, outbox, left[0])
                    left.pop(0)
        except OSError as error:
            _log.warning("mail does not go out", host=self._settings.host, error=type(error).__name__, waiting=len(left))
            for letter in left:
                outbox.failed(letter, _fault(error), for_good=False)
        return sent

    def _send(self, server: smtplib.SMTP, outbox: Outbox, letter: Letter) -> bool:
        """Hand over one message; what goes wrong with the connection is the caller's."""
        try:
            server.send_message(self.message(letter))
        except smtplib.SMTPServerDisconnected:
            raise
        except smtplib.SMTPRecipientsRefused as error:
            code = next(iter(error.recipients.values()))[0]
            outbox.failed(letter, _fault(error), for_good=code >= 500)
        except (smtplib.SMTPResponseException, smtplib.SMTPNotSupportedError) as error:
            outbox.failed(letter, _fault(error), for_good=False)
        else:
            outbox.sent(letter)
            return True
        return False

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        settings = self._settings
        port, name = settings.port or _PORTS[settings.security], _label(self._host)
        if settings.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                settings.host, port, local_hostname=name, timeout=TIMEOUT_SECONDS, context=self._tls
            )
        else:
            server = smtplib.SMTP(settings.host, port, local_hostname=name, timeout=TIMEOUT_SECONDS)
        with server:
            if settings.security == "starttls":
                server.starttls(context=self._tls)
            if settings.user:
                server.login(settings.user, self._password)
            yield server


def plain(text: str, *, most: int = TITLE_SHOWN) -> str:
    """A text of somebody's as one line that does nothing: without control, direction and invisible characters, cut.

    Nothing in it is an encoded word (RFC 2047) either: `email` decodes these in a header, line ends among them.
    """
    kept = "".join(one if one in _JOINERS or unicodedata.category(one)[0] not in "CZ" else " " for one in text[: 4 * most])
    line = " ".join(kept.replace("=?", "= ?").split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def _fault(error: OSError) -> str:
    """Why a mail did not go, in words that name nobody's address."""
    said: bytes | str
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, said = next(iter(error.recipients.values()))
    elif isinstance(error, smtplib.SMTPResponseException):
        code, said = error.smtp_code, error.smtp_error
    else:
        return plain(f"{type(error).__name__}: {error}", most=200)
    words = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return plain(_ANY_ADDRESS.sub("(address)", f"{code} {words}"), most=200)


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _label(host: str) -> str:
    """A host's name as a message id and a greeting have it."""
    try:
        number = ip_address(host)
    except ValueError:
        return host
    return f"[IPv6:{number}]" if number.version == 6 else f"[{number}]"
