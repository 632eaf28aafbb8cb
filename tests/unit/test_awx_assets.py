# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What AWX and Automation Controller import: by their own client, and in agreement with the playbooks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from dateutil.rrule import rrulestr
from jinja2 import Environment, meta

from tests.support.awx import Awx, serving

CLONE = Path(__file__).resolve().parents[2]
ASSETS = CLONE / "awx"
PLAYBOOKS = sorted({path.stem for path in (CLONE / "playbooks").glob("*.yml")} - {"targets", "targets_report"})
APPROVED = {"restore", "promote", "undo", "cleanup"}
"""What nobody should start alone."""
LEFT_OUT = {
    "audit": {"json"},
    "predeploy": {"repository", "changes", "changed_files", "migrations"},
    "plan": {"out", "html", "json"},
    "restore": {"plan"},
    "salvage": {"out"},
}
"""Files and folders on the controller: a job has none of its own that lasts."""
OF_MANY = {"locked"}
"""Of runs over many targets: a job template that needs it gets it as an extra variable, as ``batches``."""
BESIDE = {"backup": {"backup_name"}}
"""Asked for by the role's own name, without a short one in the playbook."""
ENVIRONMENT = {
    "NEON_API_KEY",
    "COOLIFY_API_URL",
    "COOLIFY_ACCESS_TOKEN",
    "REWIND_OLD_CONNECTION_STRING",
    "SENTRY_AUTH_TOKEN",
    "REWIND_SMTP_PASSWORD",
}


def imported(awx: Awx, name: str) -> None:
    """Runs the real ``awx import``; any error of it fails the test."""
    with (ASSETS / f"{name}.yml").open(encoding="utf-8") as file:
        ended = subprocess.run(
            [str(Path(sys.executable).with_name("awx")), "-f", "yaml", "import"],
            stdin=file,
            capture_output=True,
            text=True,
            env={"PATH": os.environ["PATH"], "CONTROLLER_HOST": awx.url, "CONTROLLER_OAUTH_TOKEN": "none"},
            check=False,
        )
    assert (ended.returncode, ended.stderr.strip()) == (0, ""), f"{name}: {ended.stdout}{ended.stderr}"


@pytest.fixture(scope="module")
def awx() -> Iterator[Awx]:
    """An empty AWX into which the three files were imported, in the order that docs/teams.md says."""
    with serving(Awx()) as awx:
        for name in ("once", "assets", "workflows"):
            imported(awx, name)
        yield awx


def asked_for(playbook: str) -> set[str]:
    """The short ``-e`` names that a playbook maps to its role, and the target."""
    plays = yaml.safe_load((CLONE / "playbooks" / f"{playbook}.yml").read_text(encoding="utf-8"))
    texts = [str(value) for play in plays for task in play.get("tasks", []) for value in task.get("vars", {}).values()]
    # Ansible's filters are unknown to a bare environment, and only the names are wanted.
    names = meta.find_undeclared_variables(Environment().parse("".join(re.sub(r"\|\s*[\w.]+", "", t) for t in texts)))
    inner = {name for name in names if name.startswith(("rewind_", "__", "omit", "lookup", "query"))}
    return {"target"} | (names - inner - OF_MANY - LEFT_OUT.get(playbook, set())) | BESIDE.get(playbook, set())


def template(awx: Awx, playbook: str) -> dict[str, Any]:
    (found,) = [item for item in awx.all("job_templates") if item["playbook"] == f"{playbook}.yml"]
    return found


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_a_survey_asks_for_what_its_playbook_takes_and_for_nothing_else(awx: Awx, playbook: str) -> None:
    """Given a playbook, then it has a template whose survey and the playbook's own variables are the same."""
    questions = [item["variable"] for item in awx.survey(template(awx, playbook))]
    assert len(questions) == len(set(questions))
    assert set(questions) == asked_for(playbook), "the survey in awx/assets.yml and the playbook differ"


def test_no_template_is_left_over(awx: Awx) -> None:
    """Given the templates, then each runs a playbook of the project, by the image, and not twice at a time."""
    assert sorted(item["playbook"] for item in awx.all("job_templates")) == [f"{name}.yml" for name in PLAYBOOKS]
    reads = {"audit", "plan"}
    for item in awx.all("job_templates"):
        assert (ASSETS / "project" / item["playbook"]).is_file()
        assert item["allow_simultaneous"] == (Path(item["playbook"]).stem in reads), item["name"]
        assert item["ask_job_type_on_launch"], "a dry run can be chosen"
        assert item["survey_enabled"] and item["execution_environment"] and item["inventory"]
        assert len(awx.linked(item, "credentials")) == 1


