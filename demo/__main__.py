# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: ``bin/demo``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from demo.children import Children, CommandFailed
from demo.ending import show
from demo.place import DemoRuns, Place
from demo.screen import Screen
from demo.story import ROWS, Ending, Story

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TAIL_LINES = 30


class Stopped(BaseException):
    """A signal came."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def main() -> int:
    """Exit status: 0 when everything is proven, 1 when not or when something failed, 128 + n after a signal."""
    parser = argparse.ArgumentParser(prog="bin/demo", description="Loses data, gets it back, proves it.")
    parser.add_argument("--seed", type=int, default=20250113, help="of the generated rows (default: %(default)s)")
    options = parser.parse_args()
    screen = Screen()
    place = Place.default(os.environ)
    children = Children(place.environment(os.environ), place.log)

    def stop(number: int, frame: FrameType | None) -> None:
        children.interrupt(Stopped(number))

    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        with place.taken():
            place.room()
            return _demo(place, screen, children, options.seed)
    except (DemoRuns, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Stopped as stopped:
        return 128 + stopped.number


def _demo(place: Place, screen: Screen, children: Children, seed: int) -> int:
    began = time.monotonic()
    screen.line("Rewind: lose data, and get back the instant before", "bold")
    screen.say(
        f"{ROWS:,} rows, a writer that never stops, two restores with the ordinary playbooks, each proven row by row. "
        "About a minute and a half. Ctrl-C stops everything."
    )
    screen.say("Everything that the commands print goes to:")
    screen.line(f"  {place.log}")
    ending: Ending | None = None
    status = 1
    try:
        ending = Story(place, screen, children, seed).tell()
        status = 1 if ending.problems else 0
    except Stopped as stopped:
        screen.line(f"Stopped by {stopped}.", "red")
        status = 128 + stopped.number
    except Exception as error:  # whatever it is, a person is told, and everything is stopped
        _failure(screen, place.log, error)
    finally:
        for number in SIGNALS:
            # What stops everything must not be stopped itself.
            signal.signal(number, signal.SIG_IGN)
        stopped_all = _stop_all(place, screen, children)
    if ending is not None:
        show(ending, screen)
    screen.line()
    if stopped_all:
        screen.say(f"Nothing is left running. {time.monotonic() - began:.0f} s in all. Reports and logs stay in:")
        screen.line(f"  {place.folder}")
        screen.say("until the next demo.")
    return status if stopped_all else 1


def _failure(screen: Screen, log: Path, error: Exception) -> None:
    screen.line()
    screen.say(f"The demo failed: {type(error).__name__}: {error}", "red")
    if log.exists():
        screen.line(f"The last {TAIL_LINES} lines of {log}:")
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]:
            screen.line(f"  | {line}", "dim")


def _stop_all(place: Place, screen: Screen, children: Children) -> bool:
    screen.chapter("Stop everything")
    try:
        with screen.step("the writer, the playbook, the sandbox"):
            children.end_all()
            if place.root.exists():
                place.down(children)
    except CommandFailed as error:
        _failure(screen, place.log, error)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
