# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters of the report. Each is documented in the file of its own name beside this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.rewind.database.plugins.module_utils._report import facts, view
from ansible_collections.rewind.database.plugins.module_utils._report_parts import ESCAPES


def report_view(
    data: object, form: str, objectives: Mapping[str, Any] | None = None, now: str | None = None
) -> dict[str, Any]:
    """What a template of the report places, every text escaped for the form.

    :raises AnsibleFilterError: for something that is no dictionary, or a form that does not exist.
    """
    if form not in ESCAPES:
        raise AnsibleFilterError(f'show the report as "{form}": use {", ".join(ESCAPES)}')
    return view(_facts_of(data), form, objectives, now)


def report_facts(data: object, objectives: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The report as data, without secrets, with objectives and sums.

    :raises AnsibleFilterError: for something that is no dictionary.
    """
    return facts(_facts_of(data), objectives)


def _facts_of(data: object) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise AnsibleFilterError("show the report: its data must be a dictionary")
    return data


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"report_view": report_view, "report_facts": report_facts}
