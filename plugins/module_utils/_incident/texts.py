# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people are told: the notice to users, the messages to the team, the invitation to the review."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from .._report_parts import moment_text
from .._time import duration, parse_instant
from .facts import Restored
from .watch import BAD, GOOD, UNKNOWN

# How a report shows the watch, whatever a person has said since.
_WATCH_STATUS = {BAD: "failed", GOOD: "done", UNKNOWN: "running"}
TITLES = {
    GOOD: "{target} is well after its restore",
    BAD: "{target} is NOT well after its restore",
    UNKNOWN: "{target}: it cannot be said yet whether it is well after its restore",
    "undone": "The restore of {target} was taken back",
}


def title(answer: str, target: str) -> str:
    return TITLES[answer].format(target=target)


def notice(restored: Restored, *, name: str, contact: str, undone_at: datetime | None) -> dict[str, str]:
    """A draft for the users: what is lost, exactly, and what they can do. A person adds the cause and sends it."""
    interval = restored.interval()
    span = span_text(interval)
    if undone_at is not None:
        lost = f"between {_when(restored.cutover)} and {_when(undone_at)}"
        back = f"What had been saved {span} is there again." if interval["from"] else ""
        body = [
            f"At {_when(restored.cutover)} we restored the database of {name} to an earlier state, and at "
            f"{_when(undone_at)} we took that back.",
            f"Everything that you saved {lost} is lost. {back}".strip(),
        ]
        subject = f"{name}: what was saved {lost} is lost"
    else:
        about = "" if interval["exact"] or not interval["from"] else " The end of that time is not exact to the second."
        body = [
            f"At {_when(restored.cutover)} we restored the database of {name} to its state of "
            f"{moment_text(restored.point_text)}.",
            f"Everything that was saved {span} is lost.{about} What was saved before is there, and so is what you have "
            f"saved since {_when(restored.cutover)}.",
            *_tables(restored.counts()),
        ]
        subject = f"{name}: what was saved {span} is lost"
    not_back = [f"- {item}" for item in restored.not_restored]
    lines = [
        *body,
        "What you can do: look through what you entered in that time, and enter it again.",
        *(
            ["Not touched by the restore, and so perhaps ahead of what you see:\n" + "\n".join(not_back)]
            if not_back
            else []
        ),
        "What had happened: [one sentence about the cause]",
        f"Questions: {contact or '[how to reach you]'}",
    ]
    return {"subject": subject, "text": "\n\n".join(lines) + "\n"}


def held_notice(*, name: str, again: str) -> dict[str, str]:
    """Instead of the draft, while it is open whether the restore stays: what users have lost depends on that."""
    lines = [
        f"Nothing is to be sent to the users yet: what they have lost depends on whether the restore of {name} is "
        "taken back.",
        f"Once it was taken back: {again} writes the notice.",
        f"Where it stays: {again} -e verdict=good does.",
    ]
    return {"subject": f"{name}: no notice to the users yet", "text": "\n\n".join(lines) + "\n"}


def span_text(interval: Mapping[str, Any]) -> str:
    """ "between 2025-01-13 14:25:00 UTC and 2025-01-13 14:52:10 UTC (27 min 10 s)" """
    if not interval["from"]:
        return f"in the time before {moment_text(str(interval['to']))}"
    return f"between {moment_text(interval['from'])} and {moment_text(interval['to'])} ({interval['text']})"


def _tables(counts: Sequence[Mapping[str, Any]]) -> list[str]:
    lost = [f"- {item['table']}: {item['lost']:,}" for item in counts if item["lost"]]
    return ["Rows that are there no more, at least:\n" + "\n".join(lost)] if lost else []


