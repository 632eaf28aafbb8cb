# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit's lines about Coolify: its version, the token, the application, its deployments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from .._time import ago, duration
from .application import OLDEST, version_of
from .audit_drills import last_drill, passed
from .audit_parts import FAILED, OK, UNKNOWN, WARN, Finding, Line, State, World, plainly, states
from .instants import instant_or_none
from .request import describe

# The first version in which a cancelled deployment does not hold up those behind it (coolify#11327).
_GOOD = (4, 3, 7, 1_000_000)
# Coolify shows running:unhealthy until its next look at the container, up to 90 s after a deployment.
_SETTLING = timedelta(seconds=90)
_TROUBLE = re.compile(r"error|fail|fatal|denied|timed? ?out|no space|killed|exhausted|cannot|refused", re.IGNORECASE)
_LONGEST_LINE = 160
# What a build says about the next one, by its own state.
_BUILDS = {"slow": "build_slow", "failed": "build_failed"}


def _version(world: World) -> Finding:
    version = version_of(world.facts.version)
    if version is None:
        return Finding(UNKNOWN, f"unknown: {world.facts.version or 'no version was read'}")
    if version < OLDEST:
        return Finding("too_old", str(world.facts.version))
    return Finding("current" if version >= _GOOD else "old", str(world.facts.version))


def _token_reads(world: World) -> Finding:
    found = {name: world.facts.abilities.get(name) for name in ("read", "read_sensitive")}
    missing = [name.replace("_", ":") for name, state in found.items() if state == "missing"]
    if missing:
        return Finding("missing", f"it lacks {' and '.join(missing)}")
    if any(state != "proven" for state in found.values()):
        return Finding(UNKNOWN, "unknown: read:sensitive cannot be proven, nothing readable is there to tell")
    return Finding("proven", "read and read:sensitive are proven")


def _token_writes(world: World) -> Finding:
    """Only a request that needs an ability proves it, and those are no GET: a use of late counts as well."""
    found = {name: world.facts.abilities.get(name) for name in ("write", "deploy")}
    missing = [name for name, state in found.items() if state == "missing"]
    if missing:
        return Finding("missing", f"it lacks {' and '.join(missing)}")
    if all(state == "proven" for state in found.values()):
        return Finding("proven", "write and deploy are proven")
    proof = _last_use(world)
    if proof is not None:
        return Finding("used", proof)
    return Finding(UNKNOWN, "unknown: write and deploy were not asked for, and no recent run has used them")


def _last_use(world: World) -> str | None:
    """A cutover or a drill that wrote and deployed, not longer ago than a drill may be."""
    uses = [
        (item.at, f"the cutover of {describe(item.at)}")
        for item in world.facts.cutovers
        if item.proven and item.strategy == "repoint"
    ]
    drill = last_drill(world)
    if drill is not None and passed(drill[1]):
        uses.append((drill[0], f"the drill of {describe(drill[0])}"))
    recent = [(at, what) for at, what in uses if (world.now - at).total_seconds() <= world.limits.drill_age]
    if not recent:
        return None
    at, what = max(recent)
    return f"write and deploy were used by {what}, {ago(at, world.now)}"


def _primary(world: World) -> Finding:
    primary = world.primary
    if primary is None:
        message, advice = world.why_no_primary
        return Finding("lost", message, {"advice": advice})
    node = world.facts.tree.nodes[primary.branch_id]
    endpoint = primary.address.endpoint
    found = f"{node.name} ({node.id}), compute {endpoint.get('id')}"
    names = {"branch": node.name, "compute": str(endpoint.get("id"))}
    if endpoint.get("disabled"):
        return Finding("disabled", f"{found}, which is disabled", names)
    database = primary.connection.get("database")
    if world.request.database and database and database != world.request.database:
        return Finding("other_database", f"{found}, but database {database}", names)
    last = next((item for item in reversed(world.facts.cutovers) if item.proven), None)
    if last is not None and last.to_branch_id != primary.branch_id:
        before = world.facts.tree.get(last.to_branch_id)
        other = before.name if before else last.to_branch_id
        return Finding("by_hand", f"{found}; the last recorded cutover went to {other}", names)
    return Finding("as_recorded", found, names)


def _default(world: World) -> Finding:
    primary = world.known_primary
    node = world.facts.tree.nodes[primary.branch_id]
    if node.default:
        return Finding("default", f"{node.name} is the default branch", {"branch": node.name})
    default = next((item.name for item in world.facts.tree.nodes.values() if item.default), "none")
    return Finding("other", f"{node.name} is not, {default} is", {"branch": node.name})


