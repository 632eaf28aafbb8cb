# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The preview of a restore in place that the history window has overtaken: it can be named as a backup (rule 4)."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.rewind.database.tests.unit.plan_world import MAIN, POINT, World, branch, codes


@pytest.mark.parametrize(
    "unfit",
    [{}, {"annotations": {}}, {"name": "look-20250113-142500"}, {"used": True}],
    ids=["verified", "not ours", "no preview", "was in use"],
)
def test_a_preview_that_outlives_the_window_can_be_named_as_a_backup(unfit: dict[str, Any]) -> None:
    """Given the preview of a restore in place, its name restores from it; `latest` and a stranger's branch do not."""
    world = World()
    more = {"annotations": {"tool": "rewind.database", "purpose": "preview"}, **unfit}
    name = str(more.pop("name", "preview-20250113-142500"))
    if more.pop("used", False):
        world.records.append({"event": "used", "branch_id": "br-preview"})
    world.add(branch("br-preview", name, parent_id=MAIN, parent_timestamp=POINT, parent_lsn="0/2000001", **more))
    made = world.plan(backup=name, cutover="repoint")
    if unfit:
        assert codes(made) == ["backup_unknown"]
    else:
        assert made["problems"] == []
        assert made["source"]["branch_id"] == "br-preview" and made["source"]["head"]
        assert made["restore_point"]["utc"] == POINT
    assert codes(world.plan(backup="latest")) == ["backup_unknown"]
