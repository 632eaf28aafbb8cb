# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The limits of the APIs: kept to by all processes together, first come first served, and in nobody's way."""

from __future__ import annotations

import json
import random
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils import _pace
from ansible_collections.rewind.database.plugins.module_utils._errors import ApiError
from ansible_collections.rewind.database.plugins.module_utils._http import Api
from ansible_collections.rewind.database.plugins.module_utils._pace import Limit, Shared, limits
from ansible_collections.rewind.database.plugins.module_utils._waiter import Deadline
from ansible_collections.rewind.database.tests.unit.tools import COOLIFY_TOKEN, NEON_KEY, FakeClock, FakeTask, Script

# One of several processes that ask as fast as they may; it prints the instants that it reserved, and when it asked.
ASKING = """
import json, sys, time
from pathlib import Path
from ansible_collections.rewind.database.plugins.module_utils import _pace, _waiter

class Clock(_waiter.Clock):
    def monotonic(self):
        self.last = time.monotonic()
        return self.last

_pace.FOLDER, _waiter.CLOCK = Path(sys.argv[1]), Clock()
shared = _pace.Shared("neon-test", tuple(_pace.Limit(most, seconds) for most, seconds in json.loads(sys.argv[2])))
instants = []
for _ in range(int(sys.argv[3])):
    wait = shared.reserve(60.0)
    reserved = _waiter.CLOCK.last + wait
    time.sleep(max(0.0, reserved - time.monotonic()))
    instants.append([reserved, time.monotonic()])
print(json.dumps(instants))
"""


def most_in(instants: list[float], seconds: float) -> int:
    """The most instants in any span of so many seconds."""
    return max(sum(1 for other in instants if start <= other < start + seconds) for start in instants)


def test_processes_that_know_nothing_of_each_other_keep_to_one_limit(tmp_path: Path) -> None:
    """Given four processes that ask 60 times in all, then no span holds more than allowed, and no time is wasted."""
    kept = [Limit(20, 0.6), Limit(8, 0.1)]
    told = [str(tmp_path / "pace"), json.dumps([[x.most, x.seconds] for x in kept]), "15"]
    command = [sys.executable, "-c", ASKING, *told]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    instants = [pair for process in running for pair in json.loads(process.communicate(timeout=60)[0])]
    assert all(process.returncode == 0 for process in running)
    reserved = sorted(pair[0] for pair in instants)
    assert len(reserved) == 60
    for limit in kept:
        assert most_in(reserved, limit.seconds - 1e-6) <= limit.most, limit
    assert all(asked >= at for at, asked in instants), "nobody asks before its instant"
    # 60 are three times 20: the last twenty begin two spans after the first, and take no longer than twenty do.
    assert 1.2 <= reserved[-1] - reserved[0] < 1.2 + 0.6


def test_what_was_reserved_never_holds_more_than_allowed(clock: FakeClock, seed: int) -> None:
    """Given any rhythm of requests, then the reserved instants fit, in order, and none is later than it must be."""
    rng = random.Random(seed)
    kept = (Limit(10, 60.0), Limit(3, 1.0))
    shared = Shared("coolify-x", kept)
    at: list[float] = []
    for _ in range(300):
        clock.now += rng.choice((0.0, 0.01, 0.4, 30.0))
        instant = clock.now + shared.reserve(600.0)
        assert not at or instant >= at[-1], "first come, first served"
        earliest = max([clock.now, *(at[-x.most] + x.seconds for x in kept if len(at) >= x.most)])
        assert instant == pytest.approx(earliest), "no later than it must be"
        at.append(instant)
    for limit in kept:
        assert most_in(at, limit.seconds - 1e-6) <= limit.most


