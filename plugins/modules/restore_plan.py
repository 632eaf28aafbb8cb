#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_plan
short_description: Make the plan of a restore from facts already gathered
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Judges everything that a restore depends on and returns one plan, which all later steps read.
  - Pure - it reads and writes nothing. All facts are options, as the information modules returned them.
  - It does not fail on problems. All of them are returned together in RV(plan.problems), each with what to do, so that
    a playbook can stop with the whole list.
  - It fails only when V(now), V(started) or V(timezone) in O(request) cannot be read.
extends_documentation_fragment:
  - rewind.database.attributes.info
options:
  project:
    description: The project, as RV(rewind.database.neon_project_info#module:project).
    type: dict
    required: true
  branches:
    description:
      - All branches of the project with their computes, as RV(rewind.database.neon_branch_info#module:branches).
    type: list
    elements: dict
    required: true
  application:
    description:
      - The whole result of M(rewind.database.coolify_application_info), with C(application), C(version) and
        C(abilities).
    type: dict
    required: true
  deployments:
    description:
      - The whole result of M(rewind.database.coolify_deployment_info), with C(deployments), C(running) and
        C(last_finished).
    type: dict
    default: {}
  consumers:
    description: What else has a connection string, as RV(rewind.database.coolify_consumer_info#module:consumers).
    type: list
    elements: dict
    default: []
  unreadable:
    description: What could not be read, as RV(rewind.database.coolify_consumer_info#module:unreadable).
    type: list
    elements: dict
    default: []
  records:
    description:
      - The catalogue, as M(rewind.database.run_record) returns it.
      - A cutover is C({event. cutover, at, target, strategy, from_branch_id, to_branch_id, preserved_branch_id,
        restore_point, restore_lsn, backup, from_since, run, proven}). C(at) is the instant from which the new data was
        the primary (for C(in_place) the C(last_reset_at) of the branch); C(from_since) is C(primary.since) of the
        plan that led to it; C(restore_point) is its C(restore_point.utc).
      - Any other record with a C(branch_id) is a fact about that branch. Its C(event) (C(verified), C(pinned), C(used),
        C(expiry_cleared), C(made)) counts as true, and its other keys are kept.
    type: list
    elements: dict
    default: []
  backups:
    description: The log of backups, C({branch_id, name, at, restore_point, lsn, verified}) each.
    type: list
    elements: dict
    default: []
  unfinished:
    description:
      - Runs of this target that never finished, as RV(rewind.database.run_journal#module:unfinished).
      - What such a run had resolved is taken from C(inputs.resolved) or from the data of its step C(plan); it is
        RV(plan.resolved) of its own plan.
    type: list
    elements: dict
    default: []
  migration:
    description:
      - C({primary, restore_point}), each C({head, schema_hash}) or null when it is not known yet.
    type: dict
    default: {}
  losses:
    description:
      - The comparison of two manifests, the primary of now before and the restore point after, as
        RV(rewind.database.postgres_manifest#module:comparison). Leave it out while it is not known.
    type: dict
  other_targets:
    description:
      - The other targets of the inventory, C({target, environment, project, application, env_key, host,
        primary_branch_id}) each, as far as known. Two targets must not share an application or a primary.
    type: list
    elements: dict
    default: []
  rehearsal:
    description:
      - What came of logging in with each row's string as an undo would rebuild it, C({key, is_preview, ok, message}).
        V(false) is a problem for V(repoint); null means that it was not tried.
    type: list
    elements: dict
    default: []
  snapshots:
    description:
      - The snapshots of the project, as RV(rewind.database.neon_snapshot_info#module:snapshots). Leave it out where
        they could not be read.
    type: list
    elements: dict
  failed_reads:
    description: Why a side could not be read, C({primary, restore_point}), each a text, or empty where it could.
    type: dict
    default: {}
  past:
    description:
      - Past runs of this target, as RV(rewind.database.run_journal#module:runs). With it, also with an empty list,
        RV(plan.comparison) is made; how long their cutovers took goes before every estimate there.
    type: list
    elements: dict
  bound_to:
    description:
      - The facts that an earlier plan was made from, its RV(plan.bound_to), all of them. Each that has changed since is
        a problem, and so is one that is missing. A run that is continued is not compared again - it may have changed
        them itself.
    type: dict
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
        description: V(production) needs a confirmation.
        type: str
        default: production
      now:
        description: The present instant, RFC 3339. The default is the clock of this machine.
        type: str
      started:
        description:
          - When the run began, RFC 3339. The branch that keeps the old state is named after it, and a time ago in
            O(request.point_in_time) counts from it. Default is V(now).
        type: str
      run:
        description: The id of this run, so that its own journal is not taken for an unfinished one.
        type: str
      timezone:
        description:
          - The time zone in which local times are shown, such as V(Europe/Berlin). Default is the machine's own.
        type: str
      point_in_time:
        description: Restore to this instant. It needs a time zone, or is a time ago such as V(-15m).
        type: str
      lsn:
        description: Restore to this LSN.
        type: str
      backup:
        description:
          - Restore to this backup, by name, or V(latest).
          - V(before:<commit>) is the newest one that was made before the deployment of that commit.
        type: str
      cutover:
        description: The strategy. V(auto) takes V(in_place) where it is safe, else V(repoint).
        type: str
        choices: [auto, repoint, in_place, snapshot]
        default: auto
      source_branch:
        description: The branch to restore from, by name or id, where the recorded history cannot prove it.
        type: str
      deploy_commit:
        description: The commit to deploy with the restored data.
        type: str
      promotion:
        description:
          - The promotion that this is a part of, by its run. With V(repoint) and a backup the application then uses the
            backup itself, not a branch that is made from it.
        type: str
      env_key:
        description: The environment row that holds the application's connection string.
        type: str
        default: DATABASE_URL
      accept_schema_mismatch:
        description: Go on although the running commit expects another schema than the one at the restore point.
        type: bool
        default: false
      accept_downtime:
        description: Go on although the application is stopped before the new one starts.
        type: bool
        default: false
      allow_unprotect:
        description: A protected primary may lose its protection for the length of a restore in place.
        type: bool
        default: false
      require_health_check:
        description: Refuse an application without a health check.
        type: bool
        default: true
      fence_writes_before_cutover:
        description: Refuse writes on the old primary before the application is moved.
        type: bool
        default: true
      hash:
        description:
          - Whether the content of tables is compared, and not only how many rows they have. Without it nothing tells
            whether an application has changed a row after the cutover, so that nothing is taken back by itself then.
        type: bool
        default: true
      again:
        description: Restore again although the same restore point was restored and proven before.
        type: bool
        default: false
      also_repoint:
        description: Other users of the primary that move with it, by name or uuid, also C(name/KEY).
        type: list
        elements: str
        default: []
      ignore_consumers:
        description: Other users of the primary that stay, by name or uuid, also C(name/KEY).
        type: list
        elements: str
        default: []
      not_restored:
        description: What else of this target a restore of its database does not bring back.
        type: list
        elements: str
        default: []
      old_connection_env:
        description:
          - The name of the environment variable in which a person may supply the present connection string, where the
            row or its password cannot be read. The plan only names it; M(rewind.database.coolify_application_info)
            reads it.
        type: str
        default: REWIND_OLD_CONNECTION_STRING
      database:
        description: The database of the target. A connection string to another one is a problem.
        type: str
      reuse:
        description:
          - Whether a branch that an earlier run has made may be taken. V(false) where its data cannot be compared with
            the restore point's, so that nothing proves it unwritten; a new one is then made.
        type: bool
        default: true
      verify_seconds:
        description: How long verification may take.
        type: float
        default: 300
      confirm_seconds:
        description: How long a person may take to confirm.
        type: float
        default: 600
      cutover_deadline:
        description: How long the cutover may take before everything is taken back.
        type: float
        default: 900
      revert_budget:
        description: How long taking it back may take.
        type: float
        default: 600
      keep_days:
        description: For how many days the old state is kept.
        type: float
        default: 7
seealso:
  - module: rewind.database.neon_branch_info
  - module: rewind.database.coolify_application_info
  - module: rewind.database.run_record
"""

EXAMPLES = r"""
- name: Make the plan
  rewind.database.restore_plan:
    project: "{{ neon.project }}"
    branches: "{{ neon_branches.branches }}"
    application: "{{ coolify }}"
    deployments: "{{ coolify_deployments }}"
    consumers: "{{ coolify_consumers.consumers }}"
    unreadable: "{{ coolify_consumers.unreadable }}"
    records: "{{ catalogue.records }}"
    request:
      target: tracker
      point_in_time: "2025-01-13 14:25:00 UTC"
  register: result

- name: Stop with all problems together
  ansible.builtin.assert:
    that: result.plan.problems | length == 0
    fail_msg: "{{ result.plan.problems | map(attribute='message') | join(' ') }}"
"""

RETURN = r"""
plan:
  description:
    - The plan. Where a problem prevents a part from being known, that part is null.
  returned: success
  type: dict
  contains:
    target:
      description: The name of the target.
      type: str
    environment:
      description: Its environment.
      type: str
    now:
      description: The instant at which the plan was made.
      type: str
    hash:
      description: A short hash of what would be done.
      type: str
    inputs:
      description:
        - The inputs that identify the run, as given - point_in_time, lsn, backup, cutover, source_branch,
          deploy_commit.
      type: dict
    resolved:
      description:
        - What a run that continues this one takes over unchanged - restore_point, strategy, primary_branch_id,
          source_branch_id, names, commit. To be written to the journal.
      type: dict
    already_done:
      description: Whether the same request was carried out, is proven and still stands - C({done, why}).
      type: dict
    resumes:
      description: The id of the unfinished run with the same inputs that this one continues, or null.
      type: str
    restore_point:
      description:
        - The restore point - C({kind, utc, local, ago, epoch, lsn, stamp, backup}). C(kind) is V(time), V(lsn) or
          V(backup). C(backup) is the name of the backup. Of an LSN only C(lsn) and C(stamp) are known.
      type: dict
    interval_lost:
      description: How much time is lost - C({seconds, text, from, to}).
      type: dict
    primary:
      description:
        - The branch that the connection string points to - C({branch_id, name, is_root, parent_id, default, protected,
          expires_at, created_at, current_state, last_reset_at, since, endpoint_id, endpoint_type, endpoint_state,
          disabled, endpoint_ids, host, pooler_host, hosts, pooled, database, role, children}).
        - C(since) is the instant since when it is proven to be the primary. C(children) are C({branch_id, name}).
        - For a run that is continued it is the primary that the run started from.
      type: dict
    application:
      description:
        - The application - C({uuid, name, fqdn, status, build_pack, git_branch, git_commit_sha, auto_deploy,
          health_check, commit, version}).
      type: dict
    source:
      description:
        - The branch that holds the restore point, and where on it - C({branch_id, name, why, parent_timestamp,
          parent_lsn, head, forced, is_primary}). With C(head) neither timestamp nor LSN is sent.
        - It is the source for the chosen strategy. A backup restored in place is taken from the primary itself where
          the history window allows it.
      type: dict
    strategy:
      description:
        - C({chosen, why, offered}). C(offered) has V(repoint), V(in_place) and V(snapshot), each C({offered, chosen,
          why}) and its price.
        - The price is C({expected_downtime. {reads_seconds, writes_seconds, text}, interval_lost_seconds, tree_before,
          tree_after, undeletable_afterwards. [{branch_id, name, why}], children_moved, slots. {branches. {used, limit,
          adds, free}, roots. ...}, passwords_that_change}).
        - A tree is a list of rows in the order in which it is drawn - C({id, name, parent_id, depth, default,
          protected, parent_timestamp, created_at, marks}). Marks are V(primary), V(old primary), V(source), V(in use)
          and V(new).
      type: dict
    names:
      description: The names of the branches that may be made - C({branch, preview, root, rollback}).
      type: dict
    reuse:
      description:
        - The branch that the chosen strategy works on - C({branch_id, name, found, why}). With C(found) an earlier run
          made it, and it is taken once it is proven that no session has written to it.
      type: dict
    steps:
      description: The numbered steps - C({number, id, title, does}), where C(does) is a list of sentences.
      type: list
      elements: dict
    compute:
      description:
        - The computes of the new branch, made like those of the old one - C({endpoints, replicas}). C(endpoints) fits
          the option O(rewind.database.neon_branch#module:endpoints); C(replicas) counts the read-only ones.
      type: dict
    env:
      description:
        - The environment rows that move - C({key, keys_moved, base, rows}). C(base) is what a connection starts from
          instead of the row, C({template, password_env}), where the string was supplied from the environment.
        - A row is C({uuid, key, is_preview, pooled, endpoint_type, from_host, to_host, database, user, hash,
          is_buildtime, flags, template, password_env, readable, moved}). C(moved) is true for a row that the run being
          continued has moved already; C(password_env) names the variable that holds the present string, where that was
          supplied.
      type: dict
    consumers:
      description:
        - What else uses the primary - C({others, repoint, unreadable}). Each of C(others) is as in O(consumers) with
          C(answer), which is V(also_repoint), V(ignore) or null.
      type: dict
    wakes:
      description: Suspended computes that reading would wake - C({branch_id, name, endpoint_id, why}).
      type: list
      elements: dict
    expiry_to_clear:
      description: Branches whose expiry must be cleared first - C({branch_id, name, expires_at, why}).
      type: list
      elements: dict
    unprotect:
      description: Whether the primary must lose its protection for a while - C({needed, allowed, branch_id}).
      type: dict
    code:
      description:
        - The code against the data - C({known, mismatch, expected, at_point, running_commit, fits_commit,
          deploy_commit, may_migrate}). C(fits_commit) is the commit that was running at the restore point.
      type: dict
    losses:
      description:
        - What is about to be lost - C({known, exact, rows_lost, rows_restored, tables, tables_changed}). A table is
          C({table, status, now, at_point, lost, restored, exact}).
        - Unless it is C(exact), a number of rows lost or restored is the least that it can be. It comes from the
          numbers of rows per table, in which rows that were changed, or that came where others went, do not show. Of a
          table with as many rows but other content at least one is lost and one restored.
        - C(tables_changed) names the tables of which no more is known. C(lost) and C(restored) are null for a table
          that could not be read on one side.
      type: dict
    comparison:
      description:
        - All strategies side by side, or null without O(past) - C({recommended, chosen, strategies, storage}).
          C(recommended) is C({strategy, why}), what V(auto) would take.
        - A strategy is C({strategy, possible, why, problems, steps, source, downtime, interval_lost_seconds, rows_lost,
          rows_restored, rows_exact, tree_before, tree_after, undeletable_afterwards, children_moved, slots,
          passwords_that_change, keeps}). C(downtime) is C({reads_seconds, writes_seconds, text, measured_runs});
          C(keeps), the old side, is C({name, logical_size, until, counts_whole, replicas}).
      type: dict
    bound_to:
      description:
        - The facts that the plan was made from - C({project, application, commit, primary, endpoint, last_reset_at,
          source, source_last_reset_at, restore_point, lsn, children, env, also_repoint}). A row of C(env) is
          C({uuid, key, is_preview, host, hash}); one of C(also_repoint) says in C(of) whose it is.
      type: dict
    not_restored:
      description: What a restore of the database does not bring back.
      type: list
      elements: str
    undo:
      description: Until when undo is possible and how - C({possible_until, command}) - and until when what it
          loses can be salvaged, and how - C({salvage_until, salvage_command}).
      type: dict
    confirm:
      description: Whether a confirmation is needed, and which - C({needed, phrase, argument}).
      type: dict
    problems:
      description: Everything that stands in the way - C({code, message, what_to_do}).
      type: list
      elements: dict
    warnings:
      description: What a person should know and nothing has to be done about.
      type: list
      elements: str
text:
  description: The plan as a person reads it in a terminal of 80 columns.
  returned: success
  type: list
  elements: str
comparison_text:
  description: RV(plan.comparison) as a person reads it in a terminal of 80 columns; empty without one.
  returned: success
  type: list
  elements: str
problem_text:
  description: RV(plan.problems) as a person reads them; empty where there is none.
  returned: success
  type: list
  elements: str
confirmation:
  description: What a person must have read before saying yes.
  returned: success
  type: list
  elements: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._plan.compare_text import comparison_lines
from ansible_collections.rewind.database.plugins.module_utils._plan.request import OLD_CONNECTION_ENV
from ansible_collections.rewind.database.plugins.module_utils._plan.shape import build
from ansible_collections.rewind.database.plugins.module_utils._plan.text import confirmation, lines, problem_lines
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module


def _facts(kind: str) -> dict[str, Any]:
    return {"type": "list", "elements": "dict", "default": []} if kind == "list" else {"type": "dict", "default": {}}


def _texts() -> dict[str, Any]:
    return {"type": "list", "elements": "str", "default": []}


_REQUEST: dict[str, dict[str, Any]] = {
    "target": {"type": "str", "required": True},
    "environment": {"type": "str", "default": "production"},
    "now": {"type": "str"},
    "started": {"type": "str"},
    "run": {"type": "str"},
    "timezone": {"type": "str"},
    "point_in_time": {"type": "str"},
    "lsn": {"type": "str"},
    "backup": {"type": "str"},
    "cutover": {"type": "str", "choices": ["auto", "repoint", "in_place", "snapshot"], "default": "auto"},
    "source_branch": {"type": "str"},
    "deploy_commit": {"type": "str"},
    "promotion": {"type": "str"},
    "env_key": {"type": "str", "default": "DATABASE_URL", "no_log": False},
    "accept_schema_mismatch": {"type": "bool", "default": False},
    "accept_downtime": {"type": "bool", "default": False},
    "allow_unprotect": {"type": "bool", "default": False},
    "require_health_check": {"type": "bool", "default": True},
    "fence_writes_before_cutover": {"type": "bool", "default": True},
    "hash": {"type": "bool", "default": True},
    "again": {"type": "bool", "default": False},
    "also_repoint": _texts(),
    "ignore_consumers": _texts(),
    "not_restored": _texts(),
    "old_connection_env": {"type": "str", "default": OLD_CONNECTION_ENV, "no_log": False},
    "database": {"type": "str"},
    "reuse": {"type": "bool", "default": True},
    "verify_seconds": {"type": "float", "default": 300},
    "confirm_seconds": {"type": "float", "default": 600},
    "cutover_deadline": {"type": "float", "default": 900},
    "revert_budget": {"type": "float", "default": 600},
    "keep_days": {"type": "float", "default": 7},
}

SPEC = Spec(
    arguments={
        "project": {"type": "dict", "required": True},
        "branches": {"type": "list", "elements": "dict", "required": True},
        "application": {"type": "dict", "required": True},
        "deployments": _facts("dict"),
        "consumers": _facts("list"),
        "unreadable": _facts("list"),
        "records": _facts("list"),
        "backups": _facts("list"),
        "unfinished": _facts("list"),
        "migration": _facts("dict"),
        "losses": {"type": "dict"},
        "other_targets": _facts("list"),
        "rehearsal": _facts("list"),
        "failed_reads": _facts("dict"),
        "snapshots": {"type": "list", "elements": "dict"},
        "past": {"type": "list", "elements": "dict"},
        "bound_to": {"type": "dict"},
        "request": {"type": "dict", "required": True, "options": _REQUEST},
    }
)


def run(task: Task) -> dict[str, Any]:
    """Make the plan."""
    plan = build(task.params)
    return {
        "plan": plan,
        "text": lines(plan),
        "comparison_text": comparison_lines(plan),
        "problem_text": problem_lines(plan["problems"]),
        "confirmation": confirmation(plan) if plan["strategy"] else [],
    }


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
