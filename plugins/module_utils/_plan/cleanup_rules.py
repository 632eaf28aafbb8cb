# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a branch stays: what the safety rules forbid (rules 8, 12, 24, 25), and what the policies keep."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .._time import duration, rfc3339
from .cleanup_known import Known
from .cleanup_request import Wanted
from .primary import locate
from .request import Facts

BACKUPS = frozenset({"backup", "predeploy"})
SCRATCH = frozenset({"preview", "drill", "probe", "salvage", "test-backup", "test"})
LASTING = frozenset({"restore", "rollback", "promote", "snapshot"})
# The last sessions end some time after the cutover is noted, and the compute falls asleep minutes after them.
_LEAVING = timedelta(hours=1)


@dataclass(frozen=True)
class Hold:
    """One reason why a branch stays.

    :param lasting: it says of no day when the branch may go, so that Neon must not delete it by itself either.
    """

    code: str
    reason: str
    lasting: bool = False


@dataclass(frozen=True)
class Situation:
    """What all branches are judged by.

    :param standing: when each cutover happened that was not taken back, by its run.
    """

    wanted: Wanted
    users: Mapping[str, Sequence[str]]
    unreadable: Sequence[str]
    runs: Mapping[str, str]
    mentioned: Mapping[str, str]
    other_targets: Collection[str]
    standing: Mapping[str, datetime]


def users_of(facts: Facts) -> dict[str, list[str]]:
    """Who points to which branch, in words."""
    found: dict[str, list[str]] = {}
    for item in facts.consumers:
        address = locate(facts, item)
        if address is not None:
            who = f"{item.get('kind') or 'application'} {item.get('name') or item.get('uuid')} ({item.get('key')})"
            names = found.setdefault(address.branch_id, [])
            # A row has a twin for preview deployments.
            names += [who] if who not in names else []
    return found


def unreadable(listed: Iterable[Mapping[str, Any]], accepted: set[str]) -> list[str]:
    """What could not be read and may point anywhere, in words.

    :param accepted: owners (uuid or name) and rows (``owner/KEY``) of which a person knows that they do not.
    """
    found = []
    for item in listed:
        owners = {str(item[key]) for key in ("uuid", "name") if item.get(key)}
        keys = [str(key) for key in item.get("env_keys") or ()]
        left = [key for key in keys if not accepted & {f"{owner}/{key}" for owner in owners}]
        if owners & accepted or (keys and not left):
            continue
        rows = f" ({', '.join(left)})" if left else ""
        found.append(f"{item.get('kind') or 'row'} {item.get('name') or item.get('uuid')}{rows}")
    return found


def holds(item: Known, situation: Situation) -> list[Hold]:
    """Everything that keeps a branch, whatever its age; empty where its age decides. Children are judged elsewhere."""
    wanted = situation.wanted
    if not item.ours:
        return [Hold("foreign", "not made by this collection")]
    found: list[Hold] = []
    if item.facts.get("default"):
        found.append(Hold("default", "it is the default branch", lasting=True))
    if item.facts.get("protected"):
        found.append(Hold("protected", "it is protected", lasting=True))
    if users := situation.users.get(item.id):
        found.append(Hold("in_use", f"{users[0]}{_more(users)} points to it", lasting=True))
    found += _other_target(item, situation)
    if item.pinned is not None:
        found.append(Hold("pinned", f"pinned: {item.pinned}", lasting=True))
    found += _runs(item, situation)
    if item.cutover is not None and item.kind not in SCRATCH and (until := item.cutover + wanted.undo) > wanted.now:
        found.append(Hold("undo", f"the cutover of {rfc3339(item.cutover)} can be taken back until {rfc3339(until)}"))
    found += _computes(item, situation)
    state = item.facts.get("current_state")
    if item.facts.get("restore_status") == "detaching":
        found.append(Hold("not_ready", "Neon is detaching it from its parent; the next run may delete it"))
    elif state not in (None, "ready", "archived"):
        found.append(Hold("not_ready", f"it is {state}; the next run may delete it"))
    if item.kind not in BACKUPS | SCRATCH | LASTING:
        said = f"its purpose is {item.kind}, which" if item.kind else "nothing says what it is for, which"
        found.append(Hold("unknown_kind", f"{said} no policy covers"))
    return found


def snapshot_holds(item: Known, situation: Situation) -> list[Hold]:
    """The same for a snapshot."""
    if item.facts.get("manual") is False:
        return [Hold("scheduled", "made by a schedule, which deletes it by itself")]
    if not item.ours:
        return [Hold("foreign", "not made by this collection")]
    found = [*_other_target(item, situation), *_runs(item, situation)]
    at = situation.standing.get(item.run or "")
    if at is not None and (until := at + situation.wanted.undo) > situation.wanted.now:
        found.append(Hold("undo", f"the cutover of {rfc3339(at)} can be taken back until {rfc3339(until)}"))
    if item.pinned is not None:
        found.append(Hold("pinned", f"pinned: {item.pinned}", lasting=True))
    return found


def _more(users: Sequence[str]) -> str:
    return f" and {len(users) - 1} more" if len(users) > 1 else ""


def _other_target(item: Known, situation: Situation) -> list[Hold]:
    target = situation.wanted.target
    if item.target not in (None, target):
        return [Hold("other_target", f"it belongs to the target {item.target}")]
    if item.target is None and situation.other_targets:
        others = ", ".join(sorted(situation.other_targets))
        return [Hold("other_target", f"nothing says whether it is {target}'s or that of {others}")]
    return []