def _when(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def webhook(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The message to a webhook: facts, for a program."""
    return {"event": "rewind.incident", "version": 1, **facts}


def slack(heading: str, lines: Sequence[str], link: str) -> dict[str, str]:
    """The message to an incoming webhook of Slack, or of what takes the same (Mattermost, Rocket.Chat, Discord).

    Three characters have a meaning there (https://docs.slack.dev/messaging/formatting-message-text); no text that comes
    from elsewhere may mention a channel.
    """
    body = [f"*{_slack(heading)}*", *(f"• {_slack(line)}" for line in lines), *([_slack(link)] if link else [])]
    return {"text": "\n".join(body)}


def _slack(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mail(heading: str, lines: Sequence[str], notice_text: str, link: str) -> dict[str, str]:
    """The mail to the team, with the draft of the notice in it where there is one."""
    quoted = "\n".join(f"> {line}".rstrip() for line in notice_text.splitlines())
    body = [
        heading + ".",
        "\n".join(f"- {line}" for line in lines),
        *([f"Report: {link}"] if link else []),
        *(["Draft of the notice to the users:", quoted] if quoted else []),
    ]
    return {"subject": heading, "body": "\n\n".join(body) + "\n"}


def review(restored: Restored, *, name: str, answer: str, run: str) -> dict[str, str]:
    """What the invitation to the review says."""
    lines = [
        f"Review of the restore of {name} to {moment_text(restored.point_text)}: {title(answer, name)}.",
        f"Lost: what was saved {span_text(restored.interval())}.",
        f"Restore: {restored.run}. Record: {run}.",
        "To talk about: what happened and when; how it was noticed; what helped and what was in the way; was the "
        "restore point right; what keeps it from happening again, who does that and until when.",
    ]
    return {"summary": f"Post-incident review: {name}", "description": "\n\n".join(lines)}


def told(notifications: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Who was told, as a report's steps take it."""
    return [
        {
            "step": "told",
            "title": f"Told {item.get('name')}" if item.get("ok") else f"Could not tell {item.get('name')}",
            "started": None,
            "finished": None,
            "seconds": None,
            "status": "done" if item.get("ok") else "failed",
            "detail": str(item.get("why") or ""),
        }
        for item in notifications
    ]


def timeline(restored: Restored, watch: Mapping[str, Any] | None, undone_at: datetime | None) -> list[dict[str, Any]]:
    """What happened when, in the order of time: as a report's steps take it."""
    interval = restored.interval()
    found: list[dict[str, Any]] = []
    if restored.point is not None:
        found.append(_moment("restore_point", "Restore point: what was saved later is lost", interval["from"]))
    found += [dict(section) for section in restored.sections]
    found.append(_moment("last_write", "Last moment at which what is lost could be written", interval["to"]))
    found.append(_moment("in_use", "The application uses the restored data", _iso(restored.cutover)))
    if watch:
        found.append(
            {
                "step": "watch",
                "title": "Watched",
                "started": watch.get("started"),
                "finished": watch.get("ended"),
                "seconds": _seconds(watch),
                "status": _WATCH_STATUS.get(str(watch.get("answer")), "done"),
                "detail": "; ".join(watch.get("reasons") or ()),
            }
        )
        found += [_moment("seen", str(item["text"]), item["at"]) for item in watch.get("events") or ()]
    if undone_at is not None:
        found.append(_moment("undone", "The restore was taken back", _iso(undone_at)))
    return sorted(found, key=lambda item: str(item.get("started") or ""))


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _moment(step: str, text: str, at: Any) -> dict[str, Any]:
    return {"step": step, "title": text, "started": at, "finished": at, "seconds": None, "status": "done"}


def _seconds(watch: Mapping[str, Any]) -> float | None:
    if not watch.get("started") or not watch.get("ended"):
        return None
    return (parse_instant(watch["ended"], future=True) - parse_instant(watch["started"], future=True)).total_seconds()


def watched_text(watch: Mapping[str, Any]) -> str:
    """How long was watched, for the end of a sentence."""
    return f"{watch.get('looks', 0)} looks in {duration(float(watch.get('seconds') or 0))}"
