# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests that run playbooks: one sandbox per module, its playbooks and its targets."""

from __future__ import annotations

import pytest

from tests.support.playbooks import Playbooks
from tests.support.sandbox import SandboxProcess
from tests.support.targets import Targets


@pytest.fixture(scope="module")
def playbooks(sandbox: SandboxProcess, seed: int) -> Playbooks:
    """Runs playbooks against the module's sandbox."""
    return Playbooks(sandbox, seed)


@pytest.fixture(scope="module")
def targets(playbooks: Playbooks) -> Targets:
    """The module's targets."""
    return Targets(playbooks, playbooks.sandbox.control)
