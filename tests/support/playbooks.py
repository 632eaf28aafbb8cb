# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks run as a user runs them, and what they print and write looked through for secrets, every time."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import yaml

from tests.support.sandbox import CLONE, SandboxProcess

# Generous: the machine may be busy with other work. A run that hangs must still end the test.
TIMEOUT = 900.0
_RECAP = re.compile(r"^(\S+)\s+:((?: \w+=\d+\s*)+)$", re.MULTILINE)
_FATAL = re.compile(r"^(?:fatal|failed): \[[^\]]+\][^\n]*=>[^\n]*\n((?:[ ]+[^\n]*\n|\n)+)", re.MULTILINE)
_STRING_WITH_PASSWORD = re.compile(r"postgres(?:ql)?://[^\s:@/'\"]+:(?!\*)[^\s@'\"]+@")


@dataclass(frozen=True)
class Played:
    """One run of ansible-playbook that has ended."""

    command: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def text(self) -> str:
        """All that was printed, on one line: long messages are wrapped where the reader's terminal wants it."""
        return " ".join(f"{self.stdout}\n{self.stderr}".split())

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """The counts of each host by their names: ok, changed, failed, ..."""
        return {
            host: {name: int(value) for name, value in (item.split("=") for item in counts.split())}
            for host, counts in _RECAP.findall(self.stdout.partition("PLAY RECAP")[2])
        }

    @property
    def changed(self) -> int:
        """Tasks that changed something, over all hosts."""
        return sum(counts["changed"] for counts in self.recap.values())

    @property
    def message(self) -> str:
        """The message of the last task that failed, on one line; empty where none did."""
        return _message(_FATAL.findall(self.stdout))

    def message_of(self, host: str) -> str:
        """The message of the last task that failed on this host, on one line; empty where none did."""
        found = re.findall(_FATAL.pattern.replace(r"\[[^\]]+\]", re.escape(f"[{host}]")), self.stdout, re.MULTILINE)
        return _message(found)

    def ok(self) -> Played:
        """Fails the test unless it succeeded without a warning."""
        assert self.returncode == 0, f"{self}\n{self.stdout[-6000:]}\n{self.stderr[-3000:]}"
        warnings = re.findall(r"^\[(?:DEPRECATION )?WARNING\].*$", f"{self.stdout}\n{self.stderr}", re.MULTILINE)
        assert not warnings, f"{self}: {warnings}"
        return self

    def failed(self) -> Played:
        """Fails the test unless a task failed, in Ansible's own orderly way, with a message."""
        assert self.returncode == 2, f"{self}\n{self.stdout[-6000:]}\n{self.stderr[-3000:]}"
        assert self.message, f"no message of a failed task was found\n{self.stdout[-6000:]}"
        assert "Traceback" not in self.text
        return self

    def __str__(self) -> str:
        return f"{' '.join(self.command)}: {self.returncode} after {self.seconds:.1f} s"


def _message(found: list[str]) -> str:
    shown = yaml.safe_load(found[-1]) if found else None
    return " ".join(str(shown.get("msg", "")).split()) if isinstance(shown, dict) else ""


def typed(name: str, value: Any) -> str:
    """``-e name="a few words"`` reaches the program without its quotes; a list or a number is given as JSON."""
    return f"{name}={value}" if isinstance(value, str) and value else json.dumps({name: value})


