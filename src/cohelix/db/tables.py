"""The tables of runs, as queries name them; `db/migrations` makes them, and a test compares the two."""

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
