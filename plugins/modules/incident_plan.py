#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: incident_plan
short_description: Decide what follows a restore, and write what people are told
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Says which interval a restore has lost, what to watch and what to compare it with, what follows from what was seen,
    and drafts the notice to the users, the messages to the team and the invitation to the review.
  - Pure - it reads and writes nothing. It is made again whenever more is known.
  - It does not fail on problems. All of them are returned together in RV(plan.problems), each with what to do.
extends_documentation_fragment:
  - rewind.database.attributes.info
options:
  restore:
    description: The run of the restore, as RV(rewind.database.run_journal#module:run); empty where there is none.
    type: dict
  records:
    description: The catalogue, as M(rewind.database.run_record) returns it.
    type: list
    elements: dict
    default: []
  incidents:
    description: The log of incidents, as M(rewind.database.run_record) returns it.
    type: list
    elements: dict
    default: []
  watch:
    description: What was seen, as RV(rewind.database.incident_watch#module:watch).
    type: dict
  written:
    description:
      - What was written to the restored data since it was verified, as
        RV(rewind.database.postgres_manifest#module:written). Without it that is not known.
    type: dict
  undone_at:
    description:
      - When the restore was taken back by this run.
      - One that was taken back otherwise is known by O(restore) and O(records), and nothing of it need be watched.
    type: str
  request:
    description: What is asked for. What is empty counts as not given.
    type: dict
    required: true
    suboptions:
      target:
        description: The name of the target.
        type: str
        required: true
      environment:
        description: Its environment.
        type: str
        default: production
      now:
        description: The present instant, RFC 3339. The default is the clock of this machine.
        type: str
      run:
        description: The run that asks.
        type: str
      name:
        description: What the users call the application; by default the target.
        type: str
      soak:
        description: Seconds from the cutover on for which to watch.
        type: float
        default: 3600.0
      baseline_minutes:
        description: Minutes before the restore point with which the error rate is compared.
        type: float
        default: 60.0
      verdict:
        description: A person's own answer, V(good) or V(bad), instead of watching.
        type: str
      auto_undo:
        description: Take the restore back where the answer is bad.
        type: bool
        default: false
      undo_failed:
        description: Why that has failed in this run.
        type: str
      max_rows_written:
        description: Do that only while at most so many rows were written since the cutover.
        type: int
        default: 0
      confirm:
        description:
          - The target's name, or several, separated by commas. O(request.auto_undo) of a production target needs it.
        type: str
      again:
        description: Whether an incident that was closed is looked at again.
        type: bool
        default: false
      has_health:
        description: Whether a health address is watched.
        type: bool
        default: true
      watches_errors:
        description: Whether the error rate is watched.
        type: bool
        default: false
      contact:
        description: How users reach somebody, for the notice.
        type: str
      review_at:
        description: When the review is; by default so many working days later, at 10:00 UTC.
        type: str
      review_days:
        description: How many working days later.
        type: int
        default: 2
      review_minutes:
        description: How long it takes.
        type: int
        default: 60
      organizer:
        description: The mail address of who invites; by default that of O(request.sender).
        type: str
      sender:
        description: The address that mail comes from, C(name@example.com) or C(Name <name@example.com>).
        type: str
      attendees:
        description:
          - The mail addresses of who is invited. Where nobody is known who invites, they are in the description of the
            appointment only.
        type: list
        elements: str
        default: []
      report:
        description: Where the report is, for the messages.
        type: str
      unsent:
        description:
          - Whom the run that closed this incident did not reach. While there are such, it is not done, and what was
            answered then is the answer.
        type: list
        elements: str
        default: []
      notifications:
        description: Who was told - C(name), C(kind), C(ok), and C(why) where one was not.
        type: list
        elements: dict
        default: []
seealso:
  - module: rewind.database.incident_watch
"""

EXAMPLES = r"""
- name: Say what was lost, and draft what people are told
  rewind.database.incident_plan:
    restore: "{{ journal.run }}"
    records: "{{ catalogue.records }}"
    watch: "{{ watched.watch }}"
    request:
      target: tracker
      contact: help@example.com
  register: result
"""

RETURN = r"""
plan:
  description: The plan. What needs a restore that was found is null without one.
  returned: success
  type: dict
  contains:
    problems:
      description: Everything that stands in the way - C(code), C(message), C(what_to_do).
      type: list
      elements: dict
    warnings:
      description: What a person should know.
      type: list
      elements: str
    already_done:
      description: Whether this incident was closed before - C(done), C(why).
      type: dict
    restored:
      description: The restore - C(run), C(strategy), C(cutover), C(restore_point), C(backup), C(branch_id) and more.
      type: dict
    interval_lost:
      description: >-
        What was saved in it is lost - C(from), C(to), C(seconds), C(text), and C(exact) where the writes had been
        fenced.
      type: dict
    counts:
      description: >-
        Rows by table - C(table), C(before), C(lost), C(restored), C(after), C(exact). Unless it is C(exact), what is
        lost and restored is the least that it can be.
      type: list
      elements: dict
    watch:
      description: >-
        What to watch - C(since), C(until), C(seconds_left), and the time to compare with, C(baseline_since) and
        C(baseline_until).
      type: dict
    answer:
      description: V(good), V(bad) or V(not_enough_data). A restore that was taken back was V(bad).
      type: str
    reasons:
      description: Why.
      type: list
      elements: str
    act:
      description: >-
        What follows - C(what), one of V(close), V(hold), V(say_undo), V(undo) and V(undone), C(why), C(rows_written)
        and C(undo_command).
      type: dict
    title:
      description: The answer in one line.
      type: str
    next:
      description: What a person does next.
      type: list
      elements: str
    notice:
      description: >-
        The draft of the notice to the users - C(subject), C(text); C(held) while the restore is to be taken back, where
        they say why there is none yet.
      type: dict
    review:
      description: >-
        The review - C(at), C(until), and C(calendar), the text of an iCalendar file (RFC 5545), with its C(method),
        V(REQUEST) where somebody is invited, else V(PUBLISH), empty where it has no organizer.
      type: dict
    messages:
      description: The messages - C(json) and C(slack), bodies for webhooks, and C(mail) with C(subject) and C(body).
      type: dict
    timeline:
      description: What happened when, as a report's steps.
      type: list
      elements: dict
    record:
      description: The record for the log of incidents.
      type: dict
    text:
      description: All of it in a few lines.
      type: list
      elements: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._incident.plan import build
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "restore": {"type": "dict"},
        "records": {"type": "list", "elements": "dict", "default": []},
        "incidents": {"type": "list", "elements": "dict", "default": []},
        "watch": {"type": "dict"},
        "written": {"type": "dict"},
        "undone_at": {"type": "str"},
        "request": {
            "type": "dict",
            "required": True,
            "options": {
                "target": {"type": "str", "required": True},
                "environment": {"type": "str", "default": "production"},
                "now": {"type": "str"},
                "run": {"type": "str"},
                "name": {"type": "str"},
                "soak": {"type": "float", "default": 3600.0},
                "baseline_minutes": {"type": "float", "default": 60.0},
                "verdict": {"type": "str"},
                "auto_undo": {"type": "bool", "default": False},
                "undo_failed": {"type": "str"},
                "max_rows_written": {"type": "int", "default": 0},
                "confirm": {"type": "str"},
                "again": {"type": "bool", "default": False},
                "has_health": {"type": "bool", "default": True},
                "watches_errors": {"type": "bool", "default": False},
                "contact": {"type": "str"},
                "review_at": {"type": "str"},
                "review_days": {"type": "int", "default": 2},
                "review_minutes": {"type": "int", "default": 60},
                "organizer": {"type": "str"},
                "sender": {"type": "str"},
                "attendees": {"type": "list", "elements": "str", "default": []},
                "report": {"type": "str"},
                "unsent": {"type": "list", "elements": "str", "default": []},
                "notifications": {"type": "list", "elements": "dict", "default": []},
            },
        },
    }
)


def run(task: Task) -> dict[str, Any]:
    """Make the plan."""
    return {"changed": False, "plan": build(task.params)}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