def test_processes_with_different_limits_forget_nothing(clock: FakeClock) -> None:
    """Given one that keeps to less than another, then neither takes the other's instants for rubbish."""
    slow, fast = Shared("coolify-x", (Limit(2, 60.0),)), Shared("coolify-x", (Limit(10, 60.0),))
    at = [clock.now + one.reserve(600.0) for one in (slow, slow, slow, fast, fast, slow, fast, fast)]
    assert at == sorted(at), "first come, first served"
    assert [round(instant - clock.now) for instant in at] == [0, 0, 60, 60, 60, 120, 120, 120]
    with fast._instants() as instants:
        assert list(instants) == pytest.approx(at)
        instants.extend([float("nan"), clock.now + 1e6])
        instants.insert(0, clock.now + 130.0)
    assert fast.reserve(600.0) == pytest.approx(130.0), "what cannot be is left out, and the rest counts in any order"
    with fast._instants() as instants:
        assert list(instants) == pytest.approx([*at, clock.now + 130.0, clock.now + 130.0])


def test_the_limits_are_those_of_the_services_with_a_margin() -> None:
    """Given what the services document, then less is asked; a higher limit of an instance is used."""
    assert limits("neon", 700) == (Limit(665, 60.0), Limit(38, 1.0))
    assert limits("coolify", 200) == (Limit(190, 60.0),)
    assert limits("coolify", 600) == (Limit(570, 60.0),)
    assert limits("neon", 1) == (Limit(1, 60.0), Limit(38, 1.0))


COOLIFY_URL = "https://coolify.example.com/api/v1"


def coolify_pace() -> Shared:
    """What all who ask at most once a minute share."""
    return _pace.shared("coolify", COOLIFY_URL, 1)


def coolify(task: FakeTask, seconds: float = 300.0, per_minute: int = 2, token: str = COOLIFY_TOKEN) -> Api:
    return Api(
        base_url=COOLIFY_URL, token=token, task=task, service="coolify", deadline=Deadline(seconds),
        per_minute=per_minute,
    )  # fmt: skip


def test_a_request_waits_for_its_turn_and_says_so(script: Script, clock: FakeClock) -> None:
    """Given a limit that is used up by another token's process, then the third request waits out the minute."""
    for _ in range(3):
        script.expect("GET", "/version", "4.3.11")
    coolify(FakeTask({}), token=NEON_KEY).get("/version")
    task = FakeTask({})
    api = coolify(task, per_minute=3)
    api.get("/version")
    assert clock.slept == []
    api.get("/version")
    assert clock.slept == [pytest.approx(60.0)]
    assert "stay within the limit of Coolify" in " ".join(task.lines)


def test_a_short_step_waits_for_a_whole_window(script: Script, clock: FakeClock) -> None:
    """Given a deadline shorter than a window that others have used up, then the step does not fail for it."""
    for _ in range(2):
        script.expect("GET", "/version", "4.3.11")
    coolify(FakeTask({}), per_minute=1).get("/version")
    coolify(FakeTask({}), 20.0, per_minute=1).get("/version")
    assert clock.slept == [pytest.approx(60.0)]


@pytest.mark.parametrize("status", [429, 503])
def test_who_was_let_through_late_is_as_patient_as_ever(script: Script, clock: FakeClock, status: int) -> None:
    """Given a deadline that went by while others were served, then the service's answer is waited for as long as
    always, and what will pass is waited out; what is waited for as a whole has had its time."""
    coolify_pace().reserve(0)
    script.expect("GET", "/version", "busy", status=status, headers={"Retry-After": "10"})
    script.expect("GET", "/version", "4.3.11")
    api = coolify(FakeTask({}), 20.0, per_minute=1)
    assert api.get("/version").body == "4.3.11"
    assert script.requests[-1].extensions["timeout"]["read"] == 20.0
    assert api.deadline.passed and 0 < api.deadline.patience() <= 10


def test_what_was_queued_before_does_not_add_up(clock: FakeClock) -> None:
    """Given an operation whose many polls were let through late, then none of them overruns its deadline for long."""
    deadline = Deadline(900)
    deadline.excuse(600.0)
    clock.sleep(895)
    assert deadline.patience() == pytest.approx(90.0)
    clock.sleep(600)
    assert deadline.passed and deadline.patience() == pytest.approx(5.0)


