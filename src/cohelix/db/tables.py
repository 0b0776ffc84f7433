"""The tables as queries name them: runs, the ledger, the audit log; `db/migrations` makes them, and a test compares."""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

RUNS = sa.Table(
    "runs",
    METADATA,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("state", sa.String(20), nullable=False, index=True),
    sa.Column("reason", sa.Text),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("plan_hash", sa.String(64), nullable=False, index=True),
    sa.Column("proposed_at", sa.String(40), nullable=False),
    sa.Column("deadline", sa.String(40), nullable=False),
    sa.Column("ended_at", sa.String(40)),
    sa.Column("cancel_wanted", sa.Boolean, nullable=False),
    # What the run has settled so far, as JSON: acceptances, roster, promises, list of variants, people.
    sa.Column("details", sa.Text, nullable=False),
)

RUN_EVENTS = sa.Table(
    "run_events",
    METADATA,
    sa.Column("run", sa.String(40), sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("event", sa.String(40), nullable=False),
    sa.Column("node", sa.String(40)),
    sa.Column("document", sa.Text, nullable=False),
)

# Where the opened sums of a run lie in its files: one file for each ask, records one after another.
RUN_SUMS = sa.Table(
    "run_sums",
    METADATA,
    sa.Column("run", sa.String(40), sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("ask", sa.Integer, primary_key=True),
    sa.Column("block", sa.Integer, primary_key=True),
    sa.Column("asked", sa.String(64), nullable=False),
    sa.Column("place", sa.BigInteger, nullable=False),
    sa.Column("length", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
)

RUN_REVIEWS = sa.Table(
    "run_reviews",
    METADATA,
    sa.Column("run", sa.String(40), sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("role", sa.String(100), primary_key=True),
    sa.Column("decision", sa.String(10), nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("at", sa.String(40), nullable=False),
)

# What each project has been told at a node (`disclosure/ledger.py`).
LEDGER_ENTRIES = sa.Table(
    "ledger_entries",
    METADATA,
    sa.Column("project", sa.String(64), primary_key=True),
    sa.Column("question", sa.String(128), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("sets", sa.JSON, nullable=False),  # name of each set → digest of its people
    sa.Column("releases", sa.JSON, nullable=False),  # dataset → the version and release that were asked
    sa.Column("at", sa.String(40), nullable=False),
)

# The independent rows of a scope: a project's sets of people; its sums over people, with weights; members of its runs.
LEDGER_ROWS = sa.Table(
    "ledger_rows",
    METADATA,
    sa.Column("scope", sa.String(200), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("people", sa.LargeBinary, nullable=False),  # Roaring bitmap
    sa.Column("weights", sa.LargeBinary),  # (people,) uint32; none where all are 1
)

LEDGER_PROOFS = sa.Table(
    "ledger_proofs",
    METADATA,
    sa.Column("scope", sa.String(200), primary_key=True),
    sa.Column("floor", sa.Integer, nullable=False),
    sa.Column("witnesses", sa.LargeBinary, nullable=False),  # (floor, rows) uint32
)

LEDGER_TRAITS = sa.Table(
    "ledger_traits",
    METADATA,
    sa.Column("project", sa.String(64), primary_key=True),
    sa.Column("cohort", sa.String(64), primary_key=True),
    sa.Column("trait", sa.String(64), primary_key=True),
)

LEDGER_REFUSALS = sa.Table(
    "ledger_refusals",
    METADATA,
    sa.Column("project", sa.String(64), primary_key=True),
    sa.Column("question", sa.String(128), primary_key=True),
)

# People's lasting numbers, in parts that are only added: (names) of uint64 keyed hash and uint32 number.
LEDGER_NAMES = sa.Table(
    "ledger_names",
    METADATA,
    sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("names", sa.LargeBinary, nullable=False),
)

# A node's part in runs (`federation/node_runs.py`); rows stay when a run ends, so that it never begins again.
NODE_RUNS = sa.Table(
    "node_runs",
    METADATA,
    sa.Column("run", sa.String(40), primary_key=True),
    sa.Column("plan_hash", sa.String(64), nullable=False),
    sa.Column("deadline", sa.String(40), nullable=False),
    sa.Column("roster", sa.String(64)),  # hash of the one roster that was signed or accepted
    sa.Column("left", sa.String(1200)),  # why the node has left, as JSON
    sa.Column("ended", sa.String(20)),
)

# Documents that were signed: `header` of an own block, `partial` of a block added up for others.
NODE_SIGNED = sa.Table(
    "node_signed",
    METADATA,
    sa.Column("run", sa.String(40), sa.ForeignKey("node_runs.run"), primary_key=True),
    sa.Column("kind", sa.String(10), primary_key=True),
    sa.Column("ask", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("block", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("document", sa.Text, nullable=False),
)

# The audit log (`audit/store.py`); `log` tells whose it is, so that servers may share a database. Nothing is deleted.
AUDIT_ENTRIES = sa.Table(
    "audit_entries",
    METADATA,
    sa.Column("log", sa.String(80), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("leaf", sa.LargeBinary, nullable=False),
    sa.Column("content", sa.Text, nullable=False),  # the bytes that are hashed, JSON in ASCII
    # Copies of what stands in `content`, to search by; `cohelix audit verify` compares them.
    sa.Column("event", sa.String(40), nullable=False),
    sa.Column("person", sa.String(40)),
    sa.Index("ix_audit_entries_person", "log", "person", "number"),
)

# Complete subtrees of at least 2**5 leaves; smaller ones are hashed anew from their leaves.
AUDIT_NODES = sa.Table(
    "audit_nodes",
    METADATA,
    sa.Column("log", sa.String(80), primary_key=True),
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
)

AUDIT_HEADS = sa.Table(
    "audit_heads",
    METADATA,
    sa.Column("log", sa.String(80), primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("peaks", sa.LargeBinary, nullable=False),
    sa.Column("note", sa.Text, nullable=False),  # the signed checkpoint of this size
    sa.Column("kept", sa.BigInteger, nullable=False),  # size of the last checkpoint in `audit_checkpoints`
)

AUDIT_CHECKPOINTS = sa.Table(
    "audit_checkpoints",
    METADATA,
    sa.Column("log", sa.String(80), primary_key=True),
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("note", sa.Text, nullable=False),
)

# Who a pseudonym is; a request for erasure deletes the row.
AUDIT_PEOPLE = sa.Table(
    "audit_people",
    METADATA,
    sa.Column("log", sa.String(80), primary_key=True),
    sa.Column("digest", sa.String(64), primary_key=True),  # keyed hash of issuer and subject
    sa.Column("pseudonym", sa.String(40), nullable=False, index=True),
    sa.Column("issuer", sa.String(1000), nullable=False),
    sa.Column("subject", sa.String(1000), nullable=False),
)

# How many entries of public answers each process has written; a file of the process says how many it took.
AUDIT_WRITERS = sa.Table(
    "audit_writers",
    METADATA,
    sa.Column("log", sa.String(80), primary_key=True),
    sa.Column("writer", sa.String(40), primary_key=True),
    sa.Column("written", sa.BigInteger, nullable=False),
)

# The last checkpoint that was seen of each other log.
AUDIT_WITNESSED = sa.Table(
    "audit_witnessed",
    METADATA,
    sa.Column("log", sa.String(80), primary_key=True),
    sa.Column("origin", sa.String(200), primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("key", sa.String(64), nullable=False),
    sa.Column("seen_at", sa.String(40), nullable=False),
    sa.Column("alarm", sa.Text),  # why a later checkpoint was not believed, with that checkpoint
)

# The newest line of each witness under a checkpoint of ours.
AUDIT_COSIGNATURES = sa.Table(
    "audit_cosignatures",
    METADATA,
    sa.Column("log", sa.String(80), primary_key=True),
    sa.Column("witness", sa.String(200), primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("note", sa.Text, nullable=False),  # the checkpoint, with this witness's line
)

# What people do in the federation, as an operator has said (`access/roles.py`).
ROLES = sa.Table(
    "roles",
    METADATA,
    sa.Column("issuer", sa.String(500), primary_key=True),
    sa.Column("subject", sa.String(255), primary_key=True),
    sa.Column("role", sa.String(40), primary_key=True),
    sa.Column("granted_at", sa.String(40), nullable=False),
)

# Sessions of browsers (`access/sessions.py`); times are seconds since 1970. The cookie's value is not in the database:
# only its hash, and the session's content sealed with a key that is made of it.
SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("handle", sa.String(40), nullable=False, unique=True),
    sa.Column("realm", sa.String(20), nullable=False),
    sa.Column("issuer", sa.String(500), nullable=False),
    sa.Column("subject", sa.String(255), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("made_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
    sa.Column("ends_at", sa.BigInteger, nullable=False),
    sa.Index("ix_sessions_person", "realm", "issuer", "subject"),
)

# Secrets that are used once: values of `state` of a login, proofs of possession (`access/sessions.py: Once`).
USED_ONCE = sa.Table(
    "used_once",
    METADATA,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("ends_at", sa.BigInteger, nullable=False, index=True),
)

# Failures that are counted, so that nobody can try for long (`access/accounts.py: Throttle`).
THROTTLES = sa.Table(
    "throttles",
    METADATA,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("ends_at", sa.BigInteger, nullable=False),
)

# The embedded issuer: accounts, clients, and what it has given out, by the hashes of codes and tokens.
BROKER_ACCOUNTS = sa.Table(
    "broker_accounts",
    METADATA,
    sa.Column("subject", sa.String(40), primary_key=True),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("shown", sa.String(200), nullable=False),
    sa.Column("password", sa.String(200), nullable=False),
    sa.Column("temporary", sa.Boolean, nullable=False),
    sa.Column("researcher_since", sa.BigInteger),
    sa.Column("accepted_at", sa.BigInteger),
    sa.Column("closed", sa.Boolean, nullable=False),
    sa.Column("made_at", sa.BigInteger, nullable=False),
)

BROKER_CLIENTS = sa.Table(
    "broker_clients",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("secret", sa.String(64)),  # its hash; none for a program on a person's own machine
    sa.Column("audience", sa.String(500), nullable=False),
    sa.Column("redirects", sa.JSON, nullable=False),
)

BROKER_GRANTS = sa.Table(
    "broker_grants",
    METADATA,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(10), nullable=False),  # code, device, refresh
    sa.Column("family", sa.String(40), nullable=False, index=True),  # one login, and all that came of it
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("user_code", sa.String(64), unique=True),
    sa.Column("client", sa.String(64), nullable=False),
    sa.Column("subject", sa.String(40), nullable=False),
    sa.Column("details", sa.JSON, nullable=False),
    sa.Column("polled_at", sa.BigInteger, nullable=False),
    sa.Column("ends_at", sa.BigInteger, nullable=False, index=True),
)

# What registered people, and their organisations, have been told of datasets (`disclosure/budget.py`); hashes name them.
BUDGET_ACCOUNTS = sa.Table(
    "budget_accounts",
    METADATA,
    sa.Column("payer", sa.String(40), primary_key=True),
    sa.Column("dataset", sa.String(200), primary_key=True),
    sa.Column("spent", sa.Float, nullable=False),  # independent variants for each person of the dataset
    sa.Column("at", sa.String(40), nullable=False),
)

BUDGET_CHARGES = sa.Table(
    "budget_charges",
    METADATA,
    sa.Column("payer", sa.String(40), primary_key=True),
    sa.Column("dataset", sa.String(200), primary_key=True),
    sa.Column("item", sa.String(40), primary_key=True),
    sa.Column("cost", sa.Float, nullable=False),
)

# What the authorities of a folder have granted and revoked (`access/grants.py`); times are seconds since 1970.
AUTHORITY_VISAS = sa.Table(
    "authority_visas",
    METADATA,
    sa.Column("id", sa.String(200), primary_key=True),
    sa.Column("authority", sa.String(64), nullable=False),
    sa.Column("dataset", sa.String(200), nullable=False),
    sa.Column("subject", sa.String(255), nullable=False),
    sa.Column("subject_issuer", sa.String(500), nullable=False),
    sa.Column("granted_at", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger, index=True),
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("sent_at", sa.BigInteger),  # when the hub took it
    sa.Column("visa", sa.Text, nullable=False),
    # The application that it was granted for, and the number of the event that confirmed it; by command: neither.
    sa.Column("application", sa.String(40), index=True),
    sa.Column("episode", sa.Integer),
)

# Authorities that members have shown the hub (`hub/revocations.py`); an id belongs to whoever showed it first.
MEMBER_AUTHORITIES = sa.Table(
    "member_authorities",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("member", sa.String(64), nullable=False),
    sa.Column("shown", sa.JSON, nullable=False),
)

# Visas that authorities have handed in at the hub (`access/visa_store.py`), until they end; seconds since 1970.
GRANTED_VISAS = sa.Table(
    "granted_visas",
    METADATA,
    sa.Column("issuer", sa.String(500), primary_key=True),
    sa.Column("identifier", sa.String(255), primary_key=True),
    sa.Column("subject", sa.String(255), nullable=False),
    sa.Column("subject_issuer", sa.String(500), nullable=False),
    sa.Column("dataset", sa.String(200), nullable=False),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("taken_at", sa.BigInteger, nullable=False),
    sa.Index("ix_granted_visas_person", "subject_issuer", "subject"),
)

# Applications (`access/application_store.py`): the events are the truth, one row each; `applications` is what is looked up,
# made of them in the same transaction. `request` is the sender's own name for what it asked, so that nothing is done twice.
APPLICATIONS = sa.Table(
    "applications",
    METADATA,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("subject", sa.String(300), nullable=False),
    sa.Column("issuer", sa.String(500), nullable=False),
    sa.Column("title", sa.String(300), nullable=False),
    sa.Column("stage", sa.String(20), nullable=False, index=True),
    sa.Column("changed_at", sa.BigInteger, nullable=False),
    sa.Column("due_at", sa.BigInteger, index=True),  # when the next clock ends; seconds since 1970
    sa.Column("version", sa.Integer, nullable=False),
    sa.Index("ix_applications_person", "issuer", "subject"),
)

APPLICATION_EVENTS = sa.Table(
    "application_events",
    METADATA,
    sa.Column("application", sa.String(40), sa.ForeignKey("applications.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("request", sa.String(64)),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("statement", sa.Text),  # by whom it is signed, where it is (`access/statements.py`)
    sa.UniqueConstraint("application", "request", name="uq_application_events_request"),
)

# At a member: how far it has seen an application's history (`wire/history.py`); what is shown later has to go on from there.
APPLICATION_HEADS = sa.Table(
    "application_heads",
    METADATA,
    sa.Column("application", sa.String(40), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("link", sa.String(64), nullable=False),
)

# What a role is for (`access/roles.py`): `authority:FI-dac`, `country:FI`, `organisation:…`, `node:FI`.
ROLE_SCOPES = sa.Table(
    "role_scopes",
    METADATA,
    sa.Column("issuer", sa.String(500), primary_key=True),
    sa.Column("subject", sa.String(255), primary_key=True),
    sa.Column("role", sa.String(40), primary_key=True),
    sa.Column("scope", sa.String(320), primary_key=True),
)

# Texts of agreements, by their hash (`hub/applications.py`).
AGREEMENT_TEXTS = sa.Table(
    "agreement_texts",
    METADATA,
    sa.Column("application", sa.String(40), sa.ForeignKey("applications.id"), primary_key=True),
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
)

# What people are told of applications' events (`access/outbox.py`), one row for a person and an event; seconds since 1970.
NOTICES = sa.Table(
    "notices",
    METADATA,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("application", sa.String(40), sa.ForeignKey("applications.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),  # of the event
    sa.Column("issuer", sa.String(500), nullable=False),
    sa.Column("subject", sa.String(300), nullable=False),
    sa.Column("matter", sa.String(40), nullable=False),
    sa.Column("dataset", sa.String(200), nullable=False),
    sa.Column("title", sa.String(300), nullable=False),
    sa.Column("due_at", sa.BigInteger),
    sa.Column("made_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("read_at", sa.BigInteger),
    sa.Column("mail_at", sa.BigInteger, index=True),  # when its mail is to be tried; nothing where there is none to be sent
    sa.Column("mail_tries", sa.Integer, nullable=False),
    sa.Column("mailed_at", sa.BigInteger),
    sa.Column("mail_fault", sa.String(200), nullable=False),
    sa.Index("ix_notices_person", "issuer", "subject", "read_at"),
)

# Where people's mail goes (`access/outbox.py`).
CONTACTS = sa.Table(
    "contacts",
    METADATA,
    sa.Column("issuer", sa.String(500), primary_key=True),
    sa.Column("subject", sa.String(300), primary_key=True),
    sa.Column("address", sa.String(254), nullable=False),
    sa.Column("by_operator", sa.Boolean, nullable=False),
    sa.Column("wanted", sa.Boolean, nullable=False),
    sa.Column("changed_at", sa.BigInteger, nullable=False),
    sa.Column("language", sa.String(20), nullable=False, server_default=""),  # as the last login asked for; empty: English
)
