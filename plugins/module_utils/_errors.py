# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Typed errors. Utilities raise them; only the outermost function turns them into a task result."""

from __future__ import annotations

from typing import Any


class RewindError(Exception):
    """Something that a person must be told: what failed, why, and what to do.

    :param text: "verb object: reason", without HTTP code, request id or advice; those are added to ``msg``.
    :param code: a short machine-readable word, stable between releases (an API's own code where it sent one).
    :param hint: what to do, one or more whole sentences.
    :param partial: what is known so far, in the shape of the module's result.
    """

    default_code = "failed"

    def __init__(
        self,
        text: str,
        *,
        code: str = "",
        http_status: int | None = None,
        request_id: str | None = None,
        retryable: bool = False,
        hint: str = "",
        partial: dict[str, Any] | None = None,
    ) -> None:
        self.text = text
        self.code = code or self.default_code
        self.http_status = http_status
        self.request_id = request_id
        self.retryable = retryable
        self.hint = hint
        self.partial = partial
        super().__init__(self.msg)

    @property
    def msg(self) -> str:
        """The whole sentence: "verb object: reason (HTTP code, request id). What to do"."""
        facts = []
        if self.http_status is not None:
            facts.append(f"HTTP {self.http_status}")
        if self.request_id:
            facts.append(f"request id {self.request_id}")
        text = self.text.rstrip(".")
        if facts:
            text += f" ({', '.join(facts)})"
        return f"{text}. {self.hint}".rstrip() if self.hint else text

    def __str__(self) -> str:
        return self.msg

    def as_result(self) -> dict[str, Any]:
        """The keys that a failed task returns: ``msg``, ``error`` and, where something is known, ``partial``."""
        result: dict[str, Any] = {
            "msg": self.msg,
            "error": {
                "code": self.code,
                "http_status": self.http_status,
                "request_id": self.request_id,
                "retryable": self.retryable,
                "hint": self.hint,
            },
        }
        if self.partial is not None:
            result["partial"] = self.partial
        return result


class InvalidInput(RewindError):
    """An option, a variable or a file says something that cannot be used. Nothing was sent."""

    default_code = "invalid_input"


class Refused(RewindError):
    """A safety rule forbids what was asked. Nothing was changed by this step."""

    default_code = "refused"


class ApiError(RewindError):
    """An API answered with an error status, or with something that cannot be understood."""

    default_code = "api_error"


class NotFound(ApiError):
    """The object does not exist, or the token may not see it (both APIs answer 404 for either)."""

    default_code = "not_found"


class Unauthorized(ApiError):
    """The token is missing, wrong, expired, or lacks an ability (401 and 403)."""

    default_code = "unauthorized"


class Locked(ApiError):
    """Other operations hold the object and did not end in time (423)."""

    default_code = "locked"


class Unreachable(ApiError):
    """The service could not be reached; the request was not sent."""

    default_code = "unreachable"


class UnknownOutcome(ApiError):
    """A write was sent and its answer was lost: it may or may not have taken effect. Read back before anything else."""

    default_code = "unknown_outcome"


class OperationFailed(ApiError):
    """The API accepted the request and its background operation then failed."""

    default_code = "operation_failed"


class Timeout(RewindError):
    """The time given has passed. ``partial`` holds what is known, in the shape of the result."""

    default_code = "timeout"

    def __init__(self, text: str, *, partial: dict[str, Any] | None = None, **more: Any) -> None:
        super().__init__(text, partial=partial if partial is not None else {}, **more)
