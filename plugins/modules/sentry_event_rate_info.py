#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sentry_event_rate_info
short_description: Read how many events a minute a project of Sentry has received
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Counts the events of a project between two instants, and says how many that are in a minute.
  - Only buckets of time that lie between the instants as a whole and that have settled are counted. Where there is none
    yet, RV(rate.per_minute) is null, which is not the same as no events.
  - Sentry names buckets without events too, so one that is missing in its answer is not known, and the task fails.
  - Read from U(https://docs.sentry.io/api/projects/get-project-stats/).
extends_documentation_fragment:
  - rewind.database.sentry
  - rewind.database.attributes.info
options:
  organization:
    description: The slug or the id of the organization.
    type: str
    required: true
  project:
    description: The slug or the id of the project.
    type: str
    required: true
  since:
    description: The beginning, in any form that M(rewind.database.restore_plan) takes for a restore point.
    type: str
    required: true
  until:
    description: The end; by default now.
    type: str
  stat:
    description:
      - Which events. V(received) counts all that the application sent, also those that Sentry then dropped because a
        quota was used up; V(generated) counts those that it kept.
    type: str
    choices: [received, generated, rejected, blacklisted]
    default: received
  resolution:
    description:
      - How long a bucket is. Sentry keeps V(10s) for a shorter time than the others.
    type: str
    choices: [10s, 1h, 1d]
    default: 10s
  settle:
    description: Seconds that an event may take until it is counted; newer buckets are left out.
    type: float
    default: 60.0
seealso:
  - module: rewind.database.incident_watch
"""

EXAMPLES = r"""
- name: How many errors a minute before the incident
  rewind.database.sentry_event_rate_info:
    organization: acme
    project: tracker
    since: "2025-01-13T13:25:00Z"
    until: "2025-01-13T14:25:00Z"
  register: before

- name: Show it
  ansible.builtin.debug:
    var: before.rate.per_minute
"""

RETURN = r"""
rate:
  description: The events of the time.
  returned: success
  type: dict
  contains:
    since:
      description: Where the first bucket begins that was counted.
      type: str
    until:
      description: Where the last one ends.
      type: str
    complete:
      description: Whether the buckets reach as far as was asked for, or the newest had not settled.
      type: bool
    events:
      description: The events in them.
      type: int
    minutes:
      description: How long they are together.
      type: float
    per_minute:
      description: Events a minute; null where no bucket is whole and settled.
      type: float
buckets:
  description: The buckets that have events, oldest first - C(at), C(events).
  returned: success
  type: list
  elements: dict
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from datetime import UTC, datetime
from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._options import SENTRY
from ansible_collections.rewind.database.plugins.module_utils._sentry.client import SECONDS, client_for
from ansible_collections.rewind.database.plugins.module_utils._sentry.rate import read_rate, whole_buckets
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module
from ansible_collections.rewind.database.plugins.module_utils._time import parse_instant, rfc3339, utc_now

SPEC = Spec(
    arguments={
        "organization": {"type": "str", "required": True},
        "project": {"type": "str", "required": True},
        "since": {"type": "str", "required": True},
        "until": {"type": "str"},
        "stat": {"type": "str", "choices": ["received", "generated", "rejected", "blacklisted"], "default": "received"},
        "resolution": {"type": "str", "choices": list(SECONDS), "default": "10s"},
        "settle": {"type": "float", "default": 60.0},
    }
).merge(SENTRY)


def run(task: Task) -> dict[str, Any]:
    """Read the rate."""
    params, now = task.params, utc_now()
    since = parse_instant(params["since"], now=now)
    until = parse_instant(params["until"], now=now, future=True) if params["until"] else now
    span = whole_buckets(since, until, resolution=params["resolution"], settle=params["settle"], now=now)
    found, counts = read_rate(
        client_for(task),
        params["organization"],
        params["project"],
        span,
        resolution=params["resolution"],
        stat=params["stat"],
    )
    shown = [{"at": rfc3339(datetime.fromtimestamp(at, UTC)), "events": count} for at, count in counts.items() if count]
    return {"changed": False, "rate": found, "buckets": shown}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
