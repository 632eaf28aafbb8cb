# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore point that soon leaves the history window: what a restore needs to be told to take it all the same. Pure.

A restore refuses a point that would leave the window within the seconds that it reserves for verification, confirmation
and the cutover (rule 4). A search finds such points, for it needs none of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .._time import duration

RESERVED = ("verify_seconds", "confirm_seconds", "cutover_deadline")
# Until a person has read what was found and begun the restore; less where there is little left.
_TO_BEGIN = 600.0
# With less there is no restore that anybody should begin.
_LEAST_SECONDS = 60.0


@dataclass(frozen=True)
class Hurry:
    """What a restore is to be told, and a person.

    :param options: the extra variables of restore.yml; empty where its own ones do, None where none would help.
    """

    options: Mapping[str, int] | None = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def hurry(left: float, reserved: Mapping[str, float]) -> Hurry:
    """How a restore is to hurry.

    :param left: the seconds until the point leaves the window.
    :param reserved: what restore.yml reserves by itself, in seconds, by the names of `RESERVED`.
    """
    needs = sum(reserved[name] for name in RESERVED)
    to_begin = min(_TO_BEGIN, left / 3)
    if left - to_begin >= needs:
        return Hurry()
    why = f"A restore reserves {duration(needs)} of the history window, and this point leaves it in {duration(left)}"
    longer = "lengthening the project's history window in the Neon console, at once, gives it more time"
    if left - to_begin < _LEAST_SECONDS:
        return Hurry(None, (f"{why}: that is too short for a restore; {longer}.",))
    options = _shortened(left - to_begin, reserved)
    said = " ".join(f"-e {name}={value}" for name, value in options.items())
    notes = [
        f"{why}: the command below shortens that with {said}, and is refused if it is not begun within "
        f"{duration(to_begin)}; {longer}."
    ]
    if "cutover_deadline" in options:
        notes.append(
            f"A cutover that is not proven within {options['cutover_deadline']} s is taken back: that may be too short"
            " for a deployment."
        )
    return Hurry(options, tuple(notes))


def _shortened(seconds: float, reserved: Mapping[str, float]) -> dict[str, int]:
    """These seconds, shared out: the deadline is the last to be shortened, for what misses it is taken back."""
    verify, confirm, deadline = (reserved[name] for name in RESERVED)
    rest = seconds - deadline
    if rest >= 2:
        share = verify / (verify + confirm) if verify + confirm else 0.5
        first = max(1, int(rest * share))
        return {"verify_seconds": first, "confirm_seconds": max(1, int(rest) - first)}
    return {"verify_seconds": 1, "confirm_seconds": 1, "cutover_deadline": int(seconds) - 2}
