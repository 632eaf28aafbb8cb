# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When an application counts as healthy after a deployment.

Coolify's status is a cache. Right after a good rolling update the job writes ``running``, which reads as
``running:unhealthy`` until the next look at the container (up to 60 s); a container that is still starting may read as
``running:healthy``; and while the server cannot be reached the old status stays. So one reading proves nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Any

from .versions import Version


class Verdict(Enum):
    """What one reading says."""

    GOOD = "good"
    TOLERATED = "tolerated"
    BAD = "bad"


@dataclasses.dataclass(frozen=True)
class Reading:
    """One look at an application."""

    status: str
    reachable: bool | None
    checked: bool
    probe: bool | None = None

    @classmethod
    def read(cls, body: Mapping[str, Any], probe: bool | None = None) -> Reading:
        """`checked` is whether a health check exists: set up in Coolify, or found in the Dockerfile."""
        server = body.get("server_status")
        return cls(
            status=str(body.get("status") or ""),
            reachable=None if server is None else bool(server),
            checked=bool(body.get("health_check_enabled")) or bool(body.get("custom_healthcheck_found")),
            probe=probe,
        )

    @property
    def state(self) -> str:
        """``running``, ``starting``, ``restarting``, ``degraded``, ``paused``, ``exited``, ``removing``..."""
        return self.status.partition(":")[0]

    @property
    def health(self) -> str | None:
        """``healthy``, ``unhealthy``, ``unknown``, or None where the status does not say."""
        return self.status.split(":")[1] if ":" in self.status else None

    def public(self) -> dict[str, Any]:
        return {"status": self.status, "health": self.health, "server_reachable": self.reachable, "probe": self.probe}


@dataclasses.dataclass(frozen=True)
class HealthRule:
    """What it takes.

    :param soak: seconds for which every reading must be good.
    :param readings: how many good readings in a row at least.
    :param grace: seconds after the end of the deployment during which ``running:unhealthy`` is waited out.
    :param patience: how many bad readings in a row end the wait, when they last for `bad_seconds`: a container that
        is not rolled over may read ``exited`` for a moment after the deployment has finished.
    """

    version: Version
    soak: float
    readings: int = 3
    grace: float = 90.0
    patience: int = 3
    bad_seconds: float = 10.0

    def judge(self, reading: Reading, since: float) -> Verdict:
        """Judge one reading, taken `since` seconds after the deployment ended."""
        if reading.reachable is False:
            # The status is an old one; neither good nor bad can be concluded from it.
            return Verdict.TOLERATED
        verdict = self._judge_status(reading, since)
        if verdict is Verdict.GOOD and reading.probe is False:
            return Verdict.TOLERATED if since < self.grace else Verdict.BAD
        return verdict

    def _judge_status(self, reading: Reading, since: float) -> Verdict:
        if reading.state == "starting":
            return Verdict.TOLERATED
        if reading.state != "running":
            return Verdict.BAD
        if reading.health == "healthy":
            return Verdict.GOOD
        # Without a check there is nothing to wait for. Before beta.445 such an application always reads unhealthy.
        if not reading.checked and (reading.health == "unknown" or not self.version.reports_unknown_health):
            return Verdict.GOOD
        return Verdict.TOLERATED if since < self.grace else Verdict.BAD


class Soak:
    """Consecutive readings: passed when good for long enough and often enough, failed when bad too often."""

    def __init__(self, rule: HealthRule) -> None:
        self._rule = rule
        self._good_since: float | None = None
        self._bad_since: float | None = None
        self.good = 0
        self.bad = 0

    def feed(self, reading: Reading, since: float) -> bool | None:
        """Take a reading, `since` seconds after the deployment ended: True passed, False failed, None not yet."""
        verdict = self._rule.judge(reading, since)
        if verdict is not Verdict.GOOD:
            self.good, self._good_since = 0, None
            if verdict is Verdict.BAD:
                return self._feed_bad(since)
            self._forget_bad()
            return None
        self._forget_bad()
        self.good += 1
        if self._good_since is None:
            self._good_since = since
        long_enough = since - self._good_since >= self._rule.soak
        return True if long_enough and self.good >= self._rule.readings else None

    def _feed_bad(self, since: float) -> bool | None:
        self.bad += 1
        if self._bad_since is None:
            self._bad_since = since
        lasting = since - self._bad_since >= self._rule.bad_seconds
        return False if lasting and self.bad >= self._rule.patience else None

    def _forget_bad(self) -> None:
        self.bad, self._bad_since = 0, None

    def good_for(self, since: float) -> float:
        """Seconds of unbroken good readings."""
        return 0.0 if self._good_since is None else since - self._good_since
