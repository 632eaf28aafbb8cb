# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restore point leaves the history window while a restore is on its way to it (rule 4)."""

from __future__ import annotations

import re

from tests.faults.conftest import Tell
from tests.faults.killing import Point


def test_when_the_point_leaves_the_window_before_a_restore_in_place_then_its_preview_is_offered_and_serves(
    tell: Tell,
) -> None:
    """Given a verified preview and a window that has become too short, nothing is changed, and the offer works."""
    story = tell("in_place")
    verified = Point("verify", "done")
    running = story.start()
    running.wait_until(lambda: verified.stands_in(story.lines()), "the preview is verified")
    body = {"project": {"history_retention_seconds": 1}}
    story.target.neon.patch(f"/projects/{story.target.project}", json=body).raise_for_status()
    assert running.wait() == 2
    assert "has left the history window" in running.text
    assert story.state() == story.spoilt
    assert story.locks() == []
    (preview,) = [name for name in story.target.branches() if name.startswith("preview-")]

    # What is offered is what a person copies.
    offer = re.search(r"ansible-playbook(?: -i \S+)* playbooks/restore\.yml((?: -e \S+=\S+)+)", running.text)
    assert offer is not None, running.text[-2000:]
    given = dict(pair.split("=", 1) for pair in re.findall(r"-e (\S+)", offer[1]))
    assert given == {"target": story.target.name, "backup": preview, "cutover": "repoint"}
    story.restore(point_in_time="", **given).ok()

    assert story.state() == story.good
    assert story.target.stored() == story.good[0]
    branches = story.target.branches()
    primary = story.target.primary()
    assert primary["name"].startswith("restore-")
    assert primary["parent_id"] == branches[preview]["id"]
    # It has become a parent, which must not expire.
    assert branches[preview].get("expires_at") is None
    assert story.target.web.post("/api/progress", json={}).status_code == 201
