# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: ``bin/sandbox up | down | status | reset | logs``.

Nothing heavy is imported here: the daemon is another process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sandbox import launch, show
from sandbox.lock import AlreadyRunning, holder
from sandbox.ports import PortTaken, pick_port, taken_ports
from sandbox.root import NotOurs, empty_root, forget_connection, make_root
from sandbox.settings import PROFILES, SettingError, Settings, connection_path, default_root, parse_assignments
from sandbox.store import Store, StoreDamaged

STOP_SECONDS = 20.0
NOT_RUNNING = 3


def parser() -> argparse.ArgumentParser:
    """The arguments of every command."""
    top = argparse.ArgumentParser(
        prog="bin/sandbox", description="A local stand-in for Neon and Coolify over real PostgreSQL."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument("--root", type=Path, help="state folder (default: $REWIND_SANDBOX_DIR, else under /var/tmp)")
        return added

    for name, text in (
        ("up", "start the sandbox and wait until it is ready"),
        ("reset", "go back to the initial world; ports, tokens and settings are kept"),
    ):
        start = command(name, text)
        start.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting and keep it"
        )
        start.add_argument("--profile", choices=sorted(PROFILES), help="replace all kept settings by a profile's")
        start.add_argument("--rows", type=int, help="progress rows of a new world (the same as --set rows=N)")
        start.add_argument("--new-ports", action="store_true", help="pick new ports in place of those that are taken")
    command("down", "stop the sandbox; its data stays")
    command("status", "show what runs").add_argument("--json", action="store_true", help="as JSON")
    logs = command("logs", "show the daemon's log")
    logs.add_argument("-n", "--lines", type=int, default=40)
    logs.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    serve = command("serve", "run the daemon itself (what `up` starts in the background)")
    serve.add_argument("--foreground", action="store_true", help="log to the terminal; Ctrl-C stops it")
    serve.add_argument("--report-fd", type=int, help=argparse.SUPPRESS)
    return top


def main(arguments: Sequence[str]) -> int:
    """Runs one command and returns the exit status: 0, 1 for a failure, 3 for `status` of one that does not run."""
    options = parser().parse_args(arguments)
    root: Path = (options.root or default_root()).absolute()
    commands = {"up": up, "down": down, "status": status, "reset": reset, "logs": logs, "serve": serve}
    try:
        return commands[options.command](root, options)
    except (SettingError, NotOurs, AlreadyRunning, PortTaken, StoreDamaged, launch.StartFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", "Nothing is left running." if options.command == "up" else "", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror}; set REWIND_SANDBOX_DIR to a folder of your own", file=sys.stderr)
        return 1


def up(root: Path, options: argparse.Namespace) -> int:
    """Starts the daemon unless it runs."""
    make_root(root)
    changes = _changes(options)
    if (pid := holder(root)) is not None:
        return _already_up(root, pid, changes)
    _keep_settings(root, options, changes)
    if options.new_ports:
        _replace_taken_ports(root)
    _start(root)
    return 0


def _already_up(root: Path, pid: int, changes: dict[str, Any]) -> int:
    info = show.read_info(root, pid)
    if info is None:
        print(f"The sandbox (pid {pid}) is starting or stopping. Look again: bin/sandbox status", file=sys.stderr)
        return 1
    print(f"The sandbox already runs (pid {pid}).")
    if changes:
        show.call(info, "POST", "settings", changes)
        settings = Settings.load(root, changes)
        settings.save()
        print("Changed and kept: " + ", ".join(f"{name}={value}" for name, value in changes.items()))
    print(show.addresses(info, connection_path()))
    return 0


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    changes: dict[str, Any] = dict(PROFILES[options.profile]) if options.profile else {}
    changes |= parse_assignments(options.set)
    if options.rows is not None:
        changes["rows"] = options.rows
    return changes


def _keep_settings(root: Path, options: argparse.Namespace, changes: dict[str, Any]) -> None:
    settings = Settings(root=root) if options.profile else Settings.load(root)
    settings.change(changes)
    settings.save()


def _replace_taken_ports(root: Path) -> None:
    store = Store(root / "store.json")
    ports = store.section("ports")
    for name, old in taken_ports(ports).items():
        ports[name] = pick_port(taken=ports.values())
        # The address stands in connection strings and application URLs that are stored as they were handed out.
        text = json.dumps(store.data)
        for host in ("127.0.0.1", ".sandbox.localhost"):
            text = text.replace(f"{host}:{old}", f"{host}:{ports[name]}")
        store.data = json.loads(text)
        ports = store.section("ports")
        print(f"Port {old} ({name}) is taken; it is {ports[name]} now.")
    store.save()


def _start(root: Path) -> None:
    started = time.monotonic()
    info = launch.start(root, connection_path(), show.Progress())
    print(f"The sandbox is ready after {time.monotonic() - started:.1f} s.")
    print(show.addresses(info, connection_path()))
    print(show.next_commands())


