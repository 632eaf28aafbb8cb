# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real PostgreSQL server of the tests' own: thrown away afterwards, on loopback, with TLS and passwords."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from psycopg import sql

from sandbox.postgres.binaries import Binaries, find_binaries
from sandbox.processes import Identity

ADMIN = "cloud_admin"
OWNER = "tracker_owner"
# "GMT" is built in, where "UTC" needs time zone files.
_CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 40
shared_buffers = 128MB
max_worker_processes = 4
dynamic_shared_memory_type = posix
fsync = off
full_page_writes = off
autovacuum = off
password_encryption = scram-sha-256
timezone = GMT
log_timezone = GMT
ssl = on
ssl_cert_file = 'server.crt'
ssl_key_file = 'server.key'
"""
_ACCESS = "hostssl all all 127.0.0.1/32 scram-sha-256\n"
_READY_SECONDS = 30.0
_ROOM = 4 * 2**30


class Cluster:
    """A server, and databases in it. `OWNER` owns them, as on Neon; `ADMIN` is the superuser."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.identity = _identity()
        self.binaries: Binaries = find_binaries(folder / "bin", identity=self.identity)
        self.port = _free_port()
        # Long and random: that it shows up nowhere must be provable.
        self.passwords = {ADMIN: secrets.token_hex(20), OWNER: f"npg_{secrets.token_hex(20)}"}
        self._names = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the cluster, start it, and wait until it takes connections."""
        self._give(self.folder)
        password_file = self.folder / "password"
        password_file.write_text(self.passwords[ADMIN])
        self._give(password_file)
        arguments = [
            "-D",
            str(self.data),
            "-U",
            ADMIN,
            "-E",
            "UTF8",
            "-A",
            "scram-sha-256",
            "--pwfile",
            str(password_file),
        ]
        subprocess.run(
            [self.binaries.tool("initdb"), *arguments, "--no-sync", "--no-instructions", "--locale=C"],
            check=True,
            capture_output=True,
            **self._as_user(),
        )
        self._certificate()
        (self.data / "postgresql.conf").write_text(f"{_CONFIGURATION}port = {self.port}\n")
        (self.data / "pg_hba.conf").write_text(_ACCESS)
        self.run()
        with self.admin() as connection:
            self._make_owner(connection)

    def run(self) -> None:
        """Start the server's process again."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.binaries.tool("postgres"), "-D", str(self.data)], stdout=log, stderr=log, **self._as_user()
            )
        deadline = time.monotonic() + _READY_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server at once, for good: nothing of it will be needed again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(timeout=_READY_SECONDS)
            self._process = None

    def crash(self) -> None:
        """Kill the server without any warning, and start it again: it recovers from its log."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        self.run()

    def uri(
        self, database: str, user: str = OWNER, *, host: str = "localhost", parameters: str = "sslmode=require"
    ) -> str:
        """A connection string as an application has it."""
        address = "" if host == "localhost" else "&hostaddr=127.0.0.1"
        return f"postgresql://{user}:{self.passwords[user]}@{host}:{self.port}/{database}?{parameters}{address}"

    def create_database(self, script: str = "", *, name: str | None = None) -> str:
        """A new database of `OWNER`, with what the SQL script makes in it; returns its name."""
        database = name or f"tracker_{next(self._names)}"
        with self.admin() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(
                    sql.Identifier(database), sql.Identifier(OWNER)
                )
            )
        if script:
            with self.connect(database) as connection:
                connection.execute(script.encode())
        return database

    def copy(self, database: str) -> str:
        """A physical copy, as a branch is one: the same rows in the same pages, other object ids of the database."""
        name = f"{database}_copy_{next(self._names)}"
        with self.admin() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(OWNER), sql.Identifier(database)
                )
            )
        return name

    def connect(self, database: str, user: str = OWNER, **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """A session of the test's own, each statement its own transaction."""
        return psycopg.connect(self.uri(database, user), autocommit=True, **options)

    def admin(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A session of the superuser."""
        return self.connect("postgres", ADMIN)

    def _make_owner(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(
                sql.Identifier(OWNER), sql.Literal(self.passwords[OWNER])
            )
        )

    def _is_ready(self) -> bool:
        status = self.data / "postmaster.pid"
        with contextlib.suppress(OSError, IndexError):
            return status.read_text().splitlines()[7].strip() == "ready"
        return False

    def _certificate(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self.data / "server.crt").write_bytes(certificate.public_bytes(pem))
        (self.data / "server.key").write_bytes(private)
        for path in (self.data / "server.crt", self.data / "server.key"):
            path.chmod(0o600)
            self._give(path)

    def _give(self, path: Path) -> None:
        if self.identity is not None:
            os.chown(path, self.identity.uid, self.identity.gid)

    def _as_user(self) -> dict[str, Any]:
        options: dict[str, Any] = {"cwd": "/", "env": {"LC_ALL": "C", "PATH": os.defpath}, "start_new_session": True}
        if self.identity is not None:
            options |= {"user": self.identity.uid, "group": self.identity.gid, "extra_groups": []}
        return options


def _identity() -> Identity | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Identity(nobody.pw_uid, nobody.pw_gid, nobody.pw_name)


def _roomy_folder() -> Path:
    """In memory where there is enough of it: a database is hundreds of small files. Never below a private home."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > _ROOM:
        return memory
    return Path("/var/tmp")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running_cluster(root: Path | None = None) -> Iterator[Cluster]:
    """A cluster while the context is open."""
    folder = Path(tempfile.mkdtemp(prefix="rewind-postgres-", dir=root or _roomy_folder()))
    folder.chmod(0o711)
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
