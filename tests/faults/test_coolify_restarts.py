# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Coolify restarts in the middle of a cutover, and marks what was under way as failed."""

from __future__ import annotations

from tests.faults.conftest import Tell
from tests.faults.killing import Point
from tests.support.sandbox import SandboxProcess, wait_for


def test_when_coolify_restarts_while_it_deploys_then_the_cutover_is_taken_back(
    tell: Tell, sandbox: SandboxProcess
) -> None:
    """Given a deployment under way when everything is killed and started again, the run says failed and is undone."""
    story = tell("repoint")
    # The container takes long to create, so the deployment is under way when its Coolify goes.
    story.control.settings(coolify__start_seconds=60)
    process = story.start()
    process.wait_until(lambda: Point("deploy").stands_in(story.lines()), "the deployment")
    wait_for(
        lambda: any(item["status"] == "in_progress" for item in story.target.deployments()),
        seconds=60,
        what="a deployment under way",
    )
    sandbox.kill()
    sandbox.up(profile=None)
    assert process.wait() == 2, process.text[-3000:]
    assert "ended failed" in process.text
    assert "was taken back: the application serves" in process.text
    story.assert_taken_back()
    story.control = sandbox.control
    story.restore().ok()
    assert story.state() == story.good
