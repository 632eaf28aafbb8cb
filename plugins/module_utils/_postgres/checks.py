# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks: assertions about data, all answered from one snapshot in few round trips."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from .._errors import InvalidInput
from .._records import search
from .._time import RestorePoint, ago, duration, parse_instant, rfc3339
from .session import DatabaseError, Session, Statement, jsonable
from .tables import Table, TableName, find_statement, identifier, match

KINDS = ("table", "rows", "fresh", "sql", "connect")
# What a check shows of a query's answer; a check is no export.
_SHOWN_ROWS = 5
_FETCHED_ROWS = 1000
# What a statement says of the data, or of a schema that lacks what is asked for (PostgreSQL's classes of errors, class
# 22 and parts of 42 and 3F). Anything else, a timeout or a permission, is no answer to a check.
_ABOUT_DATA = re.compile(r"sqlstate_(?:22\w{3}|42P01|42703|42704|42883|3F000)")


@dataclass(frozen=True)
class Check:
    """One assertion, as an operator writes it.

    :param within_percent: of the rows that the manifest has for this table.
    :param max_age: seconds; how much older than the restore point (else now) the newest value may be.
    :param tolerance: seconds; how much newer than the restore point it may be (clocks of applications run ahead).
    :param pooled: for connect: also through the pooler, not only directly.
    """

    name: str
    kind: str
    table: str | None = None
    column: str | None = None
    min: int | None = None
    max: int | None = None
    within_percent: float | None = None
    max_age: float | None = None
    tolerance: float = 0.0
    query: str | None = None
    expect: str | None = None
    pooled: bool = True
    role: str | None = None
    tls: bool = True

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Check:
        """From a module's suboptions; a check without a name gets one from what it looks at.

        :raises InvalidInput: when what the kind needs is missing.
        """
        known = {key: options[key] for key in cls.__dataclass_fields__ if options.get(key) is not None}
        what = known.get("table") or known.get("query") or ""
        if (column := str(known.get("column", ""))).startswith('"'):
            known["column"] = column[1:-1].replace('""', '"')
        known.setdefault("name", f"{known['kind']} {what}".strip()[:120])
        check = cls(**known)
        needs = {"table": ["table"], "rows": ["table"], "fresh": ["table", "column"], "sql": ["query", "expect"]}
        missing = [option for option in needs.get(check.kind, []) if getattr(check, option) is None]
        if missing or check.kind not in KINDS:
            raise InvalidInput(
                f'read the check "{check.name}": kind {check.kind} needs {" and ".join(missing)}'
                if missing
                else f'read the check "{check.name}": there is no kind {check.kind}',
                hint=f"The kinds are {', '.join(KINDS)}.",
            )
        if check.kind == "rows" and check.min is check.max is check.within_percent is None:
            raise InvalidInput(
                f'read the check "{check.name}": kind rows needs min, max or within_percent', hint="Give one of them."
            )
        return check


@dataclass(frozen=True)
class Outcome:
    """What a check found.

    :param answered: whether the data was judged at all; a timeout or a missing permission is no answer.
    """

    name: str
    kind: str
    ok: bool
    expected: Any
    found: Any
    message: str
    answered: bool = True

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Context:
    """What checks are judged against.

    :param point: the restore point; None: the data is live and is compared with now.
    :param probe: opens a new session, pooled or direct, and says what it is (for the kind connect).
    """

    point: RestorePoint | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)
    probe: Callable[[bool], Mapping[str, Any]] | None = None
    ways: Sequence[bool] = (False, True)


Answer: TypeAlias = "list[dict[str, Any]] | DatabaseError"


def run_checks(session: Session, checks: Iterable[Check], context: Context) -> list[Outcome]:
    """Answer all checks from one snapshot, in their order. A missing table or column is a failed check, no error.

    :raises DatabaseError: when the database cannot be read at all.
    :raises InvalidInput: when a check makes no sense.
    """
    asked = list(checks)
    names = {check: TableName.parse(check.table) for check in asked if check.table is not None}
    with session.snapshot():
        rows = session.run(find_statement(names.values()), ("SELECT pg_catalog.transaction_timestamp() AS now", None))
        tables = [Table.of(row) for row in rows[0]]
        now = parse_instant(rows[1][0]["now"], future=True)
        found = {check: match(name, tables) for check, name in names.items()}
        statements = {check: statement for check in asked if (statement := _statement(check, found.get(check)))}
        answers = dict(zip(statements, _answers(session, statements), strict=True))
    return [_judge(check, found.get(check), answers.get(check), context, now) for check in asked]