def _application(world: World) -> Finding:
    application = world.facts.application
    status = str(application.get("status") or "")
    if application.get("server_reachable") is False:
        return Finding("unreachable", f"Coolify does not reach its server; {status or 'no status'} is an old status")
    if not status:
        return Finding(UNKNOWN, "unknown: Coolify shows no status")
    state, _colon, health = status.partition(":")
    if state == "running" and health.partition(":")[0] == "healthy":
        return Finding("healthy", status)
    finished = instant_or_none((world.facts.last_finished or {}).get("finished_at"))
    if state in ("running", "starting") and finished is not None and world.now - finished < _SETTLING:
        return Finding("settling", f"{status}, deployed {ago(finished, world.now)}")
    if state == "running" and health.partition(":")[0] in ("", "unknown"):
        return Finding("unchecked", status)
    return Finding("unhealthy", status)


def _health_check(world: World) -> Finding:
    application = world.facts.application
    health = application.get("health_check")
    if health is None:
        return Finding(UNKNOWN, "unknown: Coolify does not say")
    if health.get("enabled"):
        return Finding("enabled", f"{health.get('type') or 'http'} {health.get('path') or health.get('command') or ''}")
    if application.get("custom_healthcheck_found"):
        return Finding("own", "the one in its Dockerfile")
    return Finding("off", "disabled: Coolify takes any container for a good one")


def _auto_deploy(world: World) -> Finding:
    on = world.facts.application.get("auto_deploy")
    if on is None:
        return Finding(UNKNOWN, "unknown: Coolify does not say")
    word = "on: a push deploys" if on else "off: a push deploys nothing"
    if world.limits.auto_deploy is not None and bool(on) != world.limits.auto_deploy:
        return Finding("differs", word, {"wanted": "on" if world.limits.auto_deploy else "off"})
    return Finding("as_wanted", word)


def _auto_deploy_expected(world: World) -> str:
    return {None: "either", True: "on", False: "off"}[world.limits.auto_deploy]


def _last_deployment(world: World) -> Finding:
    """The newest deployment; where that built nothing, the newest that did as well, as the next one may have to."""
    newest = next(iter(world.facts.deployments), None)
    if newest is None:
        return Finding("never", "the application was never deployed")
    found = _judged(world, newest)
    built = next((item for item in world.facts.deployments if _has_built(item)), None)
    if newest.get("build_skipped") is not True or built is None:
        return found
    build = _judged(world, built)
    both = f"{found.found}; the last build {build.found}"
    if found.state == "quick" and build.state in _BUILDS:
        return Finding(_BUILDS[build.state], both)
    return Finding(found.state, both, found.names)


def _has_built(deployment: Mapping[str, Any]) -> bool:
    """Whether it built an image, or failed at it. One that only restarted did not."""
    skipped, status = deployment.get("build_skipped"), deployment.get("status")
    if skipped is True or deployment.get("restart_only"):
        return False
    return status == "failed" or (status == "finished" and skipped is False)


def _judged(world: World, newest: Mapping[str, Any]) -> Finding:
    status = str(newest.get("status"))
    began, ended = instant_or_none(newest.get("created_at")), instant_or_none(newest.get("finished_at"))
    took = ((ended or world.now) - began).total_seconds() if began else None
    spent = duration(took) if took is not None else "an unknown time"
    when = f" ({ago(began, world.now)})" if began else ""
    if status in ("queued", "in_progress"):
        slow = took is None or took > world.limits.deploy
        return Finding("stuck" if slow else "running", f"{status} for {spent}{when}")
    if status == "failed":
        return Finding("failed", f"failed after {spent}{when}{_trouble(newest)}")
    if status == "cancelled-by-user":
        return Finding("cancelled", f"cancelled after {spent}{when}")
    if status != "finished" or took is None:
        return Finding(UNKNOWN, f"unknown: status {status}, took {spent}")
    built = {True: ", build skipped", False: ", image built"}.get(newest.get("build_skipped"), "")  # type: ignore[arg-type]
    return Finding("slow" if took > world.limits.deploy else "quick", f"finished in {spent}{when}{built}")


def _trouble(deployment: Mapping[str, Any]) -> str:
    """The last line of its log that looks like the cause, else the last one."""
    log = [str(line) for line in deployment.get("log_tail") or ()]
    line = next((line for line in reversed(log) if _TROUBLE.search(line)), log[-1] if log else "")
    return f": {line[:_LONGEST_LINE]}" if line else "; its log cannot be read"


