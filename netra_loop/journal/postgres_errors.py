"""What an error of PostgreSQL, or of the way to it, means: worth another try or not, and what a person is told."""

from __future__ import annotations

import psycopg

from netra_loop.errors import Defect, DiskFull, NetraLoopError, StoreAway, StoreDamaged, StoreError
from netra_loop.journal.postgres_address import Address

# SQLSTATEs, see PostgreSQL's appendix A. Each of these passes by itself, sooner or later.
_PASSES = {
    "57P01",  # the server is shut down, or somebody ended our connection
    "57P02",  # it crashed
    "57P03",  # it starts up, or goes down
    "57P05",  # we were idle for too long
    "25P03",  # the transaction was idle for too long
    "25006",  # read-only: a standby that was not promoted yet
    "53300",  # out of connections
    "53200",  # out of memory
}
_CONTENDED = {  # transactions in each other's way; the server is there
    "40001",
    "40P01",
    "55P03",
    "23505",
    "57014",  # or somebody cancelled the statement
}
_CONNECTION = "08"  # the class of errors of the connection
# What is said while connecting has no SQLSTATE. Of a server that never let us in, this means that it never will. One
# that did may say the same while it, its name server or its certificates are being looked after. A server that speaks
# another language is tried again for nothing, and reported in its own words.
_STAYS = (
    "authentication failed",
    "no password supplied",
    "does not exist",
    "pg_hba.conf",
    "not permitted",
    "permission denied",
    "SSL",
    "certificate",
    "GSSAPI",
    "resolve host",
    "translate host name",
)
_START = "see that the server runs and can be reached from here, then do the same again"


def passes(error: psycopg.Error, *, seen: bool) -> bool:
    """Whether the same may well succeed a little later; `seen`: with a server that let us in before."""
    state = error.sqlstate
    if state is not None:
        return state in _PASSES or is_contended(error) or state.startswith(_CONNECTION)
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return seen or not any(words in str(error) for words in _STAYS)


def is_contended(error: psycopg.Error) -> bool:
    """Whether another transaction, or a person, was in the way: it passes, and says nothing against the server."""
    return error.sqlstate in _CONTENDED


def meaning(error: psycopg.Error, address: Address) -> NetraLoopError:
    """What a person is told of it; a StoreError, or a Defect where we asked for something that cannot be."""
    where, told = f"store {address.shown!r}", address.told(str(error))
    state = error.sqlstate or ""
    if not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return StoreError(f"{where} cannot be reached: {told}", hint=_hint_for_connecting(told))
    if state == "53100":
        return DiskFull(
            f"{where}: the disk of its server is full: {told}; nothing was half-written",
            hint="make room on the server, then resume",
        )
    if state in {"42501", "25006"}:
        return StoreError(
            f"{where} may not be used: {told}",
            hint="let its owner GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA and, to make them, CREATE "
            "ON SCHEMA; netra-loop doctor says which is missing",
        )
    if state.startswith(("42P", "427")):  # a table or column that is not there
        return StoreDamaged(f"{where} was changed by another program: {told}", hint="put a backup in its place")
    if state.startswith("XX"):
        return StoreDamaged(f"{where} cannot be read: {told}", hint="put a backup in its place")
    if state.startswith(("28", "3D", "08", "53", "57", "58", "25", "40", "55")):
        return StoreError(f"{where} cannot be used: {told}", hint=_hint_for_connecting(told))
    return Defect(f"{where}: {told}")


def given_up(error: psycopg.Error, address: Address, waited_s: float, *, unclear: bool) -> StoreAway:
    """What is said when it did not pass in the time there was."""
    known = (
        "whether the last write was stored is not known, resume finds out" if unclear else "nothing was half-written"
    )
    return StoreAway(
        f"store {address.shown!r} could not be used for {waited_s:.0f} s: {address.told(str(error))}; {known}",
        hint="see that the server runs and has connections to spare, then: netra-loop resume",
    )


def pooled(address: Address) -> StoreError:
    """What is said of a connection that is not the same from one transaction to the next."""
    return StoreError(
        f"store {address.shown!r} is behind a connection pooler that works by transaction, expected one that works by "
        "session: a lock belongs to a connection, so nobody could own a session; nothing was written",
        hint="name the server itself, or a pool in session mode (pgbouncer: pool_mode = session), with --store",
    )


def _hint_for_connecting(told: str) -> str:
    if "password" in told or "authentication" in told:
        return "give the password in the URL, in PGPASSWORD or in ~/.pgpass"
    if "database" in told and "does not exist" in told:
        return "make it: createdb -E UTF8 NAME, or name another one in the URL"
    if "role" in told and "does not exist" in told:
        return "make it: createuser NAME, or name another one in the URL"
    if "pg_hba.conf" in told or "SSL" in told or "certificate" in told:
        return "agree with the server (its pg_hba.conf) on how to connect: ?sslmode=require, or another, in the URL"
    if "resolve host" in told or "translate host name" in told:
        return "see that the host's name is spelt right"
    return _START
