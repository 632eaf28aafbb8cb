# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentry's API, as far as it is needed: the number of events of a project over time.

The number comes from "Retrieve Event Counts for a Project" (https://docs.sentry.io/api/projects/get-project-stats/):
the only documented request whose resolution (10 s) suits a watch of minutes. Those of an organization (stats_v2) count
in whole hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from .._errors import ApiError, NotFound, RewindError
from .._http import Api, Reply
from .._task import Task
from .._waiter import Deadline

# Buckets of ten seconds in one answer: six hours. Sentry's own storage answers 10,000 rows at most.
_MOST_BUCKETS = 2160
SECONDS = {"10s": 10, "1h": 3600, "1d": 86_400}
# A list of projects is only there to help a person: it need not be complete.
_MOST_PAGES = 20
_LINK = re.compile(r'<(?P<url>[^>]*)>(?P<attributes>(?:\s*;\s*[\w-]+="[^"]*")*)')
_ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')


def api_url(url: str) -> str:
    """The address with ``/api/0`` at its end, whether it was given with it or not."""
    trimmed = url.rstrip("/").removesuffix("/0").removesuffix("/api")
    return f"{trimmed}/api/0"


def client_for(task: Task, deadline: Deadline | None = None) -> SentryClient:
    """A client made of a task's options (documentation fragment ``sentry``).

    :param deadline: when to stop waiting out 429; by default two minutes from now.
    """
    params = task.params
    return SentryClient(
        Api.of(
            task,
            "sentry",
            base_url=api_url(params["sentry_api_url"]),
            token=params.get("sentry_auth_token"),
            deadline=deadline or Deadline(120.0),
        )
    )


def next_cursor(headers: Mapping[str, str]) -> str | None:
    """The cursor of the next page, from the header ``Link`` (https://docs.sentry.io/api/pagination/).

    There is always a next one; ``results`` says whether anything is on it.
    """
    for found in _LINK.finditer(headers.get("link", "")):
        attributes = dict(_ATTRIBUTE.findall(found["attributes"]))
        if attributes.get("rel") == "next" and attributes.get("results") == "true":
            return attributes.get("cursor") or None
    return None


class SentryClient:
    """Typed calls.

    :param api: the transport; its base URL ends in ``/api/0``.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    def allow(self, seconds: float) -> None:
        """Wait out 429 for at most this long from now."""
        self._api.deadline = Deadline(seconds)

    def counts(
        self,
        organization: str,
        project: str,
        *,
        since: int,
        until: int,
        resolution: str = "10s",
        stat: str = "received",
    ) -> dict[int, int]:
        """The events of each bucket that begins in ``[since, until)``, by the second in which it begins.

        :param since: seconds since 1970, at the beginning of a bucket; `until` likewise.
        :raises NotFound: when there is no such project for this token; it names those that there are.
        :raises ApiError: for an answer that cannot be understood or that lacks a bucket, as Sentry sends those without
            events too: an unreadable number must never pass for none.
        """
        doing = f"read the events of {organization}/{project}"
        path = f"/projects/{quote(organization, safe='')}/{quote(project, safe='')}/stats/"
        width = SECONDS[resolution]
        found: dict[int, int] = {}
        for first in range(since, until, width * _MOST_BUCKETS):
            last = min(first + width * _MOST_BUCKETS, until)
            # The end is part of the range.
            query = {"stat": stat, "since": first, "until": last - 1, "resolution": resolution}
            reply = self._get(path, query, doing, organization)
            found.update(_buckets(reply, doing, range(first, last, width)))
        return found

    def projects(self, organization: str) -> list[str]:
        """The slugs of an organization's projects (https://docs.sentry.io/api/organizations/list-an-organizations-projects/)."""
        doing = f"list the projects of {organization}"
        path = f"/organizations/{quote(organization, safe='')}/projects/"
        pages = self._pages(path, doing)
        return sorted(str(item["slug"]) for page in pages for item in page if isinstance(item, dict) and "slug" in item)

    def _pages(self, path: str, doing: str) -> Iterator[list[Any]]:
        cursor: str | None = None
        for _number in range(_MOST_PAGES):
            reply = self._api.get(path, params={"cursor": cursor}, doing=doing)
            if isinstance(reply.body, list):
                yield reply.body
            cursor = next_cursor(reply.headers)
            if cursor is None:
                return

    def _get(self, path: str, query: dict[str, Any], doing: str, organization: str) -> Reply:
        try:
            return self._api.get(path, params=query, doing=doing)
        except NotFound as error:
            error.hint = f"{self._known(organization)} {error.hint}".strip()
            raise

    def _known(self, organization: str) -> str:
        try:
            known = self.projects(organization)
        except RewindError:
            return ""
        return f"The projects of {organization} are: {', '.join(known[:20]) or 'none'}."


def _buckets(reply: Reply, doing: str, asked: range) -> dict[int, int]:
    """The count of every bucket that was asked for. One more at an end of the range is left out."""

    def unreadable(why: str) -> ApiError:
        return ApiError(f"{doing}: {why}", code="unreadable_answer", http_status=reply.status)

    if not isinstance(reply.body, list):
        raise unreadable("the answer is not a list")
    found: dict[int, int] = {}
    for item in reply.body:
        if not isinstance(item, list) or len(item) != 2 or not all(_is_whole(part) for part in item):
            raise unreadable("the answer is not a list of instants and numbers of events")
        at, count = (int(part) for part in item)
        if at % asked.step or at in found:
            raise unreadable(f"the answer is not in buckets of {asked.step} seconds")
        found[at] = count
    missing = [at for at in asked if at not in found]
    if missing:
        raise unreadable(f"{len(missing)} of {len(asked)} buckets are missing in the answer")
    return {at: found[at] for at in asked}


def _is_whole(value: Any) -> bool:
    """Whether this is a whole number from zero on, however JSON spells it."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and float(value).is_integer()
