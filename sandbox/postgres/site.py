# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where everything of an engine lives, and how it reaches its servers: what all its parts share."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox.postgres.admin import Administrator
from sandbox.postgres.binaries import Binaries
from sandbox.postgres.certificates import Certificates, ensure_certificates
from sandbox.postgres.cluster import Cluster, make_folder, remove_folder
from sandbox.postgres.model import Catalog, EngineError
from sandbox.postgres.template import Template, ensure_template
from sandbox.processes import run_as

_KEPT_AS = "cloud_admin_password"


class Site:
    """Folders, programs, certificates and the superuser's login. The last two are there after `prepare`."""

    certificates: Certificates
    template: Template
    administrator: Administrator

    def __init__(self, root: Path, binaries: Binaries, section: dict[str, Any], save: Callable[[], None]) -> None:
        self.root = root
        self.binaries = binaries
        self.catalog = Catalog(section, save)
        self.timelines = root / "tl"
        """One data directory per timeline."""
        self.bases = root / "base"
        """Copies from which recovery may start."""
        self.past = root / "past"
        """Data directories of read-only servers; nothing in it outlives a stop."""

    @property
    def data_folders(self) -> list[Path]:
        """Folders whose children are data directories."""
        return [self.timelines, self.past, self.root / "template"]

    async def prepare(self) -> None:
        """Makes folders, certificates and template where they are missing. Raises `EngineError`."""
        self._make_folders()
        self.certificates = ensure_certificates(self.root / "tls", self.binaries.identity)
        section = self.catalog.section
        if _KEPT_AS not in section:
            await remove_folder(self.root / "template")  # the password is inside
            section[_KEPT_AS] = secrets.token_urlsafe(24)
            self.catalog.save()
        password = str(section[_KEPT_AS])
        self.template = await ensure_template(self.root, self.binaries, password)
        self.administrator = Administrator(password, self.certificates if self.template.tls else None)

    def _make_folders(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        identity = self.binaries.identity
        if identity:
            # The server's user must be able to pass through, without reading.
            self.root.chmod(self.root.stat().st_mode | 0o011)
            reached = subprocess.run(["test", "-x", self.root], check=False, cwd="/", **run_as(identity))
            if reached.returncode:
                raise EngineError(
                    f"PostgreSQL runs as {identity.name} here, who cannot reach {self.root}: use a folder whose "
                    "parents all may be entered by others, for example below /var/tmp"
                )
        for folder in (self.timelines, self.bases, self.past):
            make_folder(folder, identity)

    def cluster(self, data: Path) -> Cluster:
        """A server on a data directory, not started."""
        return Cluster(data, self.binaries, self.certificates if self.template.tls else None)