def down(root: Path, options: argparse.Namespace) -> int:
    """Stops the daemon; tidies up after one that was killed."""
    pid = holder(root) if root.is_dir() else None
    if pid is None:
        if (orphan := _orphan(root)) is not None:
            os.kill(orphan, signal.SIGTERM)
            forget_connection(root, connection_path())
            print(f"The state folder of the running sandbox (pid {orphan}) was deleted; it is told to stop.")
        elif (root / "daemon.json").exists():
            _end_leftovers(root)
            forget_connection(root, connection_path())
            print("The sandbox had been killed; nothing of it runs. Its data stays: bin/sandbox up")
        else:
            print("The sandbox is not running.")
        return 0
    started = time.monotonic()
    if stop(root):
        print(f"The sandbox is stopped ({time.monotonic() - started:.1f} s). Its data stays: bin/sandbox up")
        return 0
    print(f"The sandbox did not stop in {STOP_SECONDS:.0f} s and was killed. Its log: {root / 'daemon.log'}")
    return 1


def stop(root: Path) -> bool:
    """Ends the daemon of `root` and waits. False when it had to be killed."""
    deadline = time.monotonic() + STOP_SECONDS
    asked = None
    while (pid := holder(root)) is not None:
        if pid and asked != pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            asked = pid
        if time.monotonic() > deadline and pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            while holder(root) is not None:
                time.sleep(0.02)
            forget_connection(root, connection_path())
            return False
        time.sleep(0.02)
    return True


def _orphan(root: Path) -> int | None:
    """A daemon whose state folder was deleted under it, and its lock with it: known by the connection file."""
    from sandbox.processes import arguments_of

    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        info = json.loads(connection_path().read_text(encoding="utf-8"))
        if info["root"] == str(root) and {"serve", str(root)} <= set(arguments_of(int(info["pid"]))):
            return int(info["pid"])
    return None


def _end_leftovers(root: Path) -> None:
    """After a kill: waits for the watchdog, which may still be at it, and ends what runs without one."""
    import asyncio

    from sandbox.processes import Processes

    processes = Processes(root / "processes", [root / name for name in ("tl", "past", "template")])
    asyncio.run(processes.await_predecessor())
    processes.end_leftovers()


def status(root: Path, options: argparse.Namespace) -> int:
    """Shows what runs."""
    pid = holder(root) if root.is_dir() else None
    info = None if pid is None else show.read_info(root, pid)
    if info is None:
        if options.json:
            print(json.dumps({"running": False, "root": str(root)} | ({} if pid is None else {"starting": True})))
        elif pid is not None:
            print(f"The sandbox (pid {pid}) is starting or stopping. Look again: bin/sandbox status")
        else:
            print("The sandbox is not running. Start it: bin/sandbox up")
        return NOT_RUNNING
    state = show.call(info, "GET", "status")
    print(json.dumps({"running": True, **state}, indent=2) if options.json else show.status(state, info))
    return 0


def reset(root: Path, options: argparse.Namespace) -> int:
    """Back to the initial world; runs afterwards when it ran before."""
    make_root(root)
    _keep_settings(root, options, _changes(options))
    ran = holder(root) is not None
    if ran:
        print("Stopping ...")
        stop(root)
    _end_leftovers(root)
    empty_root(root, _store_to_empty(root))
    if options.new_ports:
        _replace_taken_ports(root)
    print("Projects, applications, branches, journals and reports of this sandbox are gone; ports and tokens are kept.")
    if ran:
        _start(root)
    else:
        print("The next bin/sandbox up builds the initial world.")
    return 0


def _store_to_empty(root: Path) -> Store:
    path = root / "store.json"
    try:
        return Store(path)
    except StoreDamaged:
        path.unlink()
        # Its password was in the store: an empty cluster that nobody can enter serves nobody.
        shutil.rmtree(root / "template", ignore_errors=True)
        print("What was kept of ports and tokens cannot be read; new ones are made.")
        return Store(path)


def logs(root: Path, options: argparse.Namespace) -> int:
    """Shows the end of the log."""
    path = root / "daemon.log"
    if not path.exists():
        print(f"There is no log yet ({path}). Start the sandbox: bin/sandbox up")
        return 1
    with path.open(encoding="utf-8", errors="replace") as file:
        print("".join(file.readlines()[-options.lines :]), end="")
        try:
            while options.follow:
                if line := file.readline():
                    print(line, end="", flush=True)
                else:
                    time.sleep(0.2)
        except KeyboardInterrupt:
            return 0
    return 0


def serve(root: Path, options: argparse.Namespace) -> int:
    """Runs the daemon in this process."""
    from sandbox import service

    return service.serve(root, connection_path(), foreground=options.foreground, report_descriptor=options.report_fd)
