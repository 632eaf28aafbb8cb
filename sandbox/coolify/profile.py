# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between versions of Coolify, as far as a client can tell.

Every rule is read from Coolify's source at the tags between v4.0.0-beta.350 and v4.3.11.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering

_RELEASED = 10**6


@total_ordering
@dataclass(frozen=True)
class Version:
    """``4.3.11`` or ``4.0.0-beta.434``; a beta sorts below its release."""

    numbers: tuple[int, int, int]
    beta: int

    @classmethod
    def parse(cls, text: str) -> Version:
        """Raises ValueError for a text that is no version of Coolify."""
        match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)(?:-beta\.(\d+))?", text)
        if match is None:
            raise ValueError(f"{text!r} is not a version of Coolify")
        major, minor, patch, beta = match.groups()
        return cls((int(major), int(minor), int(patch)), _RELEASED if beta is None else int(beta))

    def __lt__(self, other: Version) -> bool:
        return (self.numbers, self.beta) < (other.numbers, other.beta)


def _at(text: str) -> Version:
    return Version.parse(text)


class Profile:
    """The behaviour of one version."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.version = Version.parse(text)

    def since(self, text: str) -> bool:
        """Whether this version is `text` or newer."""
        return self.version >= _at(text)

    @property
    def get_acts(self) -> bool:
        """A GET on deploy, start, stop and restart does the work (405 since 4.2.0)."""
        return not self.since("4.2.0")

    @property
    def action_ability(self) -> str:
        """What start, stop and restart of an application need."""
        return "deploy" if self.since("4.0.0-beta.464") else "write"

    @property
    def env_fields(self) -> tuple[str, ...]:
        """Fields that the single POST and PATCH of an env row accept; others are 422."""
        fields: tuple[str, ...] = ("key", "value", "is_preview", "is_literal")
        if self.since("4.0.0-beta.435"):
            fields += ("is_multiline", "is_shown_once", "is_runtime", "is_buildtime")
        if self.since("4.0.0-beta.464"):
            fields += ("comment",)
        return fields

    @property
    def strict_keys(self) -> bool:
        """Keys of env rows must match a pattern; before, spaces became underscores."""
        return self.since("4.2.0")

    @property
    def locked_values_hidden(self) -> bool:
        """The value of a row with ``is_shown_once`` is never returned, not even to root."""
        return self.since("4.2.0")

    @property
    def force_is_boolean(self) -> bool:
        """``force=false`` in a query means false; before, any text but "0" meant true."""
        return self.since("4.2.0")

    @property
    def start_force_is_boolean(self) -> bool:
        """The same for the start action."""
        return self.since("4.0.0-beta.438")

    @property
    def has_queue_limit(self) -> bool:
        """The queue of a server has a limit."""
        return self.since("4.0.0-beta.454")

    @property
    def has_cancel(self) -> bool:
        """Deployments can be cancelled."""
        return self.since("4.0.0-beta.436")

    @property
    def cancel_answers_500(self) -> bool:
        """Cancelling works and answers 500 all the same (an undefined variable after the work)."""
        return self.since("4.1.0") and not self.since("4.3.7")

    @property
    def cancel_starts_next(self) -> bool:
        """A cancelled deployment makes room for the next queued one."""
        return self.since("4.3.7")

    @property
    def build_by_impact(self) -> bool:
        """Only changes with an impact on the build rebuild; before, every change of the configuration did."""
        return self.since("4.1.0")

    @property
    def has_team_check(self) -> bool:
        """A token without a team is 401 from a middleware; before, 400 from the controller."""
        return self.since("4.1.2")

    @property
    def has_rollback(self) -> bool:
        """Rollback, rollback-images and shared environment variables exist."""
        return self.since("4.3.0")

    @property
    def logs_hidden_in_list(self) -> bool:
        """The deployments of an application show their logs to ``read:sensitive`` only."""
        return self.since("4.2.0")

    @property
    def embeds_application(self) -> bool:
        """A single deployment carries its application."""
        return self.since("4.0.0-beta.464")
