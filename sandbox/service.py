# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m sandbox serve``: the daemon's process around `sandbox.daemon.Daemon`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from sandbox.launch import environment
from sandbox.lock import AlreadyRunning
from sandbox.ports import PortTaken
from sandbox.postgres.binaries import NoPostgres
from sandbox.postgres.model import EngineError
from sandbox.root import NotOurs
from sandbox.settings import SettingError, Settings
from sandbox.store import StoreDamaged

logger = logging.getLogger("sandbox.service")


class PipeReport:
    """Tells the ``up`` that started this process how far it is, one JSON object a line."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor: int | None = descriptor

    def _send(self, message: dict[str, Any]) -> None:
        if self._descriptor is not None:
            # Whoever started the daemon may be gone: that is no reason to stop.
            with contextlib.suppress(OSError):
                os.write(self._descriptor, json.dumps(message).encode() + b"\n")

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def step(self, text: str) -> None:
        """What is being done now."""
        logger.info("%s", text)
        self._send({"step": text})

    def ready(self, connection: dict[str, Any]) -> None:
        """It serves."""
        self._send({"ready": connection})
        self._close()

    def failed(self, text: str) -> None:
        """It does not, and this is why."""
        self._send({"failed": text})
        self._close()


class TerminalReport:
    """The same for a person in front of ``serve --foreground``."""

    def step(self, text: str) -> None:
        """What is being done now."""
        logger.info("%s", text)

    def ready(self, connection: dict[str, Any]) -> None:
        """It serves."""
        logger.info("ready: %s  %s", connection["neon_api_url"], connection["coolify_api_url"])

    def failed(self, text: str) -> None:
        """It does not, and this is why."""
        logger.error("%s", text)


def serve(root: Path, connection_file: Path, *, foreground: bool, report_descriptor: int | None) -> int:
    """Runs the daemon until it is told to stop; returns the exit status."""
    clean = environment(os.environ)
    os.environ.clear()
    os.environ.update(clean)
    os.umask(0o077)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    report = TerminalReport() if foreground or report_descriptor is None else PipeReport(report_descriptor)
    # Late: these take a third of a second that `up` can already show as progress.
    report.step("starting")
    try:
        from sandbox.daemon import Daemon

        asyncio.run(Daemon(Settings.load(root), connection_file, report).run())
    except (AlreadyRunning, EngineError, NoPostgres, NotOurs, PortTaken, SettingError, StoreDamaged) as error:
        report.failed(str(error))
        return 1
    except ModuleNotFoundError as error:
        report.failed(f"the Python module {error.name} is missing. Install what the sandbox needs: bin/setup")
        return 1
    except Exception as error:
        logger.exception("the sandbox could not start or stop")
        report.failed(f"{type(error).__name__}: {error}. The whole story: bin/sandbox logs")
        return 1
    return 0