def _runs(item: Known, situation: Situation) -> list[Hold]:
    """A run that never ended: its branches are what it is continued or taken back with (rule 25)."""
    run = item.run if item.run in situation.runs else situation.mentioned.get(item.id)
    if run is None:
        return []
    verb = situation.runs.get(run, "run")
    advice = "take it back with undo.yml" if verb == "drill" else "finish it or take it back with undo.yml"
    return [Hold("unfinished", f"the {verb} {run} never ended; {advice} -e run={run}", lasting=True)]


def _computes(item: Known, situation: Situation) -> list[Hold]:
    if not item.computes:
        return []
    found = []
    if any(compute.get("current_state") == "active" for compute in item.computes):
        found.append(Hold("compute_active", "a compute of it is running: somebody may be connected"))
    elif (what := _used_since(item)) is not None:
        found.append(Hold("compute_active", f"{what}; if nobody needs it, delete the compute"))
    if situation.unreadable:
        found.append(
            Hold("unreadable", f"it has a compute, and what {situation.unreadable[0]} points to cannot be read")
        )
    return found


def _used_since(item: Known) -> str | None:
    """How somebody has worked on it by hand since it left use, where anybody has (rule 24)."""
    if item.kind in SCRATCH or item.last_active is None:
        return None
    if item.left is not None:
        used = item.last_active > item.left + _LEAVING
        return f"its compute was used at {rfc3339(item.last_active)}, after the application left it" if used else None
    # What verifies a backup takes its compute away again: one that is there was added by somebody.
    if item.kind in BACKUPS and item.created is not None and item.last_active > item.created + _LEAVING:
        return f"somebody gave it a compute, which was used at {rfc3339(item.last_active)}"
    return None


def due(item: Known, wanted: Wanted) -> datetime | None:
    """From when on its age alone would not keep it; None where that is not known."""
    # The date of a drill's test backup is that of any backup: nobody counts on it once the drill is over.
    if item.keep_until is not None and item.kind != "drill":
        return item.keep_until
    since = item.since
    if item.kind in LASTING and item.left is None and item.last_active is not None:
        # Nobody was cut over to it: whoever used it last did so by hand.
        since = max(filter(None, (since, item.last_active)))
    if since is None:
        return None
    return since + (wanted.scratch if item.kind in SCRATCH else wanted.retention)


def not_due(item: Known, wanted: Wanted) -> list[Hold]:
    """Whether its days are not over."""
    until = due(item, wanted)
    if until is None:
        return [Hold("not_due", "nothing says how old it is")]
    return [Hold("not_due", f"kept until {rfc3339(until)}")] if until > wanted.now else []


def why_deleted(item: Known, wanted: Wanted) -> tuple[str, str]:
    """Code and sentence for what goes."""
    age = f", {_age((wanted.now - item.created).total_seconds())} old" if item.created else ""
    if item.kind in SCRATCH:
        return "orphan", f"{item.kind} that {item.run or 'a run that is gone'} has left{age}"
    until = due(item, wanted)
    since = f", left by the application on {item.left:%Y-%m-%d}" if item.left else ""
    return "past_date", f"{item.kind}, past its date{f' {until:%Y-%m-%d}' if until else ''}{since}{age}"


def _age(seconds: float) -> str:
    days = int(seconds // 86_400)
    return f"{days} days" if days >= 2 else duration(seconds)


# Backups


def kept_backups(backups: Iterable[Known], wanted: Wanted) -> dict[str, list[Hold]]:
    """Which of a target's backups stay beside those whose days are not over. Newest means the data, not the branch."""
    newest_first = sorted(backups, key=_instant, reverse=True)
    found: dict[str, list[Hold]] = {}
    verified = [item for item in newest_first if item.verified]
    for number, item in enumerate(verified[: wanted.min_verified], start=1):
        which = "the newest verified backup" if number == 1 else f"verified backup {number} of {wanted.min_verified}"
        found.setdefault(item.id, []).append(Hold("minimum_verified", f"{which} is always kept", lasting=True))
    # Safety rule 1: one without a verified newer one may be all there is.
    for item in newest_first:
        if verified and _instant(item) < _instant(verified[0]):
            break
        if not item.verified:
            found.setdefault(item.id, []).append(Hold("no_newer_verified", "no newer backup is verified", lasting=True))
    for item in newest_first[: wanted.keep_last]:
        found.setdefault(item.id, []).append(Hold("keep_last", f"one of the last {wanted.keep_last}", lasting=True))
    calendar: tuple[tuple[str, int, Callable[[datetime], Any]], ...] = (
        ("daily", wanted.keep_daily, lambda at: at.date()),
        ("weekly", wanted.keep_weekly, lambda at: at.isocalendar()[:2]),
        ("monthly", wanted.keep_monthly, lambda at: (at.year, at.month)),
    )
    for name, count, period in calendar:
        for item in _newest_of_each(newest_first, period, count):
            found.setdefault(item.id, []).append(
                Hold(f"keep_{name}", f"the {name} backup of {item.at:%Y-%m-%d}", lasting=True)
            )
    return found


def _instant(item: Known) -> float:
    return item.at.timestamp() if item.at else 0.0


def _newest_of_each(newest_first: Sequence[Known], period: Callable[[datetime], Any], count: int) -> list[Known]:
    """The newest verified backup of each of the last `count` periods (UTC) that have any; else the newest."""
    chosen: dict[Any, Known] = {}
    for item in newest_first:
        if item.at is None:
            continue
        key = period(item.at)
        if key not in chosen:
            if len(chosen) == count:
                break
            chosen[key] = item
        elif item.verified and not chosen[key].verified:
            chosen[key] = item
    return list(chosen.values())