def test_an_answer_that_is_not_given_is_never_an_empty_number(awx: Awx) -> None:
    """Given the questions, then numbers are numbers for AWX too, and defaults are answers that it accepts."""
    for item in [*awx.all("job_templates"), *awx.all("workflow_job_templates")]:
        for question in awx.survey(item):
            default = question.get("default")
            where = f"{item['name']}: {question['variable']}"
            assert question["question_name"] and len(question["question_description"]) > 10, where
            if question["type"] in ("integer", "float"):
                assert "default" not in question or isinstance(default, int | float), where
                assert question["required"] == ("default" in question), where
            elif question["type"] == "multiplechoice":
                assert default in question["choices"] and "" not in question["choices"], where
            else:
                assert question["type"] == "text" and isinstance(question.get("default", ""), str), where


def test_a_production_target_is_named_twice(awx: Awx) -> None:
    """Given what changes an application's data, then its survey cannot be sent off without the explicit yes."""
    for name in ("restore", "promote", "undo"):
        for item in (template(awx, name), workflow(awx, name)):
            required = {question["variable"] for question in awx.survey(item) if question["required"]}
            assert {"target", "confirm"} <= required, item["name"]


def workflow(awx: Awx, verb: str) -> dict[str, Any]:
    (found,) = [w for w in awx.all("workflow_job_templates") if w["name"] == f"Rewind: {verb}, approved"]
    return found


@pytest.mark.parametrize("verb", sorted(APPROVED))
def test_a_workflow_shows_asks_and_acts(awx: Awx, verb: str) -> None:
    """Given a workflow, then a dry run comes first, an approval after its success, and the run after that alone."""
    item = workflow(awx, verb)
    nodes = {node["identifier"]: node for node in awx.linked(item, "workflow_nodes")}
    assert {name: [n["identifier"] for n in awx.linked(node, "success_nodes")] for name, node in nodes.items()} == {
        "show": ["ask"],
        "ask": ["act"],
        "act": [],
    }
    job = template(awx, verb)["id"]
    assert (nodes["show"]["unified_job_template"], nodes["act"]["unified_job_template"]) == (job, job)
    assert nodes["act"]["job_type"] == "run"
    # A cleanup without a confirmation shows its list, in the state in which its hash can be handed on.
    assert nodes["show"]["job_type"] == ("run" if verb == "cleanup" else "check")
    approvals = {a["id"]: a for a in awx.all("workflow_approval_templates")}
    assert approvals[nodes["ask"]["unified_job_template"]]["timeout"] > 0
    mine = {question["variable"] for question in awx.survey(item)}
    assert mine == asked_for(verb) - ({"confirm"} if verb == "cleanup" else set())
    assert not item["allow_simultaneous"]


def test_audit_drill_and_cleanup_have_a_schedule(awx: Awx) -> None:
    """Given the schedules, then they are daily, monthly and weekly, by rules that AWX takes, with valid answers."""
    assert {item["name"].partition(" every ")[0] for item in awx.all("schedules")} == {
        "Rewind: audit",
        "Rewind: drill",
        "Rewind: cleanup",
    }
    gaps = {"audit": (1, 1), "drill": (28, 31), "cleanup": (7, 7)}
    owners = {item["id"]: item for item in [*awx.all("job_templates"), *awx.all("workflow_job_templates")]}
    for item in awx.all("schedules"):
        rule = item["rrule"]
        # What AWX refuses: no zone, no interval, several rules, more than one day of a month, numbers before a day.
        assert re.fullmatch(
            r"DTSTART:\d{8}T\d{6}Z RRULE:FREQ=[A-Z]+;INTERVAL=\d+(;BYMONTHDAY=\d+|;BYDAY=[A-Z]{2})?", rule
        )
        first = rrulestr(rule.replace(" ", "\n")).after(datetime(2026, 3, 1, tzinfo=UTC))
        second = rrulestr(rule.replace(" ", "\n")).after(first)
        verb = item["name"].split()[1]
        low, high = gaps[verb]
        assert timedelta(days=low) <= second - first <= timedelta(days=high)
        questions = {q["variable"]: q for q in awx.survey(owners[item["unified_job_template"]])}
        assert item["extra_data"].keys() <= questions.keys()
        # AWX (_survey_element_validation) looks at no default here: "'fail_on' value missing", HTTP 400.
        needed = {name for name, q in questions.items() if q["required"]}
        assert needed <= item["extra_data"].keys(), "AWX refuses a schedule that leaves a required answer open"
        for name, answer in item["extra_data"].items():
            assert answer in questions[name].get("choices", [answer]), name
        assert item["enabled"] == (verb == "audit"), "what needs a target's name is switched on by a person"