def _statement(check: Check, table: Table | str | None) -> Statement | None:
    """What must be asked for this check: one row (number, instant) for built-in kinds; None when nothing must."""
    if check.kind == "sql":
        # As a subquery it can only read: no COMMIT, no second statement, no changing WITH.
        query = str(check.query).strip().rstrip(";")
        return f"SELECT * FROM (\n{query}\n) AS rewind_check LIMIT {_FETCHED_ROWS}", None
    if not isinstance(table, Table) or _unusable(check, table):
        return None
    source = f"{identifier(table.schema)}.{identifier(table.name)}"
    if check.kind == "rows":
        return f"SELECT pg_catalog.count(*) AS number, NULL::timestamptz AS instant FROM {source}", None
    if check.kind == "fresh":
        newest = f"pg_catalog.max({identifier(str(check.column))})::timestamptz"
        return f"SELECT NULL::bigint AS number, {newest} AS instant FROM {source}", None
    return None


def _answers(session: Session, statements: Mapping[Check, Statement]) -> list[Answer]:
    """Built-in kinds as one statement, the queries beside it, all in one round trip; one by one when one fails."""
    counted = [check for check in statements if check.kind != "sql"]
    queries = [check for check in statements if check.kind == "sql"]
    if len(counted) < 2:
        return session.try_each(list(statements.values()))
    arms = [f"SELECT {i} AS arm, * FROM ({statements[check][0]}) AS a" for i, check in enumerate(counted)]
    together, *rest = session.try_each([(" UNION ALL ".join(arms), None), *(statements[check] for check in queries)])
    if isinstance(together, DatabaseError):
        alone = session.try_each([statements[check] for check in counted])
    else:
        alone = [[row] for row in sorted(together, key=lambda row: int(row["arm"]))]
    by_check = dict(zip([*counted, *queries], [*alone, *rest], strict=True))
    return [by_check[check] for check in statements]


def _unusable(check: Check, table: Table) -> str | None:
    if check.column is not None and check.column not in table.columns:
        return f"{table.full_name} has no column {check.column}"
    if check.kind == "fresh" and table.columns[str(check.column)] != "instant":
        return f"the column {check.column} of {table.full_name} holds no dates or timestamps"
    return _hidden(check, table)


def _hidden(check: Check, table: Table) -> str | None:
    """Why this role cannot see what is asked for; that says nothing about the data."""
    if check.kind != "table" and not table.readable:
        return f"this role may not read {table.full_name}"
    if check.kind != "table" and table.filtered:
        return f"row security hides rows of {table.full_name} from this role"
    return None


def _judge(check: Check, table: Table | str | None, answer: Answer | None, context: Context, now: datetime) -> Outcome:
    if check.kind == "connect":
        return judge_connect(check, context)
    if check.kind == "sql":
        return _judge_sql(check, answer)
    expected = _expected(check, context, now)
    if not isinstance(table, Table):
        return Outcome(check.name, check.kind, False, expected, None, str(table))
    reason = _unusable(check, table)
    if reason is not None:
        seen = reason != _hidden(check, table)
        return Outcome(check.name, check.kind, False, expected, None, reason, answered=seen)
    if check.kind == "table":
        return Outcome(check.name, check.kind, True, expected, table.full_name, f"{table.full_name} exists")
    if answer is None or isinstance(answer, DatabaseError):
        return _failed(check, expected, answer)
    if check.kind == "rows":
        return _judge_rows(check, table, int(answer[0]["number"]), context)
    return _judge_fresh(check, table, answer[0]["instant"], expected, context, now)


def _failed(check: Check, expected: Any, error: DatabaseError | None) -> Outcome:
    """A statement that failed: about the data, or no answer."""
    answered = error is not None and _ABOUT_DATA.fullmatch(error.code) is not None
    text = error.text if error else "not answered"
    return Outcome(check.name, check.kind, False, expected, None, text, answered=answered)


def _expected(check: Check, context: Context, now: datetime) -> Any:
    if check.kind == "table":
        return check.table if check.column is None else {"table": check.table, "column": check.column}
    if check.kind == "rows":
        return {key: value for key in ("min", "max", "within_percent") if (value := getattr(check, key)) is not None}
    at = context.point.at if context.point else now
    bounds: dict[str, Any] = {}
    if at is not None and check.max_age is not None:
        bounds["not_before"] = rfc3339(at - timedelta(seconds=check.max_age))
    if at is not None and context.point is not None:
        bounds["not_after"] = rfc3339(at + timedelta(seconds=check.tolerance))
    return bounds


