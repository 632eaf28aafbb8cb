# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Salvage as a user does it: what a restore, or an undo, has lost is written down, read, and applied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.playbooks import Playbooks, Played
from tests.support.sandbox import Control
from tests.support.targets import Target, Targets, differences, text_of

QUICK: dict[str, Any] = {"rewind_soak_seconds": 1, "rewind_poll_seconds": 0.2}
KEPT = """CREATE TABLE "Kept" (id int PRIMARY KEY, note text, extra json);
INSERT INTO "Kept" VALUES (1, 'one', '{"a": 1}'), (2, 'two', NULL), (3, 'three', NULL), (4, 'four', NULL);
CREATE TABLE log (line text)"""
LOST = """INSERT INTO "Kept" VALUES (5, E'it''s\\nfive', '{"b":  2}');
UPDATE "Kept" SET note = 'two, changed' WHERE id = 2;
DELETE FROM "Kept" WHERE id = 3; UPDATE "Kept" SET note = 'old four' WHERE id = 4; INSERT INTO log VALUES ('lost')"""
MEANWHILE = """UPDATE "Kept" SET note = 'new four' WHERE id = 4; INSERT INTO "Kept" VALUES (6, 'six', NULL)"""
ALL = """SELECT string_agg(format('%s %s %s', id, note, extra), '; ' ORDER BY id) FROM "Kept" """
UNION = '1 one {"a": 1}; 2 two, changed ; 4 new four ; 5 it\'s\nfive {"b":  2}; 6 six '


def write(target: Target, script: str) -> None:
    """As the application does, on its primary."""
    with target.connect() as connection:
        connection.execute(script.encode())


def restored(playbooks: Playbooks, target: Target, strategy: str) -> str:
    """A restore to before what is lost, and what the application writes after it; the run."""
    write(target, KEPT)
    at = target.say("before")
    write(target, LOST)
    target.say("after")
    playbooks.restore(target=target.name, point_in_time=text_of(at), cutover=strategy, **QUICK).ok()
    write(target, MEANWHILE)
    folder = playbooks.state / "journal" / target.name
    return sorted(path.stem for path in folder.glob("*-restore-*.jsonl"))[-1]


def salvage(playbooks: Playbooks, target: Target, *options: str, **variables: Any) -> Played:
    return playbooks.play("playbooks/salvage.yml", *options, target=target.name, **variables)


def test_what_a_repoint_has_lost_is_written_down_and_applied(
    playbooks: Playbooks, control: Control, targets: Targets, tmp_path: Path
) -> None:
    """Given rows that were lost, then the file brings them back, keeps what is newer, and leaves nothing behind."""
    target = targets.make("lost")
    run = restored(playbooks, target, "repoint")
    branches, since = target.branches().keys(), control.last_request()
    out = tmp_path / "lost.sql"

    checked = salvage(playbooks, target, "--check", "--diff", out=str(out)).ok()
    assert {request["method"] for request in control.requests(since)} == {"GET"}
    assert run in checked.text and "possible until" in checked.text
    assert not out.exists()

    primary = target.branches()["main"]["id"]
    fence = [item["disabled"] for item in target.endpoints(primary)]
    played = salvage(playbooks, target, "-vvvv", "--diff", out=str(out)).ok()
    assert "it has no primary key (0 rows at the restore point, 1 on the old side)" in played.text
    assert "of them in conflict" in played.text
    assert "old four" not in played.stdout, "no value of a row is shown"
    assert target.branches().keys() == branches, "its own branches are gone"
    assert [item["disabled"] for item in target.endpoints(primary)] == fence == [True]
    assert out.stat().st_mode & 0o777 == 0o600
    text = out.read_text(encoding="utf-8")
    assert '-- CONFLICT public."Kept" "id" = \'4\': changed on both sides' in text
    for _time in range(2):
        write(target, text)
        assert target.ask(ALL) == UNION
    assert target.served() == "after", "the old side's text came with it"

    fault = {"status": 422, "body": {"message": "not now"}, "count": 100}
    control.fault("status", service="neon", method="DELETE", path="/branches/", **fault)
    failed = salvage(playbooks, target).failed()
    assert "A branch of this salvage could not be deleted" in failed.message
    kept = playbooks.state / "salvages" / target.name
    assert [path.suffix for path in kept.iterdir()] == [".sql"] and kept.stat().st_mode & 0o777 == 0o700
    folder = playbooks.state / "journal" / target.name
    run = next(kept.iterdir()).stem
    lines = map(json.loads, (folder / f"{run}.jsonl").read_text(encoding="utf-8").splitlines())
    draft = Path(next(line["data"]["draft"] for line in lines if "draft" in line.get("data", {})))
    assert draft.parent == kept and not draft.exists()
    draft.mkdir()
    (draft / "0.sql").write_text("what a kill had left", encoding="utf-8")
    left = target.branches().keys() - branches
    assert len(left) == 2 and all(target.branches()[name]["expires_at"] for name in left), "a backstop"
    control.calm()

    refused = salvage(playbooks, target, out=str(tmp_path / "no" / "folder.sql")).failed()
    assert "does not exist or cannot be written" in refused.message
    assert target.branches().keys() == branches, "what the one before had left is gone, though this one was refused"
    assert not draft.exists()

    again = salvage(playbooks, target, out=str(out)).failed()
    assert "a file with another content is there" in again.message, "what was applied is no longer missing"
    assert target.branches().keys() == branches
    ends = [json.loads(path.read_text().splitlines()[-1]) for path in sorted(folder.glob("*-salvage-*.jsonl"))]
    assert [item["data"]["status"] for item in ends] == ["done", "failed", "failed", "failed"]
    assert "was killed" in json.dumps(ends[1]["error"])


@pytest.mark.long
def test_what_an_undo_loses_is_written_down(playbooks: Playbooks, targets: Targets, tmp_path: Path) -> None:
    """Given a restore in place that is taken back, then what was written after it can be applied to the old state."""
    target = targets.make("undone")
    run = restored(playbooks, target, "in_place")
    out = tmp_path / "forward.sql"
    salvage(playbooks, target, out=str(out)).ok()
    assert "-- CONFLICT " in out.read_text(encoding="utf-8")

    undo = {"target": target.name, **QUICK}
    refused = playbooks.play("playbooks/undo.yml", **undo).failed()
    assert "-e salvage=FILE" in refused.message
    before = target.everything()
    nowhere = playbooks.play("playbooks/undo.yml", **undo, accept_loss=True, salvage="/no/such/folder/x.sql").failed()
    assert "does not exist or cannot be written" in nowhere.message
    assert differences(before, target.everything()) == []

    branches = target.branches().keys()
    played = playbooks.play("playbooks/undo.yml", **undo, accept_loss=True, salvage=True).ok()
    assert target.served() == "after"
    (out,) = (playbooks.state / "salvages" / target.name).glob("*.sql")
    assert out.name in played.text
    assert not [name for name in target.branches().keys() - branches if name.startswith("salvage")]
    write(target, out.read_text(encoding="utf-8"))
    assert target.ask('SELECT note FROM "Kept" WHERE id = 6') == "six"
    assert target.ask('SELECT note FROM "Kept" WHERE id = 4') == "old four", "the old state has it changed too"
    journal = (playbooks.state / "journal" / target.name / f"{run}.jsonl").read_text(encoding="utf-8")
    assert json.loads(journal.splitlines()[-1])["data"]["status"] == "undone"