class Playbooks:
    """Runs playbooks against one sandbox. Every run fails the test when a secret shows in what it printed or wrote."""

    def __init__(self, sandbox: SandboxProcess, seed: int) -> None:
        self.sandbox = sandbox
        self.seed = seed
        self.secrets: set[str] = set()
        """Secrets beside those that the sandbox holds: tokens that a test made."""
        self.runs: list[Played] = []
        self._extra = Path(tempfile.mkdtemp(prefix="inventory-", dir=sandbox.root))
        self._hosts: dict[str, dict[str, Any]] = {}

    @property
    def state(self) -> Path:
        """The sandbox inventory's rewind_state_dir."""
        return Path(self.sandbox.connection["state_dir"])

    @property
    def inventory(self) -> list[str]:
        """The options that name the inventory: the sandbox's, and the test's own hosts where there are any."""
        own = ["-i", str(self._extra / "hosts.yml")] if self._hosts else []
        return ["-i", str(CLONE / "inventory" / "sandbox"), *own]

    def add_host(self, name: str, **variables: Any) -> None:
        """A target of the test's own beside the sandbox's: an inventory host with these variables."""
        self._hosts[name] = variables
        tree = {"all": {"children": {"rewind_sandbox_hosts": {"hosts": self._hosts}}}}
        (self._extra / "hosts.yml").write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")

    def play(
        self,
        playbook: str | Path,
        *options: str,
        folder: Path = CLONE,
        environment: Mapping[str, str] | None = None,
        inventory: Iterable[str] | None = None,
        timeout: float = TIMEOUT,
        **variables: Any,
    ) -> Played:
        """One ``ansible-playbook`` with `variables` as ``-e``, as a person would type them, started in `folder`."""
        said = [part for name, value in variables.items() for part in ("-e", typed(name, value))]
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        command = [program, *(self.inventory if inventory is None else inventory), str(playbook), *options, *said]
        began = time.monotonic()
        ended = subprocess.run(
            command,
            cwd=folder,
            env={**self._environment(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        spent = time.monotonic() - began
        played = Played(tuple(command[1:]), ended.returncode, ended.stdout, ended.stderr, spent)
        print(f"{played} (REWIND_TEST_SEED={self.seed})")
        self.runs.append(played)
        assert (leaks := self.leaks(played)) == [], f"secrets are shown: {leaks}"
        return played

    def restore(self, *options: str, **variables: Any) -> Played:
        """``playbooks/restore.yml``."""
        return self.play("playbooks/restore.yml", *options, **variables)

    def backup(self, *options: str, **variables: Any) -> Played:
        """``playbooks/backup.yml``."""
        return self.play("playbooks/backup.yml", *options, **variables)

    def _environment(self) -> dict[str, str]:
        mine = {name: value for name, value in self.sandbox.environment.items() if name != "PYTHONPATH"}
        path = f"{Path(sys.executable).parent}{os.pathsep}{mine.get('PATH', '')}"
        return {**mine, "PATH": path, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "80"}

    def known_secrets(self) -> set[str]:
        """Every token and password that the sandbox holds, and the connection strings made of them."""
        store = json.loads((self.sandbox.root / "store.json").read_text(encoding="utf-8"))
        return set(_secrets_in(store)) | self.secrets

    def leaks(self, played: Played) -> list[str]:
        """Where something secret stands in what this run printed or in the state folder; the secret itself is not said.

        Looked for as it is, quoted as in an address, and inside base64 at each of the three alignments.
        """
        texts = {"stdout": played.stdout, "stderr": played.stderr}
        for path in sorted(self.state.rglob("*")) if self.state.is_dir() else ():
            if path.is_file():
                texts[str(path.relative_to(self.state))] = path.read_text(encoding="utf-8", errors="replace")
        return find_secrets(texts, self.known_secrets())


def find_secrets(texts: Mapping[str, str], secrets: Iterable[str]) -> list[str]:
    """The places where one of these secrets, in any form, or a connection string with a password stands."""
    forms = {form: f"{secret[:6]}..." for secret in secrets for form in secret_forms(secret)}
    if not forms:
        return ["there is no secret to look for"]
    wanted = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))
    found = []
    for place, text in texts.items():
        found += [f"{place}: {forms[match]}" for match in sorted(set(wanted.findall(text)))]
        found += [f"{place}: a connection string with a password"] * bool(_STRING_WITH_PASSWORD.search(text))
    return found


def secret_forms(secret: str) -> set[str]:
    """A secret as it is, as part of an address, and as the part of a base64 text that does not depend on its ends."""
    forms = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
    data = secret.encode()
    for shift in range(3):
        whole = base64.b64encode(bytes(shift) + data).decode().rstrip("=")
        # Characters that hold bits of a neighbouring byte differ with it.
        inner = whole[(shift * 8 + 5) // 6 : (shift + len(data)) * 8 // 6]
        forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    return forms


def _secrets_in(store: Any, path: tuple[str, ...] = ()) -> Iterable[str]:
    """Passwords, tokens and values of connection strings in a sandbox's own store."""
    if isinstance(store, dict):
        for key, value in store.items():
            if path[-1:] == ("coolify_accepted",):
                yield key.partition("|")[2]
            yield from _secrets_in(value, (*path, key))
    elif isinstance(store, list):
        for value in store:
            yield from _secrets_in(value, path)
    elif isinstance(store, str) and store:
        if path[-1].endswith("password"):
            yield store
        elif path[:1] == ("tokens",) and len(path) == 2:
            yield store.partition("|")[2] or store
        elif "://" in store and "@" in store:
            yield store
