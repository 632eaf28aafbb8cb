# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore by a plan's file, its controller killed after it has changed what the plan is bound to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.conftest import Tell
from tests.faults.killing import Point, inside

ENV = inside("coolify", "PATCH", "/applications/(?!rewind0probe)[^/]+/envs/bulk$")
RESTORE = inside("neon", "POST", "/restore$")

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    ("strategy", "point"),
    [
        ("repoint", Point("env", fault=ENV("hang_after"))),
        ("repoint", Point("plan")),
        ("in_place", Point("restore", fault=RESTORE("hang_after"))),
    ],
    ids=str,
)
def test_the_same_command_goes_on_with_the_same_file(tell: Tell, strategy: str, point: Point, tmp_path: Path) -> None:
    """Given a killed restore by a plan, then what it has changed itself does not count as changed, and it ends well."""
    story = tell(strategy)
    file = str(tmp_path / "plan.json")
    story.playbooks.play("playbooks/plan.yml", **story.variables, **story.inputs, out=file).ok()
    story.inputs = {"plan": file}
    story.crash_at(point)
    story.restore().ok()
    story.assert_restored()
