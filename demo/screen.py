# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees: chapters, steps with their seconds, lines of at most 80 columns; colour on a terminal only."""

from __future__ import annotations

import os
import shlex
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TextIO

WIDTH = 80
_STYLES = {"bold": "1", "dim": "2", "green": "32", "red": "31", "cyan": "36"}


class Screen:
    """Prints to `out`; on a terminal the step that is under way counts its seconds."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self.live = self._out.isatty() and os.environ.get("TERM") != "dumb"
        self._colour = self.live and not os.environ.get("NO_COLOR")
        self._lock = threading.RLock()
        self._drawn = False
        self.current: Step | None = None

    def style(self, text: str, *names: str) -> str:
        """The text with these styles, or as it is where there is no colour."""
        if not self._colour or not names:
            return text
        return f"\033[{';'.join(_STYLES[name] for name in names)}m{text}\033[0m"

    def line(self, text: str = "", *styles: str) -> None:
        """One line as it is."""
        with self._lock:
            self._wipe()
            print(self.style(text, *styles), file=self._out, flush=True)
            if self.current is not None:
                self.current.draw()

    def say(self, text: str, *styles: str, indent: str = "  ") -> None:
        """A paragraph, wrapped."""
        lines = textwrap.wrap(
            text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
        for line in lines:
            self.line(line, *styles)

    def chapter(self, text: str) -> None:
        """A heading."""
        self.line()
        self.line(text, "bold")

    def command(self, *words: str, background: bool = False) -> None:
        """A command that could be typed just so, over several lines where one is too long."""
        lines = [f"  $ {shlex.quote(words[0])}"]
        for part in _options(words[1:]):
            if len(lines[-1]) + len(part) > WIDTH - 5:
                lines[-1] += " \\"
                lines.append(f"     {part}")
            else:
                lines[-1] += f" {part}"
        lines[-1] += " &" if background else ""
        for line in lines:
            self.line(line, "cyan")

    def step(self, text: str) -> Step:
        """A step to be used as a context manager: its line shows the seconds that it took."""
        return Step(self, text)

    def took(self, seconds: float, text: str, *styles: str) -> None:
        """The line of something that is over."""
        self.line(f"  {seconds:6.1f} s  {text}"[:WIDTH], *styles)

    def draw(self, text: str) -> None:
        """Shows a line that the next one replaces (terminals only)."""
        with self._lock:
            if self.live:
                self._wipe()
                print(self.style(text[: WIDTH - 1], "dim"), end="", file=self._out, flush=True)
                self._drawn = True

    def _wipe(self) -> None:
        if self._drawn:
            print("\r\033[K", end="", file=self._out)
            self._drawn = False


def _options(words: Sequence[str]) -> list[str]:
    """Words for a shell, an option and its value in one piece."""
    parts: list[str] = []
    option = False
    for word in words:
        if option and not word.startswith("-"):
            parts[-1] += f" {shlex.quote(word)}"
            option = False
        else:
            parts.append(shlex.quote(word))
            option = word.startswith("-")
    return parts


class Step:
    """Something that takes a while. `text` may be changed while it is under way."""

    def __init__(self, screen: Screen, text: str) -> None:
        self.screen = screen
        self.text = text
        self.seconds = 0.0
        self._began = time.monotonic()
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Step:
        self._began = time.monotonic()
        self.screen.current = self
        if self.screen.live:
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.monotonic() - self._began
        self._over.set()
        if self._ticker.is_alive():
            self._ticker.join(1.0)
        self.screen.current = None
        if kind is not None:
            self.screen.took(self.seconds, f"{self.text}: not finished", "red")
        else:
            self.screen.took(self.seconds, self.text)

    def draw(self) -> None:
        """Shows how long it takes by now."""
        self.screen.draw(f"  {time.monotonic() - self._began:6.1f} s  {self.text} ...")

    def _tick(self) -> None:
        while not self._over.is_set():
            self.draw()
            self._over.wait(0.2)
