# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be set about a sandbox, where it is kept, and the profiles.

Every setting has a dotted name (``neon.operation_seconds.create_branch``). The same names are used by
``bin/sandbox up --set``, by ``<root>/settings.json`` and by ``POST /control/settings``.
"""

from __future__ import annotations

import dataclasses
import getpass
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

CLONE = Path(__file__).resolve().parent.parent
SERVICES = ("neon", "coolify", "control")
COOLIFY_VERSIONS = ("4.0.0-beta.434", "4.1.2", "4.2.0", "4.3.11")
NEON_PLANS = ("free", "launch", "scale")


class SettingError(ValueError):
    """A setting that does not exist or a value that it cannot take. The text says what is allowed."""


@dataclass
class NeonSettings:
    """The Neon side. Seconds are real seconds unless said otherwise."""

    operation_seconds: dict[str, float] = field(
        default_factory=lambda: {
            "create_timeline": 0.3,
            "create_branch": 0.6,
            "create_compute": 0.4,
            "start_compute": 0.8,
            "suspend_compute": 0.4,
            "apply_config": 0.4,
            "delete_timeline": 0.5,
            "timeline_archive": 0.4,
            "timeline_unarchive": 0.6,
            "detach_parent_branch": 5.0,
            "check_availability": 0.3,
        }
    )
    """How long an operation of this action takes (an action that is not listed: ``default_operation_seconds``)."""
    default_operation_seconds: float = 0.4
    plan: str = "launch"
    """``free``, ``launch`` or ``scale``: branch, root branch, protected branch and history limits."""
    history_retention_seconds: int = 86400
    """History window of a new project (control-plane seconds). Free allows 21600, launch 604800, scale 2592000."""
    page_size_default: int = 100
    page_size_max: int = 10000
    """The most on a page, whatever is asked for."""
    requests_per_minute: int = 700
    burst_per_second: int = 40
    suspend_timeout_seconds: int = 300
    """What ``suspend_timeout_seconds: 0`` of an endpoint means (Neon: five minutes)."""
    restore_ready_seconds: float = 1.0
    """How long a restored branch stays in ``resetting``, at least."""
    expiry_poll_seconds: float = 1.0
    """How often the job runs that deletes expired branches."""


@dataclass
class CoolifySettings:
    """The Coolify side. The defaults are Coolify's own; the profiles shorten them."""

    version: str = "4.3.11"
    """Version profile: one of `COOLIFY_VERSIONS`."""
    build_seconds: float = 60.0
    """How long building an image takes (nothing when the image exists already)."""
    start_seconds: float = 1.0
    """How long creating the container takes before the application process starts."""
    health_delay: float = 0.0
    """The application answers its health check this many seconds after its start, not before."""
    probe_seconds: float = 0.0
    """How often health is looked at until it is good for the first time (0: the application's own interval)."""
    status_poll_seconds: float = 60.0
    """After this long a container poll corrects ``running:unhealthy`` to what is true."""
    rate_limit_per_minute: int = 200
    queue_limit: int = 25
    concurrent_builds: int = 2
    stop_seconds: float = 0.2
    """How long an old container gets to end after the swap (Docker would allow 30)."""