def test_who_would_wait_beyond_the_deadline_is_told_and_takes_nobodys_turn(script: Script, clock: FakeClock) -> None:
    """Given a deadline before the next turn, then nothing is sent, the error says why, and no instant is reserved."""
    script.expect("GET", "/version", "4.3.11")
    coolify(FakeTask({}), per_minute=1).get("/version")
    assert coolify_pace().reserve(100.0) == pytest.approx(60.0)
    for _ in range(3):
        with pytest.raises(ApiError, match=r"after the deadline.*fewer forks") as caught:
            coolify(FakeTask({}), 20.0, per_minute=1).get("/version")
        assert caught.value.code == "rate_limited" and caught.value.retryable
    assert coolify_pace().reserve(200.0) == pytest.approx(120.0), "those who were refused have taken no turn"
    assert clock.slept == []


def test_when_the_service_says_that_the_limit_is_reached_nobody_asks_before_it_is_over(
    script: Script, clock: FakeClock
) -> None:
    """Given a 429 that others have caused, then this process and the next one wait as long as was said."""
    refused = {"X-RateLimit-Remaining": "0", "Retry-After": "30"}
    script.expect("GET", "/version", {"message": "Too Many Attempts."}, status=429, headers=refused)
    script.expect("GET", "/version", "4.3.11")
    coolify(FakeTask({}), per_minute=100).get("/version")
    assert clock.now == pytest.approx(1030.0, abs=1.0)
    full = {"Retry-After": "60"}
    script.expect("POST", "/deploy", {"message": "Deployment queue is full."}, status=429, headers=full)
    script.expect("POST", "/deploy", {"deployments": []})
    script.expect("GET", "/version", "4.3.11")
    began = clock.now
    api = coolify(FakeTask({}), per_minute=100)
    api.post("/deploy")
    assert clock.now == pytest.approx(began + 60.0, abs=1.0), "a full queue is waited out by who wants to deploy"
    api.get("/version")
    assert clock.now == pytest.approx(began + 60.0, abs=1.0), "and holds up nothing else"


@pytest.mark.parametrize("content", [b"", b"\x00" * 13, b"\xff" * 8 * 50, b"not a file of instants, but a text", None])
def test_a_file_that_says_nonsense_holds_up_nobody(clock: FakeClock, content: bytes | None) -> None:
    """Given a torn file, NaN, a text or the far future, then it counts for nothing."""
    shared = Shared("coolify-y", (Limit(2, 60.0),))
    path = _pace.folder() / shared._name
    path.write_bytes(content if content is not None else __import__("array").array("d", [1e12] * 9).tobytes())
    assert [shared.reserve(600.0) for _ in range(3)] == [0.0, 0.0, pytest.approx(60.0)]


def test_a_folder_that_is_not_ours_alone_is_not_used(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Given a folder open to others, or none to make, then the request is sent, with a warning."""
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o755)
    (tmp_path / "file").touch()
    for place in (open_to_all, tmp_path / "file" / "below"):
        monkeypatch.setattr(_pace, "FOLDER", place)
        script.expect("GET", "/version", "4.3.11").expect("GET", "/version", "4.3.11")
        task = FakeTask({})
        api = coolify(task, per_minute=1)
        api.get("/version")
        api.get("/version")
        assert len(task.warnings) == 1 and "cannot be kept to together" in task.warnings[0]


def test_nothing_of_a_token_is_kept(script: Script) -> None:
    """Given a request, then the file is this user's alone and neither its name nor its content knows the token."""
    script.expect("GET", "/version", "4.3.11")
    coolify(FakeTask({})).get("/version")
    (path,) = _pace.folder().iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert COOLIFY_TOKEN.partition("|")[2] not in f"{path.name}{path.read_bytes()!r}"
    assert path.stat().st_size == 8


def test_without_a_limit_nothing_is_counted(script: Script, clock: FakeClock) -> None:
    """Given 0, then every request is sent at once."""
    for _ in range(5):
        script.expect("GET", "/version", "4.3.11")
    api: Any = coolify(FakeTask({}), per_minute=0)
    for _ in range(5):
        api.get("/version")
    assert clock.slept == [] and not (_pace.FOLDER or Path()).exists()
