# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests in which something is killed or gets lost: one sandbox per module, a new target per story."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults.story import Plays, Story
from tests.support.sandbox import Control, SandboxProcess
from tests.support.targets import Targets

Tell = Callable[..., Story]


@pytest.fixture(scope="module")
def targets(sandbox: SandboxProcess, seed: int) -> Targets:
    """The module's targets."""
    return Targets(Plays(sandbox, seed), sandbox.control)


@pytest.fixture
def tell(targets: Targets, control: Control, rng: random.Random) -> Iterator[Story]:
    """Begins stories: each is a target of its own with data to lose, read the whole time. Ends them afterwards."""
    told: list[Story] = []

    def begin(strategy: str, **options: Any) -> Story:
        told.append(Story(targets, control, rng, strategy, **options))
        return told[-1]

    yield begin  # type: ignore[misc]  # a fixture's type is that of what it yields
    for story in told:
        story.close()
