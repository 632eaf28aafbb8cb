# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ids that look like Neon's: other clients take anything else for a name."""

from __future__ import annotations

import random
import re
import secrets
import string
import uuid
from collections.abc import Container

_FIRST = re.findall(
    r"\w+",
    "aged ancient autumn billowing bitter black blue bold broad broken calm cold cool crimson curly damp dark dawn "
    "delicate divine dry empty falling fancy flat floral fragrant frosty gentle green hidden holy icy jolly late "
    "lingering little lively long lucky misty morning muddy mute nameless noisy odd old orange patient plain polished "
    "proud purple quiet rapid raspy red restless rough round royal shiny shrill shy silent small snowy soft solitary "
    "sparkling spring square steep still summer super sweet throbbing tight tiny twilight wandering weathered white "
    "wild winter wispy withered yellow young",
)
_SECOND = re.findall(
    r"\w+",
    "art band bar base bird block boat bonus bread breeze brook bush butterfly cake cell cherry cloud credit darkness "
    "dawn dew disk dream dust feather field fire firefly flower fog forest frog frost glade glitter grass hall hat "
    "haze heart hill king lab lake leaf limit math meadow mode moon morning mountain mouse mud night paper pine poetry "
    "pond queen rain recipe resonance rice river salad scene sea shadow shape silence sky smoke snow snowflake sound "
    "star sun sunset surf term thunder tooth tree truth union unit violet voice water waterfall wave wildflower wind "
    "wood",
)


class Ids:
    """Random ids from one stream of the sandbox's seed; secrets come from the system instead."""

    def __init__(self, stream: random.Random) -> None:
        self._random = stream

    def _words(self) -> str:
        return f"{self._random.choice(_FIRST)}-{self._random.choice(_SECOND)}"

    def _tail(self, length: int = 8) -> str:
        letters = "".join(self._random.choices(string.ascii_lowercase + string.digits, k=length - 1))
        return "a" + letters

    def fresh(self, kind: str, taken: Container[str] = ()) -> str:
        """``br-cool-frost-a1b2c3d4``, ``ep-…``, ``snap-…``; one that is not `taken`."""
        while (made := f"{kind}-{self._words()}-{self._tail()}") in taken:
            continue
        return made

    def project(self, taken: Container[str]) -> str:
        """``shiny-wind-02883412``."""
        while (made := f"{self._words()}-{self._random.randrange(10**7, 10**8)}") in taken:
            continue
        return made

    def operation(self) -> str:
        """A version 4 UUID."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


def new_password() -> str:
    """``npg_…``: a role password as the real service makes them."""
    alphabet = string.ascii_letters + string.digits
    return "npg_" + "".join(secrets.choice(alphabet) for _ in range(16))


def new_key() -> str:
    """An API key."""
    alphabet = string.ascii_lowercase + string.digits
    return "napi_" + "".join(secrets.choice(alphabet) for _ in range(64))
