# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands that people are told to run, in the words that work where they are.

Texts name a playbook as in a clone, with its own inventory: `ansible-playbook playbooks/undo.yml`. Who runs the
installed collection, or another inventory, would get an error by that, or other targets. The controller therefore says
how this run was begun, and every command on its way to a person is written like it. Nothing else of the command line is
taken over: after -e there may be secrets.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_COMMAND = re.compile(r"ansible-playbook playbooks/(\w+)\.yml")
# What neither a shell nor Ansible's reading of key=value takes for anything else than itself.
_PLAIN = re.compile(r"[\w@%+:,./-]+")


@dataclass(frozen=True)
class Form:
    """How the playbooks of this collection are named on the command line.

    :param inventories: what to give with -i; none where it is the usual one.
    :param before: what stands before the name of a playbook, such as a folder or the collection.
    :param after: what stands after it.
    """

    inventories: tuple[str, ...] = ()
    before: str = "playbooks/"
    after: str = ".yml"

    def begin(self, playbook: str) -> str:
        """The command as far as the playbook."""
        words = [word for inventory in self.inventories for word in ("-i", inventory)]
        return shlex.join(["ansible-playbook", *words, f"{self.before}{playbook}{self.after}"])


_CLONE = Form()
_form = _CLONE


def use(form: Form) -> None:
    """From here on, in this process, commands are written like this."""
    # One process is one run, or one task of it.
    global _form
    _form = form


def command(playbook: str, **variables: object) -> str:
    """A whole command, with `variables` after -e."""
    return " ".join([_form.begin(playbook), *(extra(name, value) for name, value in variables.items())])


def extra(name: str, value: object) -> str:
    """One variable for the command line: as JSON where Ansible would split it at a space."""
    text = str(value)
    return f"-e {name}={text}" if _PLAIN.fullmatch(text) else f"-e {shlex.quote(json.dumps({name: text}))}"


def as_run(value: Any) -> Any:
    """The same with every command in it, however deep, written like this run's."""
    if _form == _CLONE:
        return value
    if isinstance(value, str):
        return _COMMAND.sub(lambda found: _form.begin(found[1]), value) if "ansible-playbook" in value else value
    if isinstance(value, Mapping):
        return {key: as_run(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_run(item) for item in value]
    return value