def _judge_rows(check: Check, table: Table, rows: int, context: Context) -> Outcome:
    low, high = check.min, check.max
    expected: dict[str, Any] = {"min": low, "max": high}
    unknown = check.within_percent is not None and not context.manifest
    if check.within_percent is not None and not unknown:
        known = (context.manifest.get("tables") or {}).get(table.full_name)
        if known is None:
            message = f"the manifest has no table {table.full_name} to compare with"
            return Outcome(check.name, check.kind, False, {"within_percent": check.within_percent}, rows, message)
        margin = known["rows"] * check.within_percent / 100
        low = max(low or 0, int(-(-(known["rows"] - margin) // 1)))
        high = min(high, int(known["rows"] + margin)) if high is not None else int(known["rows"] + margin)
        expected = {"min": low, "max": high, "manifest_rows": known["rows"], "within_percent": check.within_percent}
    ok = (low is None or rows >= low) and (high is None or rows <= high)
    wanted = f"{low} or more" if high is None else f"{high} or fewer" if low is None else f"{low} to {high}"
    message = f"{table.full_name} has {rows} rows"
    if low is not None or high is not None:
        message += f", {'as' if ok else 'not'} expected: {wanted}"
    if unknown:
        # A first backup has nothing before it, and must not fail for that.
        expected = {**expected, "within_percent": check.within_percent}
        message += "; not compared, since there is no manifest and no earlier backup to compare with"
    return Outcome(check.name, check.kind, ok, expected, rows, message)


def _judge_fresh(
    check: Check, table: Table, newest: str | None, expected: dict[str, str], context: Context, now: datetime
) -> Outcome:
    place = f"{check.column} of {table.full_name}"

    def outcome(ok: bool, message: str) -> Outcome:
        return Outcome(check.name, check.kind, ok, expected, newest, message)

    if newest is None:
        return outcome(False, f"{place} has no value: there is no row, or none with one")
    try:
        instant = parse_instant(newest, future=True)
    except InvalidInput:
        return outcome(False, f"the newest {place} is {newest}, which is no instant")
    shown = f"the newest {place} is {newest} ({ago(instant, now)})"
    if "not_after" in expected and instant > parse_instant(expected["not_after"], future=True):
        return outcome(False, f"{shown}, {_distance(instant, expected['not_after'])} later than the restore point")
    if "not_before" in expected and instant < parse_instant(expected["not_before"], future=True):
        allowed = duration(check.max_age or 0.0)
        what = "the restore point" if context.point else "now"
        beyond = _distance(instant, expected["not_before"])
        return outcome(False, f"{shown}, {beyond} more than {allowed} before {what}")
    if context.point is not None and context.point.at is None:
        return outcome(True, f"{shown}; not compared, since the restore point is an LSN")
    return outcome(True, f"{shown}, as expected")


def _distance(one: datetime, other: str) -> str:
    return duration(abs((one - parse_instant(other, future=True)).total_seconds()))


def _judge_sql(check: Check, answer: Answer | None) -> Outcome:
    if answer is None or isinstance(answer, DatabaseError):
        return _failed(check, check.expect, answer)
    rows = jsonable(answer)
    result = search(str(check.expect), rows)
    shown = rows[:_SHOWN_ROWS]
    if not isinstance(result, bool):
        # JMESPath counts 0 as true; an assertion must not pass because somebody forgot the comparison.
        message = f"the expression {check.expect} gives {result!r}, neither true nor false"
        return Outcome(check.name, "sql", False, check.expect, shown, message)
    count = f"{len(rows)} row{'s' if len(rows) != 1 else ''}"
    message = f"the query returned {count}; {check.expect} is {str(result).lower()}"
    return Outcome(check.name, "sql", result, check.expect, shown, message)


def judge_connect(check: Check, context: Context) -> Outcome:
    ways = [way for way in context.ways if check.pooled or not way]
    expected = {"tls": check.tls, "role": check.role, "ways": ["pooled" if way else "direct" for way in ways]}
    found: dict[str, Any] = {}
    wrong: list[str] = []
    answered = True
    for way in ways:
        name = "pooled" if way else "direct"
        try:
            found[name] = dict(context.probe(way)) if context.probe else {}
        except (DatabaseError, InvalidInput) as error:
            found[name] = {"error": error.msg}
            wrong.append(f"{name}: {error.msg}")
            # What may be otherwise a minute later says nothing about the data.
            answered = answered and not error.retryable
            continue
        if check.tls and not found[name].get("tls"):
            wrong.append(f"{name}: the connection is not encrypted")
        if check.role is not None and found[name].get("role") != check.role:
            wrong.append(f"{name}: connected as {found[name].get('role')}, expected {check.role}")
    roles = sorted({str(way.get("role")) for way in found.values()})
    message = "; ".join(wrong) or f"connected {' and '.join(found)} as {' and '.join(roles)}"
    return Outcome(check.name, "connect", not wrong, expected, found, message, answered=answered)


def probe(session: Session) -> dict[str, Any]:
    """Who and where a session is, for the kind connect."""
    row = session.one(
        "SELECT current_user AS role, pg_catalog.current_database() AS database,"
        " pg_catalog.current_setting('server_version') AS server_version,"
        " pg_catalog.pg_is_in_recovery() AS in_recovery"
    )
    return {"tls": session.tls, "host": session.address.host, "pooled": session.address.pooled, **row}
