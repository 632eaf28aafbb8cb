# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans: every strategy side by side, kept as a file, and held to what then happens in the sandbox."""

from __future__ import annotations

import json
import random
import re
import stat
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.playbooks import Playbooks, Played
from tests.support.sandbox import Control, wait_for
from tests.support.targets import Target, Targets, differences, text_of, without_probes

Json = dict[str, Any]
STRATEGIES = ("repoint", "in_place", "snapshot")
_KEPT = re.compile(r"rollback-\d{8}-\d{6}")


def plan(playbooks: Playbooks, *options: str, **variables: Any) -> Played:
    """``playbooks/plan.yml``."""
    return playbooks.play("playbooks/plan.yml", *options, **variables)


def shown_of(played: Played, target: str) -> list[str]:
    """The lines of the plan as the terminal has them."""
    return played.stdout.partition(f"the plan of {target}]")[2].partition("TASK [")[0].splitlines()[1:]


def offers_of(file: Path) -> dict[str, Json]:
    """The strategies in a plan's file, by name."""
    found = json.loads(file.read_text(encoding="utf-8"))["comparison"]["strategies"]
    return {item["strategy"]: item for item in found}


@dataclass
class Kept:
    """A target with a child and something to lose, its plan in a file, and what came of making that."""

    target: Target
    folder: Path
    played: Played
    asked: list[Json]
    differing: list[str]