@dataclass
class Settings:
    """All settings of one sandbox."""

    root: Path
    seed: int = 20250113
    """Ids and generated data come from this; secrets do not."""
    rows: int = 2000
    """Progress rows in the database of a new world."""
    latency: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SERVICES, 0.0))
    """Seconds added to every answer, by service."""
    keep_requests: int = 50000
    """How many requests the log keeps."""
    save_seconds: float = 0.0
    """For how long a change may wait to be kept on disk together with others. A kill loses them; for benchmarks."""
    neon: NeonSettings = field(default_factory=NeonSettings)
    coolify: CoolifySettings = field(default_factory=CoolifySettings)

    @classmethod
    def load(cls, root: Path, overrides: Mapping[str, Any] | None = None) -> Settings:
        """Reads ``<root>/settings.json`` when it is there, then applies `overrides` (dotted name -> value).

        Raises `SettingError` for a name or value that does not fit.
        """
        settings = cls(root=root)
        path = root / "settings.json"
        if path.exists():
            try:
                kept = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise SettingError(f"{path} is not JSON ({error}); mend or delete it") from None
            settings.change(kept)
        settings.change(overrides or {})
        return settings

    def change(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Sets dotted names to values and returns them as they were understood. All or none is changed."""
        trial = dataclasses.replace(
            self,
            latency=dict(self.latency),
            neon=dataclasses.replace(self.neon, operation_seconds=dict(self.neon.operation_seconds)),
            coolify=dataclasses.replace(self.coolify),
        )
        understood = {name: _assign(trial, name, value) for name, value in values.items()}
        for name, value in values.items():
            _assign(self, name, value)
        return understood

    def flat(self) -> dict[str, Any]:
        """Every setting but the root by its dotted name."""
        return dict(_flatten("", {k: v for k, v in dataclasses.asdict(self).items() if k != "root"}))

    def save(self) -> None:
        """Keeps what differs from the defaults in ``<root>/settings.json``."""
        usual = Settings(root=self.root).flat()
        kept = {name: value for name, value in self.flat().items() if name not in usual or usual[name] != value}
        path = self.root / "settings.json"
        fresh = path.with_suffix(".json.new")
        fresh.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        fresh.replace(path)


def _short_operations(seconds: float, detach: float) -> dict[str, float]:
    names = NeonSettings().operation_seconds
    return {f"neon.operation_seconds.{name}": detach if name == "detach_parent_branch" else seconds for name in names}


PROFILES: dict[str, dict[str, Any]] = {
    # As real as it gets: Neon's and Coolify's own times.
    "default": {},
    # A rehearsal that a person can watch: everything still takes a moment.
    "demo": {
        **_short_operations(0.15, 0.8),
        "neon.restore_ready_seconds": 0.3,
        "coolify.build_seconds": 2.0,
        "coolify.start_seconds": 0.2,
        "coolify.probe_seconds": 0.2,
        "coolify.status_poll_seconds": 1.0,
        "coolify.stop_seconds": 0.05,
        "coolify.rate_limit_per_minute": 2000,
    },
    # For tests: nothing takes longer than its own work, and the order of states is kept.
    "test": {
        **_short_operations(0.02, 0.1),
        "neon.default_operation_seconds": 0.02,
        "neon.restore_ready_seconds": 0.05,
        "neon.expiry_poll_seconds": 0.2,
        "neon.requests_per_minute": 100000,
        "neon.burst_per_second": 100000,
        "coolify.build_seconds": 0.1,
        "coolify.start_seconds": 0.02,
        "coolify.probe_seconds": 0.1,
        "coolify.status_poll_seconds": 0.2,
        "coolify.stop_seconds": 0.02,
        "coolify.rate_limit_per_minute": 100000,
        "rows": 200,
    },
}


def default_root(environment: Mapping[str, str] | None = None) -> Path:
    """``$REWIND_SANDBOX_DIR``, else a folder under ``/var/tmp`` by user and clone.

    Not under the home folder: PostgreSQL refuses to run as root, and the user it then runs as
    cannot read a private home.
    """
    environment = os.environ if environment is None else environment
    if chosen := environment.get("REWIND_SANDBOX_DIR"):
        return Path(chosen).absolute()
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    clone = hashlib.sha256(str(CLONE).encode()).hexdigest()[:8]
    return Path("/var/tmp") / f"rewind-sandbox-{user}-{clone}"  # survives a reboot, unlike /tmp


def connection_path(environment: Mapping[str, str] | None = None) -> Path:
    """``$REWIND_SANDBOX_CONNECTION``, else ``connection.json`` in ``$REWIND_SANDBOX_DIR``, else in the clone."""
    environment = os.environ if environment is None else environment
    if chosen := environment.get("REWIND_SANDBOX_CONNECTION"):
        return Path(chosen).absolute()
    if environment.get("REWIND_SANDBOX_DIR"):
        return default_root(environment) / "connection.json"
    return CLONE / ".sandbox" / "connection.json"


def parse_assignments(pairs: list[str]) -> dict[str, str]:
    """``["coolify.build_seconds=0.2"]`` -> a mapping. Raises `SettingError` for a pair without ``=``."""
    parsed: dict[str, str] = {}
    for pair in pairs:
        name, mark, value = pair.partition("=")
        if not mark:
            raise SettingError(f"--set {pair}: write it as name=value")
        parsed[name.strip()] = value.strip()
    return parsed


def _flatten(prefix: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(prefix, value)]
    return [pair for key, inner in value.items() for pair in _flatten(f"{prefix}.{key}" if prefix else key, inner)]


def _assign(settings: Settings, name: str, value: Any) -> Any:
    holder: Any = settings
    *path, last = name.split(".")
    for step in path:
        holder = holder.get(step) if isinstance(holder, dict) else getattr(holder, step, None)
        if not isinstance(holder, (dict, NeonSettings, CoolifySettings)):
            raise SettingError(_unknown(name))
    if isinstance(holder, dict):
        if holder is settings.latency and last not in SERVICES:
            raise SettingError(_unknown(name))
        holder[last] = _convert(name, value, float)
        return holder[last]
    kinds = get_type_hints(type(holder))
    if last not in kinds or kinds[last] not in (int, float, str):
        raise SettingError(_unknown(name))
    converted = _convert(name, value, kinds[last])
    setattr(holder, last, converted)
    return converted


def _unknown(name: str) -> str:
    known = ", ".join(sorted(key for key, _ in _flatten("", Settings(root=Path()).flat())))
    return f"there is no setting {name}; known: {known}"


def _convert(name: str, value: Any, kind: type) -> Any:
    choices = {"coolify.version": COOLIFY_VERSIONS, "neon.plan": NEON_PLANS}.get(name)
    if choices and value not in choices:
        raise SettingError(f"{name} cannot be {value!r}; it is one of {', '.join(choices)}")
    if isinstance(value, bool):
        raise SettingError(f"{name} cannot be {value!r}; it takes a {kind.__name__}")
    try:
        converted = kind(value)
    except (TypeError, ValueError):
        raise SettingError(f"{name} cannot be {value!r}; it takes a {kind.__name__}") from None
    if kind in (int, float) and not 0 <= converted < float("inf"):
        raise SettingError(f"{name} cannot be {value!r}; it is a number of zero or more")
    return converted