LINES = (
    Line(
        "coolify_version",
        "Coolify version",
        ("application",),
        plainly("4.3.7 or newer"),
        _version,
        states(
            FAILED,
            current=State(OK),
            old=State(WARN, "Update Coolify: before 4.3.7 a cancelled deployment holds up those behind it."),
            too_old=State(FAILED, "Update Coolify: before 4.0.0-beta.435 env rows cannot be written back whole."),
        ),
    ),
    Line(
        "coolify_token",
        "Token can read",
        ("application",),
        plainly("read and read:sensitive"),
        _token_reads,
        states(
            FAILED,
            proven=State(OK),
            missing=State(FAILED, "Make a token with read, read:sensitive, write and deploy, as an admin of the team."),
        ),
    ),
    Line(
        "coolify_token_writes",
        "Token can deploy",
        ("application", "catalogue", "drills"),
        plainly("write and deploy"),
        _token_writes,
        states(
            WARN,
            proven=State(OK),
            used=State(OK),
            missing=State(FAILED, "Make a token with read, read:sensitive, write and deploy, as an admin of the team."),
        )
        | {
            UNKNOWN: State(
                WARN,
                "Add -e prove_abilities=true: two requests that name things that do not exist, and change nothing; or "
                "rehearse a restore (playbooks/drill.yml).",
            )
        },
    ),
    Line(
        "primary",
        "Application points to",
        ("branches", "application", "catalogue"),
        plainly("a compute that is on, as the last cutover left it"),
        _primary,
        states(
            FAILED,
            as_recorded=State(OK),
            by_hand=State(WARN, "If that was meant, nothing; else see who changed the row, and restore what is right."),
            other_database=State(FAILED, "Correct the row in Coolify, or rewind_neon_database of this target."),
            disabled=State(FAILED, "The application has no database: enable {compute}, or repoint the application."),
            lost=State(FAILED, "{advice}"),
        ),
    ),
    Line(
        "primary_default",
        "Primary is default",
        ("primary",),
        plainly("the primary is the project's default branch"),
        _default,
        states(
            WARN,
            default=State(OK),
            other=State(WARN, "Promote {branch} (playbooks/promote.yml): other branches have tighter compute quotas."),
        ),
    ),
    Line(
        "application",
        "Application health",
        ("application",),
        plainly("running:healthy"),
        _application,
        states(
            FAILED,
            healthy=State(OK),
            settling=State(WARN, "Look again in two minutes: Coolify is behind after a deployment."),
            unchecked=State(WARN, "Enable a health check that queries the database, and deploy once."),
            unhealthy=State(FAILED, "Read the application's log in Coolify; see the lines about the database."),
            unreachable=State(FAILED, "Bring the connection between Coolify and that server back."),
        ),
    ),
    Line(
        "health_check",
        "Health check",
        ("application",),
        plainly("enabled"),
        _health_check,
        states(
            FAILED,
            enabled=State(OK),
            own=State(OK),
            off=State(FAILED, "Enable a health check that queries the database, and deploy once."),
        ),
    ),
    Line(
        "auto_deploy",
        "Auto-deploy",
        ("application",),
        _auto_deploy_expected,
        _auto_deploy,
        states(
            WARN,
            as_wanted=State(OK),
            differs=State(WARN, "Turn it {wanted} in Coolify, or see which run has left it so (Unfinished runs)."),
        ),
    ),
    Line(
        "last_deployment",
        "Last deployment",
        ("deployments",),
        lambda world: f"finished within {duration(world.limits.deploy)}",
        _last_deployment,
        states(
            FAILED,
            quick=State(OK),
            running=State(OK),
            slow=State(
                WARN, "Read its build log in Coolify. A cutover builds only where the line Rebuild on change says so."
            ),
            build_slow=State(WARN, "Read that build's log in Coolify: the next change of code takes as long."),
            build_failed=State(WARN, "Read that build's log in Coolify and mend the cause, before a build is needed."),
            cancelled=State(WARN, "Deploy again: what runs is older than what was wanted."),
            failed=State(FAILED, "Read its build log in Coolify and mend the cause: a cutover deploys the same way."),
            stuck=State(FAILED, "Cancel it in Coolify; if it does not end, restart Coolify's queue."),
            never=State(WARN, "Deploy it once, so that a cutover has an image to deploy again."),
        ),
    ),
)
