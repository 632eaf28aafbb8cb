# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wanted of a branch, read from the options once and checked before anything is sent."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Mapping
from typing import Any

from .._errors import InvalidInput, Refused
from .._predicted import is_predicted
from .._time import lsn_number, parse_instant, parse_lsn, rfc3339, utc_now
from .tree import BranchTree

Json = dict[str, Any]

NEVER = "never"
LONGEST_NAME = 256
_BEYOND_MICROSECONDS = re.compile(r"(\.\d{6})\d+")
# Neon's documentation, "Branch expiration": at most 30 days ahead, whole seconds.
LONGEST_EXPIRY = datetime.timedelta(days=30)


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a branch comes from: its parent, and the point in the parent's history (neither means its head)."""

    parent: str | None = None
    at: datetime.datetime | None = None
    lsn: str | None = None

    @classmethod
    def read(cls, params: Mapping[str, Any]) -> Origin:
        at, lsn = params.get("parent_timestamp"), params.get("parent_lsn")
        return cls(
            parent=params.get("parent") or None,
            at=parse_instant(at) if at is not None else None,
            lsn=parse_lsn(lsn) if lsn is not None else None,
        )

    def body(self) -> Json:
        """The point as the API takes it."""
        if self.lsn is not None:
            return {"parent_lsn": self.lsn}
        return {"parent_timestamp": rfc3339(self.at)} if self.at is not None else {}

    def point(self) -> str:
        if self.lsn is not None:
            return f"LSN {self.lsn}"
        return rfc3339(self.at) if self.at is not None else "no point in time"


def api_instant(text: str) -> datetime.datetime:
    """An instant as Neon tells it, cut to microseconds; what a person writes is never cut (`parse_instant`)."""
    return parse_instant(_BEYOND_MICROSECONDS.sub(r"\1", text), future=True)


def same_instant(left: datetime.datetime, right: datetime.datetime) -> bool:
    """Whether two instants are the same to the millisecond."""
    return abs(left - right) < datetime.timedelta(milliseconds=1)


def check_origin(found: Json, origin: Origin, tree: BranchTree, project_id: str, *, fresh: bool = False) -> None:
    """Refuse a branch of the wanted name that comes from elsewhere.

    :param fresh: it was made just now: a point that Neon does not tell yet proves nothing.
    :raises Refused: naming both origins.
    """
    wanted_parent = found.get("parent_id")
    if origin.parent is not None:
        predicted = is_predicted(origin.parent)
        wanted_parent = origin.parent if predicted else tree.require(origin.parent, "parent", project_id)["id"]
    if wanted_parent == found.get("parent_id") and _same_point(found, origin, unknown=fresh):
        return
    raise Refused(
        f"use branch {found.get('name')} ({found['id']}): it comes from {_describe(found)}, "
        f"and asked for is {origin.parent or 'the same parent'} at {origin.point()}",
        code="other_origin",
        hint="Choose another name, or rename or delete that branch.",
    )


def _same_point(found: Json, origin: Origin, *, unknown: bool) -> bool:
    if origin.lsn is not None:
        told = found.get("parent_lsn")
        return lsn_number(told) == lsn_number(origin.lsn) if told else unknown
    if origin.at is not None:
        told = found.get("parent_timestamp")
        return same_instant(api_instant(told), origin.at) if told else unknown
    return True


def _describe(found: Json) -> str:
    if not found.get("parent_id"):
        return "no parent (it is a root branch)"
    points = [str(found[name]) for name in ("parent_timestamp", "parent_lsn") if found.get(name)]
    return f"{found['parent_id']} at {' / '.join(points) or 'an unknown point'}"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The options of `neon_branch`; None means "leave it"."""

    name: str | None
    branch_id: str | None
    new_name: str | None
    origin: Origin
    endpoints: list[Json] | None
    protected: bool | None
    default: bool | None
    # An instant, NEVER, or None.
    expires_at: datetime.datetime | str | None
    annotations: dict[str, str] | None

    @classmethod
    def read(cls, params: Mapping[str, Any]) -> Wanted:
        """:raises InvalidInput: where the options contradict each other or Neon's rules."""
        wanted = cls(
            name=params.get("name"),
            branch_id=params.get("branch_id"),
            new_name=params.get("new_name"),
            origin=Origin.read(params),
            endpoints=params.get("endpoints"),
            protected=params.get("protected"),
            default=params.get("default"),
            expires_at=read_expiry(params.get("expires_at")),
            annotations=_annotations(params.get("annotations")),
        )
        wanted._check()
        return wanted

    @property
    def subject(self) -> str:
        return str(self.name or self.branch_id)

    @property
    def final_name(self) -> str:
        return str(self.new_name or self.name or self.branch_id)

    def expiry(self) -> str | None:
        """The wanted expiry as the API takes it; None for never."""
        return rfc3339(self.expires_at) if isinstance(self.expires_at, datetime.datetime) else None

    def _check(self) -> None:
        for name in (self.name, self.new_name):
            if name is not None and not (1 <= len(name) <= LONGEST_NAME and name.strip()):
                raise InvalidInput(
                    f"use the name of a branch: it has {len(name)} characters",
                    hint=f"A name has 1 to {LONGEST_NAME} characters.",
                )
        if isinstance(self.expires_at, datetime.datetime) and (self.protected or self.default):
            raise InvalidInput(
                f"set expires_at on branch {self.subject}: a protected or default branch cannot expire",
                code="expiry_not_allowed",
                hint="Leave expires_at out, or set it to never.",
            )
        reads = [item for item in self.endpoints or [] if item["type"] == "read_write"]
        if len(reads) > 1:
            raise InvalidInput(
                f"give branch {self.subject} its computes: it can have one of type read_write only",
                hint="Give the others the type read_only.",
            )


def check_expiry(wanted: Wanted, now: datetime.datetime | None) -> None:
    """Refuse an expiry in the past or further ahead than Neon allows."""
    if not isinstance(wanted.expires_at, datetime.datetime):
        return
    ahead = wanted.expires_at - (now or utc_now())
    if datetime.timedelta(0) < ahead <= LONGEST_EXPIRY:
        return
    reason = "it has passed" if ahead <= datetime.timedelta(0) else f"it is more than {LONGEST_EXPIRY.days} days ahead"
    raise InvalidInput(
        f"set expires_at of branch {wanted.subject} to {wanted.expiry()}: {reason}",
        code="expiry_not_allowed",
        hint="Choose an instant at most 30 days from now, or never.",
    )


def read_expiry(value: str | None) -> datetime.datetime | str | None:
    """An expiry as an option says it, in whole seconds; ``never`` and None stay as they are."""
    if value is None or value == NEVER:
        return value
    return parse_instant(value, future=True).replace(microsecond=0)


def same_expiry(existing: str | None, wanted: datetime.datetime | str) -> bool:
    """Whether what Neon shows is the expiry that is wanted."""
    if not isinstance(wanted, datetime.datetime) or not existing:
        return not isinstance(wanted, datetime.datetime) and not existing
    return api_instant(existing).replace(microsecond=0) == wanted


def _annotations(value: Mapping[str, Any] | None) -> dict[str, str] | None:
    return None if value is None else {str(key): str(item) for key, item in value.items()}
