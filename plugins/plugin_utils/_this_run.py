# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How this run was begun, for the commands that it tells people."""

from __future__ import annotations

import os
from pathlib import Path

from ansible import constants as C
from ansible import context
from ansible_collections.rewind.database.plugins.module_utils._commands import Form

_PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
_INSTALLED = Form(before="rewind.database.", after="")


def form_of_this_run() -> Form:
    """The inventories of the command line, and the collection's playbooks as they were named there."""
    options = context.CLIARGS
    playbooks = options.get("args") or ()
    form = _form_of(playbooks[0]) if isinstance(playbooks, (list, tuple)) and playbooks else Form()
    given = list(options.get("inventory") or ())
    usual = given == list(C.DEFAULT_HOST_LIST)
    return Form(() if usual else tuple(map(_inventory, given)), form.before, form.after)


def _form_of(playbook: str) -> Form:
    """By a path into the folder of playbooks as by a path; by anything else, such as a play of one's own, by name."""
    path = Path(str(playbook))
    if path.suffix == ".yml" and path.resolve().parent == _PLAYBOOKS:
        folder = str(path.parent)
        return Form(before="" if folder == "." else f"{folder}/")
    return _INSTALLED


def _inventory(source: str) -> str:
    """As it was typed, as far as that can be told: Ansible makes every path absolute, and the name of a plugin too."""
    text = str(source)
    relative = os.path.relpath(text) if "," not in text and Path(text).is_absolute() else text
    return text if relative.startswith(os.pardir) else relative
