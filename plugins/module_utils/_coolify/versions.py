# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Coolify of a given version can do. Gates are from Coolify's source, tags v4.0.0-beta.350 to v4.3.10."""

from __future__ import annotations

import dataclasses
import re

from .._errors import ApiError, Refused

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-beta\.(\d+))?(?:[.+-].*)?$")

# A release sorts after every one of its betas.
_RELEASED = 1_000_000


@dataclasses.dataclass(frozen=True, order=True)
class Version:
    """A Coolify version; betas (``4.0.0-beta.470``) sort below the release of the same number."""

    major: int
    minor: int
    patch: int
    beta: int = _RELEASED

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read what ``GET /version`` answers: plain text without a leading v.

        :raises ApiError: when it is something else, for example the page of a proxy in between.
        """
        found = _VERSION.match(text.strip().strip('"'))
        if found is None:
            raise ApiError(
                "read Coolify's version: the answer is not a version number",
                code="unknown_version",
                hint="Check that coolify_api_url points to Coolify itself and not to a proxy's login page.",
            )
        major, minor, patch, beta = found.groups()
        return cls(int(major), int(minor), int(patch), int(beta) if beta else _RELEASED)

    def __str__(self) -> str:
        number = f"{self.major}.{self.minor}.{self.patch}"
        return number if self.beta == _RELEASED else f"{number}-beta.{self.beta}"

    @property
    def accepts_flags(self) -> bool:
        """Whether env rows can be written with all of their flags (4.0.0-beta.435)."""
        return self >= beta(435)

    @property
    def can_cancel(self) -> bool:
        """Whether a deployment can be cancelled over the API (4.0.0-beta.436)."""
        return self >= beta(436)

    @property
    def accepts_comment(self) -> bool:
        """Whether env rows have a comment over the API (4.0.0-beta.464); before, a single write of one is a 422."""
        return self >= beta(464)

    @property
    def reports_unknown_health(self) -> bool:
        """Whether an application without health check reads ``running:unknown`` (beta.445), not ``:unhealthy``."""
        return self >= beta(445)

    @property
    def hides_locked_values(self) -> bool:
        """Whether the value of a locked env row is never returned, whatever the token may do (4.2.0)."""
        return self >= Version(4, 2, 0)

    @property
    def can_roll_back(self) -> bool:
        """Whether ``POST /applications/{uuid}/rollback`` exists (4.3.0)."""
        return self >= Version(4, 3, 0)

    @property
    def lists_shared(self) -> bool:
        """Whether shared env rows of teams, projects, environments and servers can be read (4.3.0)."""
        return self >= Version(4, 3, 0)

    def require_flags(self, verb: str) -> None:
        """:raises Refused: where a write would lose flags of an env row, or be answered by an SQL error."""
        if not self.accepts_flags:
            raise Refused(
                f"{verb}: Coolify {self} cannot write an env row without losing its flags",
                code="version_too_old",
                hint=f"Upgrade Coolify to {beta(435)} or later, better to 4.0.0 or later, or change the row in its UI.",
            )

    def require_deployments(self, verb: str) -> None:
        """:raises Refused: where an application's deployments cannot be listed, so that none can be proven ours."""
        if self < beta(402):
            raise Refused(
                f"{verb}: Coolify {self} cannot list the deployments of an application",
                code="version_too_old",
                hint=f"Upgrade Coolify to {beta(435)} or later, better to 4.0.0 or later.",
            )


def beta(number: int) -> Version:
    """The beta of this number before 4.0.0."""
    return Version(4, 0, 0, number)
