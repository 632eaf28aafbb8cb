# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holding an application on one commit or image tag for as long as a deployment needs it."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from .._errors import ApiError, RewindError, UnknownOutcome
from .._task import Task
from .client import CoolifyClient
from .deployments import HEAD
from .routes import Pin

# The task's own time may be over when the old value is set back; a full minute of "too many requests" is waited out.
_PUT_BACK_SECONDS = 75.0


class Pinned:
    """A context in which the application is set to a commit; every way out of it sets the old one back.

    :param pin: None for a route that needs none; the context then does nothing.
    """

    def __init__(self, client: CoolifyClient, task: Task, application: str, pin: Pin | None) -> None:
        self._client = client
        self._task = task
        self._application = application
        self._pin = pin
        self.restored: bool | None = None

    def public(self) -> dict[str, Any] | None:
        return self._pin.public(self.restored) if self._pin is not None else None

    def __enter__(self) -> Pinned:
        if self._pin is not None:
            self.restored = False
            try:
                self._set(self._pin.value)
            except RewindError:
                # It may have been set all the same.
                self._put_back()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pin is None:
            return
        failure = self._put_back()
        if failure is not None and isinstance(error, RewindError):
            error.hint = f"{error.hint} {failure}".strip()

    def _put_back(self) -> str | None:
        """Set the old value; what to tell a person where that failed."""
        if self._pin is None:
            return None
        self._client.allow(_PUT_BACK_SECONDS)
        try:
            self._set(self._pin.before)
        except RewindError as error:
            text = (
                f"{self._pin.field} of application {self._application} is still {self._pin.value}: set it back to "
                f"{self._pin.before or 'nothing'} by hand."
            )
            self._task.warn(f"{text} ({error.text})")
            return text
        self.restored = True
        return None

    def _set(self, value: str | None) -> None:
        if self._pin is None:
            return
        fields: dict[str, Any] = {self._pin.field: value}
        try:
            self._client.update_application(self._application, fields)
        except UnknownOutcome:
            if self._reads(value):
                return
            self._client.update_application(self._application, fields)
        if not self._reads(value):
            raise ApiError(
                f"set {self._pin.field} of application {self._application} to {value or 'nothing'}: it does not read "
                "back as written",
                code="not_verified",
            )

    def _reads(self, value: str | None) -> bool:
        if self._pin is None:
            return True
        found = self._client.application(self._application).get(self._pin.field)
        return (found or None) == value or (self._pin.field == "git_commit_sha" and (found or HEAD) == value)
