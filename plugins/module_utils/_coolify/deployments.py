# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a deployment is, and what its log says about it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from .._secrets import MASK, Masker

# Coolify's ApplicationDeploymentStatus; other spellings ("cancelled", "error") occur only in other clients.
RUNNING = frozenset({"queued", "in_progress"})
TERMINAL = frozenset({"finished", "failed", "cancelled-by-user"})

HEAD = "HEAD"
LOG_TAIL = 20
_SHORTEST_COMMIT = 7
_COMMIT = re.compile(r"[0-9a-f]{7,64}", re.IGNORECASE)
_LONGEST_LINE = 300

# Lines of ApplicationDeploymentJob::should_skip_build and of its build steps.
_SKIPPED = "Build step skipped."
_BUILT = ("Building new image.", "Rebuilding image.", "Building docker image")

_SECRET_ASSIGNMENT = re.compile(
    r"(?P<before>\b[\w.-]*(?:password|passwd|secret|token|api_?key|private_?key|authorization|credential|database_url|dsn)"
    r"[\w.-]*[\"']?\s*[=:]\s*)(?P<value>\"[^\"]*\"|'[^']*'|[^\s,;]+)",
    re.IGNORECASE,
)


_SECRET_PARAMETER = re.compile(r"pass|secret|token|key|credential", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Deployment:
    """One row of Coolify's deployment queue. `lines` is None where the token may not read logs."""

    uuid: str
    status: str
    commit: str | None
    tag: str | None
    created_at: str | None
    finished_at: str | None
    restart_only: bool | None
    rollback: bool | None
    is_api: bool | None
    is_preview: bool
    lines: tuple[str, ...] | None = dataclasses.field(repr=False, default=None)

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Deployment:
        """From any of the three answers that hold deployments."""
        return cls(
            uuid=str(body.get("deployment_uuid") or ""),
            status=str(body.get("status") or ""),
            commit=body.get("commit") or None,
            tag=body.get("docker_registry_image_tag") or None,
            created_at=body.get("created_at"),
            finished_at=body.get("finished_at"),
            restart_only=_flag(body.get("restart_only")),
            rollback=_flag(body.get("rollback")),
            is_api=_flag(body.get("is_api")),
            is_preview=int(body.get("pull_request_id") or 0) != 0,
            lines=_lines(body.get("logs")),
        )

    @property
    def is_running(self) -> bool:
        """Whether it may still act. An unknown status counts as running until Coolify says when it ended."""
        if self.status in TERMINAL:
            return False
        return self.status in RUNNING or self.finished_at is None

    @property
    def is_finished(self) -> bool:
        return self.status == "finished"

    @property
    def build_skipped(self) -> bool | None:
        """Whether the existing image was used: only the log says so. None where it cannot be read or does not say."""
        if self.lines is None:
            return None
        if any(marker in line for line in self.lines for marker in _BUILT):
            return False
        return True if any(_SKIPPED in line for line in self.lines) else None

    def runs_other(self, wanted: str | None, *, is_image: bool) -> bool:
        """Whether it is known to be of something else: of another tag of an image, or of another commit.

        A name of git's, such as that of a tag, can be compared with no commit; and a row says "HEAD" until Coolify has
        asked git what that is.
        """
        if is_image:
            return bool(wanted and self.tag) and self.tag != wanted
        if not wanted or not self.commit or not (_COMMIT.fullmatch(wanted) and _COMMIT.fullmatch(self.commit)):
            return False
        return not same_commit(self.commit, wanted)

    def public(self, scrubber: LogScrubber | None = None) -> dict[str, Any]:
        """The shape that modules return; without a scrubber no line of the log is shown."""
        return {
            "uuid": self.uuid,
            "status": self.status,
            "commit": self.commit,
            "build_skipped": self.build_skipped,
            "restart_only": self.restart_only,
            "rollback": self.rollback,
            "created_at": self.created_at,
            "finished_at": self.finished_at,
            "log_tail": scrubber.tail(self.lines) if scrubber is not None else [],
        }


def same_commit(one: str, other: str) -> bool:
    """Git's abbreviations: at least seven digits of the same commit."""
    one, other = one.lower(), other.lower()
    return min(len(one), len(other)) >= _SHORTEST_COMMIT and (one.startswith(other) or other.startswith(one))


def _flag(value: Any) -> bool | None:
    return None if value is None else bool(value)


def _lines(logs: Any) -> tuple[str, ...] | None:
    """The visible lines of a log: a JSON text of entries, of which those with ``hidden`` are Coolify's own commands."""
    if logs is None:
        return None
    if isinstance(logs, str):
        try:
            logs = json.loads(logs) if logs else []
        except ValueError:
            return None
    if not isinstance(logs, list):
        return None
    shown = [entry for entry in logs if isinstance(entry, dict) and not entry.get("hidden")]
    return tuple(line for entry in shown for line in str(entry.get("output") or "").splitlines() if line.strip())


def read_deployments(bodies: Iterable[Mapping[str, Any]]) -> list[Deployment]:
    """Deployments of the application itself, newest first: those of pull requests do not concern it."""
    found = [Deployment.read(body) for body in bodies]
    return [deployment for deployment in found if not deployment.is_preview]


def running(deployments: Iterable[Deployment]) -> list[Deployment]:
    return [deployment for deployment in deployments if deployment.is_running]


def last_finished(deployments: Iterable[Deployment]) -> Deployment | None:
    """The newest one that finished: what runs now, since Coolify keeps the old containers when one fails."""
    return next((deployment for deployment in deployments if deployment.is_finished), None)


class LogScrubber:
    """Takes secrets out of log lines. Coolify itself hides only the values of locked rows.

    :param values: the values of all env rows, in each form that is known; those too short to be a secret stay.
    """

    _SHORTEST = 6
    # What was written over several lines is looked for in this many more than are shown.
    _CONTEXT = 200

    def __init__(self, values: Iterable[str | None]) -> None:
        found = {part for value in values if value for part in _parts(value)}
        self._masker = Masker(part for part in found if len(part) >= self._SHORTEST)

    def line(self, text: str) -> str:
        return self._shortened(self._masker.text(text))

    def tail(self, lines: tuple[str, ...] | None, count: int = LOG_TAIL) -> list[str]:
        """The last lines, oldest first."""
        near = list(lines or ())[-(count + self._CONTEXT) :]
        # One after the other as well: a password may stand beside the end of what was masked.
        masked = [self._masker.text(line) for line in self._masker.text("\n".join(near)).split("\n")]
        return [self._shortened(line) for line in masked[-count:]]

    @staticmethod
    def _shortened(masked: str) -> str:
        cleaned = _SECRET_ASSIGNMENT.sub(lambda found: found["before"] + MASK, masked)
        return cleaned if len(cleaned) <= _LONGEST_LINE else cleaned[: _LONGEST_LINE - 1] + "…"


def _parts(value: str) -> Iterator[str]:
    """The value and all in it that is a secret by itself: a log may show a line of a key, or the password of a URI."""
    bare = value.strip()
    if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "'\"":
        bare = bare[1:-1]
    # Coolify escapes with a backslash what it writes into a file.
    plain = bare.replace("\\\\", "\\").replace('\\"', '"').replace("\\'", "'")
    for text in dict.fromkeys((value, bare, plain)):
        yield text
        yield from (line.strip() for line in text.splitlines())
        yield from _secrets_in_uri(text)


def _secrets_in_uri(text: str) -> Iterator[str]:
    if "://" not in text:
        return
    with contextlib.suppress(ValueError):
        parts = urlsplit(text)
        for name, secret in (("password", parts.password or ""), *parse_qsl(parts.query)):
            if _SECRET_PARAMETER.search(name):
                yield from (secret, unquote(secret))