def test_the_credential_types_bring_what_the_collection_reads_and_hold_no_secret(awx: Awx) -> None:
    """Given the types, then each input is injected, secrets are marked, and no credential in a file has a value."""
    found = set()
    for kind in awx.all("credential_types"):
        fields = {field["id"]: field for field in kind["inputs"]["fields"]}
        used = set(re.findall(r"\{\{ (\w+) \}\}", " ".join(kind["injectors"]["env"].values())))
        assert used == fields.keys() == set(kind["inputs"]["required"])
        assert all(field.get("secret") for name, field in fields.items() if name != "coolify_api_url")
        found |= kind["injectors"]["env"].keys()
    assert found == ENVIRONMENT
    source = "".join(path.read_text(encoding="utf-8") for path in (CLONE / "plugins").rglob("*.py"))
    source += "".join(path.read_text(encoding="utf-8") for path in (CLONE / "roles").rglob("*.yml"))
    assert [name for name in found if name not in source] == []
    assert [item["inputs"] for item in awx.all("credentials")] == [{}, {}]


def test_the_inventory_is_found_by_one_credential(awx: Awx) -> None:
    """Given the source, then it is a file of the project, and reads with the credential that cannot write."""
    (source,) = awx.all("inventory_sources")
    assert (ASSETS / "project" / source["source_path"]).is_file()
    (name,) = [item["name"] for item in awx.all("credentials") if item["id"] == source["credential"]]
    assert name == "Rewind (reading)"
    assert {c["name"] for c in awx.linked(template(awx, "audit"), "credentials")} == {name}
    assert {c["name"] for c in awx.linked(template(awx, "restore"), "credentials")} == {"Rewind (acting)"}


PAGE = (CLONE / "docs" / "teams.md").read_text(encoding="utf-8")


def test_the_page_names_what_is_there() -> None:
    """Given docs/teams.md, then its files, playbooks and tests exist, and its environment variables are those."""
    for path in re.findall(r"`((?:awx|ee|meta|tests|inventory/example)/[\w./-]*)`", PAGE):
        made_by_the_commands = path.startswith("ee/context")
        assert made_by_the_commands or (CLONE / path).exists(), path
    assert set(re.findall(r"rewind\.database\.(\w+)", PAGE)) - {"targets"} <= set(PLAYBOOKS)
    assert {name for name in ENVIRONMENT if name in PAGE} == ENVIRONMENT
    for path in re.findall(r"\]\((\w+\.md)\)", PAGE):
        assert (CLONE / "docs" / path).is_file(), path


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_the_timers_are_instants_that_systemd_understands() -> None:
    """Given the timers of the page, then systemd reads them as daily, monthly and weekly."""
    found = re.findall(r"(?:Mon )?\*-\*-(?:\*|01) \d\d:00:00 UTC", PAGE)
    assert len(found) == 3
    for calendar in found:
        answer = subprocess.run(["systemd-analyze", "calendar", calendar], capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr


def test_a_second_import_makes_nothing_new_and_touches_no_credential(awx: Awx) -> None:
    """Given all three imported, when assets and workflows are again, then the same objects are updated."""
    before = {url: item["type"] for url, item in awx.objects.items() if item["type"] != "workflow_approval_template"}
    since = len(awx.requests)
    imported(awx, "assets")
    imported(awx, "workflows")
    after = {url: item["type"] for url, item in awx.objects.items() if item["type"] != "workflow_approval_template"}
    assert after == before
    asked = awx.requests[since:]
    assert asked and not [path for _, path, _ in asked if "/credentials/" in path or "/credential_types/" in path]
