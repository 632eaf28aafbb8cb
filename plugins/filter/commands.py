# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A filter that writes commands. It is documented in the file of its own name beside this one."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.rewind.database.plugins.module_utils import _commands
from ansible_collections.rewind.database.plugins.plugin_utils._this_run import form_of_this_run


def playbook_command(playbook: str, **variables: object) -> str:
    """The command that runs a playbook of this collection, as this run was begun."""
    _commands.use(form_of_this_run())
    return _commands.command(playbook, **variables)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {"playbook_command": playbook_command}
