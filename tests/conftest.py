# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of all tests: the seed, and a running sandbox per module."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.sandbox import Control, SandboxProcess

# The same in every run, as a gate must answer alike twice; REWIND_TEST_SEED=random looks where nobody has looked yet.
USUAL_SEED = 20250113
_wanted = os.environ.get("REWIND_TEST_SEED") or str(USUAL_SEED)
SEED = random.SystemRandom().randrange(2**31) if _wanted == "random" else int(_wanted)
# Every process of a run that is spread over several has the same one.
os.environ["REWIND_TEST_SEED"] = str(SEED)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So a shell begins what it sends to the background, and what tests begin would inherit it and not see a Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile(
    "rewind", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=SEED == USUAL_SEED
)
settings.load_profile("rewind")


def pytest_report_header() -> str:
    """Says how to repeat this run."""
    return f"rewind: REWIND_TEST_SEED={SEED}"


@pytest.fixture(scope="session")
def seed() -> int:
    """The seed of everything random in this run; printed at the top."""
    return SEED


@pytest.fixture
def rng(seed: int, request: pytest.FixtureRequest) -> random.Random:
    """A random stream of the test's own."""
    return random.Random(f"{seed}:{request.node.nodeid}")


@pytest.fixture(scope="module")
def sandbox(request: pytest.FixtureRequest) -> Iterator[SandboxProcess]:
    """A running sandbox of the module's own, with the ``test`` profile and the module's ``SANDBOX_SETTINGS``."""
    process = SandboxProcess(request.module.__name__.rpartition(".")[2].replace("_", "-"))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REWIND_SANDBOX_DIR", str(process.root))
            patch.setenv("REWIND_SANDBOX_CONNECTION", str(process.connection_file))
            process.up(**getattr(request.module, "SANDBOX_SETTINGS", {}))
            yield process
    finally:
        process.remove()


@pytest.fixture
def control(sandbox: SandboxProcess) -> Iterator[Control]:
    """The control API; faults, latency and the clock are put back afterwards."""
    client = sandbox.control
    yield client
    client.calm()
