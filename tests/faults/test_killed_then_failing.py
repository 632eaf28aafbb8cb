# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a kill, things that keep the next run from going on must not make it forget what was begun."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Tell
from tests.faults.killing import Point


@pytest.mark.parametrize(
    ("strategy", "step"),
    [
        pytest.param("repoint", "env", marks=pytest.mark.long),
        pytest.param("in_place", "delete_preview", marks=pytest.mark.long),
    ],
)
def test_when_the_next_run_cannot_even_begin_then_the_one_after_it_still_finishes(
    tell: Tell, strategy: str, step: str
) -> None:
    """Given a killed cutover and a next run whose token is refused, the run after that goes on with the first."""
    story = tell(strategy)
    story.crash_at(Point(step, "done"))
    refused = story.restore(rewind_neon_api_key="napi_" + "x1" * 30).failed()
    assert "neon_api_key" in refused.message
    story.restore().ok()
    story.assert_restored()


def test_when_only_ansible_playbook_itself_is_killed_then_its_worker_ends_too(tell: Tell) -> None:
    """Given kill -9 of ansible-playbook's process alone, nothing goes on writing behind the next run's back."""
    story = tell("repoint")
    process = story.start()
    process.wait_until(lambda: Point("deploy").stands_in(story.lines()), "the line of deploy")
    workers = process.workers()
    assert workers
    process.kill()
    story.wait_for_end_of(workers)
    assert not Point("deploy", "done").stands_in(story.lines())
    story.restore().ok()
    story.assert_restored()


def test_when_other_inputs_are_given_after_a_kill_then_it_stops_and_says_what_to_do(tell: Tell) -> None:
    """Given a killed cutover, a restore with other inputs writes nothing and names the run and both ways on."""
    story = tell("repoint")
    story.crash_at(Point("fence_writes", "done"))
    since = story.control.last_request()
    refused = story.restore(cutover="in_place").failed()
    run = story.journals()[0][0]["run"]
    assert run in refused.message
    assert "same inputs" in refused.message
    assert f"playbooks/undo.yml -e run={run}" in refused.message
    assert story.writes(since) == []
    story.restore().ok()
    assert story.state() == story.good
    story.assert_settled()
