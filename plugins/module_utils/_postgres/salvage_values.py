# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Numbers and other values as texts: their order, and which of them are the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Any

# Rounding would take different keys for the same.
_EXACTLY = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


def _number(value: str) -> str:
    number = Decimal(value)
    if not number.is_finite():
        return str(number)
    return format(number.normalize(_EXACTLY), "f") if number else "0"


def _rank(value: str) -> tuple[int, Decimal]:
    number = Decimal(value)
    if number.is_nan():
        return 2, Decimal()
    return (0, number) if number.is_finite() else (1 if number > 0 else -1, Decimal())


# Numbers are ordered alike everywhere, and by the index of the primary key.
RANKS: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("int2", "int4", "int8"), int),
    **dict.fromkeys(("numeric", "float4", "float8"), _rank),
    "uuid": str,
}
# In which form two values of a type are the same if and only if PostgreSQL takes them for equal.
FORMS: Mapping[str, Callable[[str], str]] = {
    "numeric": _number,
    "float4": _number,
    "float8": _number,
    "citext": str.lower,
}