@pytest.fixture(scope="module")
def kept(playbooks: Playbooks, targets: Targets, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Made once."""
    target, folder = targets.make("shop"), tmp_path_factory.mktemp("plans")
    target.make_branch("dev")
    at = target.say("good")
    target.say("spoilt")
    before, since = target.everything(), targets.control.last_request()
    files = {"out": str(folder / "plan.json"), "html": str(folder / "plan.html"), "json": str(folder / "facts.json")}
    played = plan(playbooks, target="shop", point_in_time=text_of(at), **files).ok()
    asked = targets.control.requests(since)
    return Kept(target, folder, played, asked, differences(before, target.everything()))


def test_all_strategies_are_shown_side_by_side_within_80_columns(kept: Kept) -> None:
    """Given a target and an instant, then the terminal has a column and the steps of every strategy."""
    lines = shown_of(kept.played, "shop")
    assert lines and max(map(len, lines)) <= 80
    for wanted in ("recommended:   in_place", "in_place *", "Not brought back by any", "branches now:"):
        assert any(wanted in line for line in lines), wanted
    assert sum("9. Record." in line for line in lines) == len(STRATEGIES)


def test_making_a_plan_only_reads(playbooks: Playbooks, kept: Kept) -> None:
    """Given a plan that was made and kept, then only GET was sent, and no lock or journal was written."""
    assert kept.asked and {request["method"] for request in kept.asked} == {"GET"}
    assert kept.differing == [] and kept.played.changed == 0
    assert not list((playbooks.state / "locks").glob("*")) and not (playbooks.state / "journal" / "shop").exists()


def test_the_page_the_facts_and_the_file_have_every_strategy(kept: Kept) -> None:
    """Given -e html, json and out, then each is there, whole, and for its owner only."""
    for name in ("plan.json", "plan.html", "facts.json"):
        assert stat.S_IMODE((kept.folder / name).stat().st_mode) == 0o600, name
    offers = offers_of(kept.folder / "plan.json")
    assert list(offers) == list(STRATEGIES) and all(item["possible"] for item in offers.values())
    page = (kept.folder / "plan.html").read_text(encoding="utf-8")
    assert "All strategies side by side" in page and all(f'id="strategy-{name}"' in page for name in STRATEGIES)
    facts = json.loads((kept.folder / "facts.json").read_text(encoding="utf-8"))
    assert facts["comparison"]["recommended"]["strategy"] == "in_place"
    assert f"-e plan={kept.folder / 'plan.json'}" in kept.played.text


def test_a_plan_is_refused_when_facts_have_changed_and_each_is_said(
    playbooks: Playbooks, control: Control, targets: Targets, kept: Kept
) -> None:
    """Given another primary, another row and another commit since, then one list says what each was and is."""
    target, main = kept.target, kept.target.primary()
    made = target.make_branch("qa", compute=True)
    row = {"key": target.key, "value": target.uri(made["id"]), "is_preview": False, "is_literal": True}
    assert target.coolify.patch(f"/applications/{target.application}/envs", json=row).is_success
    old = target.status()["commit"]
    control.call("POST", f"/repositories/{target.application}/push", {"commit": "bad_migration"})
    assert target.coolify.post("/deploy", params={"uuid": target.application}).is_success
    wait_for(lambda: target.deployments()[0]["status"] == "finished", seconds=120, what="the deployment")
    new = target.status()["commit"]
    assert new != old
    wait_for(lambda: target.shown_status() == "running:healthy", seconds=60, what="a healthy status")
    since, before = control.last_request(), target.everything()
    refused = playbooks.restore(target="shop", plan=str(kept.folder / "plan.json")).failed()
    assert without_probes(targets.writes(since)) == [] and differences(before, target.everything()) == []
    assert f"the commit that is running has changed: it was {old}, it is {new}." in refused.message
    assert f"the primary has changed: it was main {main['id']}, it is qa {made['id']}." in refused.message
    assert f"the row {target.key} has changed: it was {main_host(target, main)}" in refused.message


def main_host(target: Target, branch: Json) -> str:
    """The host of a branch's compute."""
    return str(target.endpoints(branch["id"])[0]["host"])


# What was predicted, and what then came of it


@dataclass
class World:
    """A target whose branches and rows were made at random, and the instant to go back to."""

    target: Target
    at: datetime
    rows: dict[str, Counter[str]] = field(default_factory=dict)


def rows_of(target: Target) -> dict[str, Counter[str]]:
    """The rows of each table of the primary, as text, read by the test itself."""
    with target.connect() as session:
        found = session.execute(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(relname) FROM pg_stat_user_tables ORDER BY 1"
        ).fetchall()
        return {
            name: Counter(text for (text,) in session.execute(f"SELECT t::text FROM {name} t".encode()).fetchall())
            for (name,) in found
        }


def generated(targets: Targets, name: str, rng: random.Random) -> World:
    """Branches at random depths, from before and after the restore point, and rows that come and go around it."""
    target = targets.make(name, rows=20)
    main = target.primary()["id"]
    with target.connect() as session:
        session.execute("CREATE TABLE things (id int PRIMARY KEY, name text)")
        session.execute("CREATE TABLE gone (id int PRIMARY KEY)")
        session.execute("CREATE TABLE mixed (id int PRIMARY KEY, name text)")
        session.execute("INSERT INTO mixed SELECT n, 'x' FROM generate_series(1, 60) n")
        session.execute(f"INSERT INTO things SELECT n, 'x' FROM generate_series(1, {rng.randint(5, 50)}) n".encode())
        session.execute(f"INSERT INTO gone SELECT n FROM generate_series(1, {rng.randint(5, 50)}) n".encode())
    parents = [main]
    for number in range(rng.randint(0, 2)):
        parents.append(target.make_branch(f"early-{number}", parent_id=rng.choice(parents))["id"])
    at = target.say("good")
    for number in range(rng.randint(1, 3)):
        parents.append(target.make_branch(f"late-{number}", parent_id=rng.choice(parents))["id"])
    with target.connect() as session:
        session.execute(
            f"INSERT INTO things SELECT n, 'y' FROM generate_series(100, {rng.randint(101, 150)}) n".encode()
        )
        session.execute(f"DELETE FROM gone WHERE id <= {rng.randint(1, 5)}".encode())
        exchanged = rng.randint(0, 9)
        for statement in (
            f"INSERT INTO mixed SELECT n, 'z' FROM generate_series(101, {100 + exchanged}) n",
            f"DELETE FROM mixed WHERE id <= {rng.choice([exchanged, rng.randint(0, 9)])}",
            f"UPDATE mixed SET name = 'y' WHERE id BETWEEN 20 AND {rng.randint(20, 50)}",
        ):
            session.execute(statement.encode())
    target.say("spoilt")
    return World(target, at, rows_of(target))


def check_losses(said: Json, before: dict[str, Counter[str]], after: dict[str, Counter[str]]) -> None:
    """The plan promises no less than it says of each table, just that where it is exact, and names what has changed."""
    assert {item["table"] for item in said["tables"]} == {*before, *after}
    for item in said["tables"]:
        here, there = (side.get(item["table"], Counter()) for side in (before, after))
        lost, back = (here - there).total(), (there - here).total()
        assert item["lost"] <= lost and item["restored"] <= back, item
        assert item["lost"] >= max(here.total() - there.total(), 0), item
        assert (item["table"] in said["tables_changed"]) is (here != there), item
        if item["exact"]:
            assert (item["lost"], item["restored"]) == (lost, back), item
        elif here.total() == there.total():
            assert item["lost"] and item["restored"], item


def tree_of(rows: list[Json]) -> dict[str, str | None]:
    """The names of a drawn tree with the names of their parents."""
    names = {row["id"]: _plain(row["name"]) for row in rows}
    return {_plain(row["name"]): names.get(row["parent_id"]) for row in rows}


def tree_now(target: Target) -> dict[str, str | None]:
    """The same of the branches that there are."""
    found = target.branches().values()
    names = {item["id"]: _plain(item["name"]) for item in found}
    return {_plain(item["name"]): names.get(item.get("parent_id", "")) for item in found}


def _plain(name: str) -> str:
    """The branch with the old state carries the start of its run, which a plan made before cannot know."""
    return _KEPT.sub("rollback", name)


def delete(target: Target, branch: Json) -> bool:
    """Tries to delete a branch, as a person does; whether Neon did it."""
    for endpoint in target.endpoints(branch["id"]):
        target.neon.delete(f"/projects/{target.project}/endpoints/{endpoint['id']}")
        target.settle()
    done: bool = target.neon.delete(f"/projects/{target.project}/branches/{branch['id']}").is_success
    target.settle()
    return done


def what_stays(target: Target) -> set[str]:
    """Deletes whatever can be deleted but the primary, leaves first; the names of what is left."""
    primary = target.primary()["id"]
    while any(delete(target, item) for item in target.branches().values() if item["id"] != primary):
        pass
    return {_plain(name) for name in target.branches()}


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["repoint", "in_place", "snapshot"])
@pytest.mark.parametrize("number", range(5))
def test_what_a_plan_predicts_is_what_then_happens(
    playbooks: Playbooks, targets: Targets, seed: int, strategy: str, number: int, tmp_path: Path
) -> None:
    """Given a generated tree, then a restore by its plan leaves the tree that it predicts, loses the rows that it says,
    and what it calls undeletable is refused by Neon, and nothing else stays for good."""
    rng = random.Random(f"{seed}:{strategy}:{number}")
    world = generated(targets, f"{strategy.replace('_', '-')}-{number}", rng)
    target, file, shown = world.target, tmp_path / "plan.json", tmp_path / "facts.json"
    files = {"out": str(file), "json": str(shown)}
    plan(playbooks, target=target.name, point_in_time=text_of(world.at), cutover=strategy, **files).ok()
    predicted = offers_of(file)[strategy]
    assert tree_of(predicted["tree_before"]) == tree_now(target)

    playbooks.restore(target=target.name, plan=str(file)).ok()
    assert target.served() == "good"
    assert tree_now(target) == tree_of(predicted["tree_after"]), f"seed {seed}"
    losses = json.loads(shown.read_text(encoding="utf-8"))["plan"]["losses"]
    check_losses(losses, world.rows, rows_of(target))
    if strategy == "in_place":
        # The reset of the primary is what the restore itself has changed.
        assert playbooks.restore(target=target.name, plan=str(file)).ok().changed == 0

    branches = {_plain(name): item for name, item in target.branches().items()}
    undeletable = {_plain(item["name"]): item["why"] for item in predicted["undeletable_afterwards"]}
    for name in undeletable:
        path = f"/projects/{target.project}/branches/{branches[name]['id']}"
        assert not target.neon.delete(path).is_success, f"{name} could be deleted (seed {seed})"
    for_good = {name for name, why in undeletable.items() if "stays an ancestor" in why}
    primary = _plain(target.primary()["name"])
    assert what_stays(target) == {primary, *for_good}, f"seed {seed}"
