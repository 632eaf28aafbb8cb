# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""After a restore that was taken back: nothing is watched, and its record goes on in the run that said to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rewind.database.tests.unit.stubbed_roles import Story, StubbedRoles, Told

Json = dict[str, Any]
RESTORE, FIRST, NEXT = (
    f"20250113T1{n}0000Z-{verb}-0a1b2c" for n, verb in enumerate(("restore", "incident", "incident"))
)
TOLD = [{"name": "mail", "kind": "mail", "ok": True, "why": ""}]
MISSED = [{**TOLD[0], "ok": False, "why": "The mail server refused boss@example.com"}]


@pytest.fixture
def roles(tmp_path: Path) -> StubbedRoles:
    return StubbedRoles(tmp_path)


def restored(status: str, *said: str, notifications: list[Json] | None = None, what: str = "undone") -> Story:
    """A restore that ended so, the answers that the first incident has recorded, and what follows now."""
    known = [{"restore": RESTORE, "run": FIRST, "answer": answer, "notifications": notifications} for answer in said]
    plan: Json = {
        **{name: [] for name in ("text", "problems", "warnings", "reasons", "timeline", "counts", "next")},
        "already_done": {"done": False, "why": ""},
        "title": "tracker",
        "answer": "good" if what == "close" else "bad",
        "act": {"what": what, "why": "", "undo_command": ""},
        "restored": {"run": RESTORE, "restore_point": "2025-01-13T14:25:00Z", "backup": None, "branch_id": "br-1"},
        "interval_lost": {"text": "27 min"},
        "notice": {"subject": "", "text": "", "held": False},
        "review": {"at": "2025-01-15T10:00:00Z", "calendar": "BEGIN:VCALENDAR", "method": "REQUEST"},
        "messages": {"mail": {"subject": "tracker", "body": "tracker"}},
        "watch": {"since": "2025-01-13T14:52:20Z", "until": "2025-01-13T15:52:20Z"},
        "record": {"restore": RESTORE, "answer": "good" if what == "close" else "undone"},
    }

    def run(name: str) -> Json:
        return {"run": {"id": name, "path": f"/state/journal/tracker/{name}.jsonl", "steps": {}, "status": status}}

    written = {"written": True, "html": "x.html", "files": {"notice.txt": "notice.txt", "review.ics": "review.ics"}}
    return Story(
        {
            "incident_target": "tracker",
            "rewind_neon_project_id": "p1",
            "rewind_coolify_application": "a1",
            "incident_auto_undo": True,
            "incident_mail": {"host": "mail.example.com", "sender": "ops@example.com", "to": ["boss@example.com"]},
        },
        {
            "run_lock take": {"run": NEXT, "locks": []},
            "run_journal read": run(RESTORE),
            "run_journal unfinished": {"unfinished": []},
            "run_journal reopen": run(FIRST),
            "run_journal start": run(FIRST),
            "run_record": {"records": known},
            "incident_plan": {"plan": plan},
            "incident_watch": {"watch": {"answer": "good"}},
            "postgres_manifest": {"written": {"rows": None}},
            "mail_message": {"told": ["boss@example.com"], "refused": {}},
            "run_report": {"report": written},
        },
    )


def goes_on_with(told: Told) -> tuple[list[str], str]:
    """The run that was opened again, and the one that this is."""
    opened = [args["run"] for args in told.called("run_journal", action="reopen")]
    (begun,) = told.called("run_journal", action="start")
    return opened, str(begun["run"])


def test_what_was_taken_back_is_recorded_and_not_watched(roles: StubbedRoles) -> None:
    """Given an undo by hand, then its notice and record are written once more, in the run that said bad if there is."""
    ended = roles.tell(
        "incident",
        "main",
        {
            "after bad": restored("undone", "bad"),
            "never looked at": restored("undone"),
            "good before": restored("undone", "good", notifications=MISSED),
            "told to some": restored("undone", "bad", "undone", notifications=MISSED),
            "stands": restored("done", "bad", what="close"),
        },
        result="incident_result",
    )
    for name, story in ended.items():
        assert story.message == "", name
        assert bool(story.called("incident_watch")) == (name == "stands"), name
        assert not story.called("postgres_manifest"), "what is not in use is not counted"
        assert story.called("run_record", log="incidents")[-1]["record"]["restore"] == RESTORE
        assert story.shown["result"]["outcome"] == ("close" if name == "stands" else "undone")
    assert {name: goes_on_with(story) for name, story in ended.items()} == {
        "after bad": ([FIRST], FIRST),
        "never looked at": ([], NEXT),
        "good before": ([], NEXT),
        "told to some": ([FIRST], FIRST),
        "stands": ([], NEXT),
    }
    unsent = {name: story.called("incident_plan")[0]["request"]["unsent"] for name, story in ended.items()}
    assert [name for name, names in unsent.items() if names] == ["told to some"], "only that one is closed"


def test_a_check_of_what_was_taken_back_opens_no_journal_again(roles: StubbedRoles) -> None:
    """Given --check, then it is shown what would be written, and the run that said bad stays ended."""
    roles.options = ["--check"]
    (story,) = roles.tell("incident", "main", {"after bad": restored("undone", "bad")}).values()
    assert story.message == "" and goes_on_with(story) == ([], NEXT) and not story.called("incident_watch")


def test_the_invitation_goes_out_as_what_it_is(roles: StubbedRoles) -> None:
    """Given a mail, then the type of the invitation has its method, and the plan knows who sends it."""
    (story,) = roles.tell("incident", "main", {"good": restored("done", what="close")}).values()
    (sent,) = story.called("mail_message")
    assert sent["attachments"][0]["content_type"] == "text/calendar; method=REQUEST; charset=utf-8"
    assert story.called("incident_plan")[0]["request"]["sender"] == "ops@example.com"
