# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A filter about what was typed after ``-e``. It is documented in the file of its own name beside this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ansible import context
from ansible.errors import AnsibleError
from ansible.module_utils.common.text.converters import to_text
from ansible.parsing.splitter import parse_kv, split_args

# How a file, and YAML or JSON, begin after -e (ansible.utils.vars.load_extra_vars).
_NO_KEY_VALUE = ("@", "/", ".", "[", "{")


def as_typed(value: object, name: str) -> object:
    """The value with the words that Ansible has dropped from it.

    A shell takes the quotes of ``-e reason="before migration 42"`` away, and Ansible then keeps the first word and
    ignores the others (`parse_kv`, seen in ansible-core 2.19 to 2.21).

    :param value: what Ansible has made of the variable.
    :param name: the variable, as it is written after ``-e``.
    """
    options = context.CLIARGS.get("extra_vars") or ()
    for option in reversed([to_text(option) for option in options]):
        if not option.strip() or option.startswith(_NO_KEY_VALUE):
            continue
        try:
            kept = parse_kv(option).get(name)
            dropped = list(_dropped(split_args(option), name))
        except AnsibleError:
            continue
        if kept is not None:
            # Anything else has gone before it, such as a file of variables that was named later.
            return " ".join([to_text(value), *dropped]) if to_text(value) == to_text(kept) else value
    return value


def _dropped(words: Iterable[str], name: str) -> Iterable[str]:
    key = ""
    for word in words:
        if "=" in word:
            key = word.partition("=")[0].strip()
        elif key == name and word.strip():
            yield word.strip()


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {"as_typed": as_typed}
