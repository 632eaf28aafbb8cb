# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One deployment from ``in_progress`` to its end, in the order of Coolify's ApplicationDeploymentJob."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from sandbox.coolify import configuration, environment
from sandbox.coolify.container import Container
from sandbox.coolify.profile import Profile
from sandbox.coolify.runner import Runner
from sandbox.coolify.state import Row, State
from sandbox.settings import CLONE
from sandbox.tracker import versions

if TYPE_CHECKING:
    from sandbox.settings import CoolifySettings

_HELPER = "ghcr.io/coollabsio/coolify-helper"
_LINE = "-" * 40


class DeploymentFailed(Exception):
    """Ends a deployment as ``failed``; the text goes into its log."""


class Log:
    """The ``logs`` of a deployment row: what Coolify stores as a JSON string."""

    def __init__(self, deployment: Row, state: State, secrets: Callable[[], list[str]]) -> None:
        self._deployment = deployment
        self._state = state
        self._secrets = secrets

    def add(self, output: str, *, command: str | None = None, kind: str = "stdout", hidden: bool = False) -> None:
        """Appends an entry. Values of locked rows are redacted, others are not: as in Coolify."""
        for secret in self._secrets():
            output = output.replace(secret, "[REDACTED]")
            command = command.replace(secret, "[REDACTED]") if command else command
        entries = self._deployment["logs"]
        entries.append(
            {
                "command": command,
                "output": output,
                "type": kind,
                "timestamp": self._state.instant().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "hidden": hidden,
                "batch": 1,
                "order": len(entries) + 1,
            }
        )
        self._state.touch(self._deployment)


class Job:
    """Runs one deployment."""

    def __init__(
        self,
        *,
        deployment: Row,
        application: Row,
        state: State,
        runner: Runner,
        settings: CoolifySettings,
    ) -> None:
        self.deployment = deployment
        self.application = application
        self._state = state
        self._runner = runner
        self._settings = settings
        self._profile = Profile(settings.version)
        self._row = application["row"]
        self._envs = state.envs_of(self._row["uuid"])
        self._log = Log(deployment, state, self._locked_values)
        self._new: Container | None = None
        self._swap: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Raises `DeploymentFailed`, or whatever broke; the old container serves on unless it had to stop first."""
        try:
            await self._run()
        except BaseException:
            if self._swap is not None:
                await self._swap
            elif self._new is not None:
                await self._new.end(grace=self._settings.stop_seconds)
            raise

    async def _run(self) -> None:
        row = self._row
        where = f"{row['git_repository']}:{row['git_branch']} to {self.deployment['server_name']}"
        self._log.add(f"{'Restarting' if self.deployment['restart_only'] else 'Starting deployment of'} {where}.")
        if not row["server_status"]:
            raise DeploymentFailed("Server is not functional.")
        self._log.add(f"Preparing container with helper image: {_HELPER}.")
        await asyncio.sleep(self._settings.start_seconds)
        commit = self._resolve_commit()
        # From here on a change of the env rows comes too late for this deployment.
        self._envs = [dict(env) for env in self._state.envs_of(row["uuid"])]
        taken = configuration.snapshot(self.application, self._envs)
        shared = environment.shared_values(self._state, self.application)
        await self._build_or_skip(commit, taken)
        name = f"{row['uuid']}-{self._state.next_id():012d}"
        process_environment = self._environment(commit, name, shared)
        await self._command("pre_deployment_command", process_environment, commit)
        healthy = await self._roll_out(name, commit, process_environment)
        self.application["snapshot"] = taken
        row["config_hash"] = configuration.config_hash(taken)
        row["updated_at"] = self._state.now()
        self._runner.finished(self.application, healthy=healthy)
        self._process_environment, self._commit = process_environment, commit

    async def after_finish(self) -> None:
        """The post-deployment command: it runs after the status is ``finished`` and cannot change it."""
        try:
            await self._command("post_deployment_command", self._process_environment, self._commit)
        except DeploymentFailed as error:
            self._log.add(str(error), kind="stderr")

    def _locked_values(self) -> list[str]:
        values = [str(env["value"]) for env in self._envs if env["is_shown_once"] and env["value"]]
        return sorted(values, key=len, reverse=True)

    def _resolve_commit(self) -> str:
        """``HEAD`` becomes the newest commit of the branch now; a rollback and a pinned commit stay what they are."""
        row = self._row
        if row["build_pack"] == "dockerimage":
            return str(row["docker_registry_image_tag"] or "latest")
        commits = self.application["commits"]
        head = commits[-1]["sha"]
        wanted = str(self.deployment["commit"])
        if not self.deployment["rollback"]:
            self._log.add(
                f"{head}\trefs/heads/{row['git_branch']}",
                command=f"git ls-remote {row['git_repository']} refs/heads/{row['git_branch']}",
                hidden=True,
            )
            wanted = head if row["git_commit_sha"] == "HEAD" else str(row["git_commit_sha"])
        known = next((c for c in reversed(commits) if c["sha"].startswith(wanted)), None)
        self.deployment["commit"] = known["sha"] if known else wanted
        self.deployment["commit_message"] = known["message"] if known else None
        self._state.touch(self.deployment)
        self._state.save()
        return str(self.deployment["commit"])

    async def _build_or_skip(self, commit: str, taken: configuration.Snapshot) -> None:
        row, images = self._row, self.application["images"]
        if row["build_pack"] == "dockerimage":
            self._log.add(f"Pulling {row['docker_registry_image_name']}:{commit}.")
            self._check_known(commit)
            return
        image = f"{row['uuid']}:{commit}"
        self._log.add(_LINE)
        if not self.deployment["force_rebuild"] and row["build_pack"] != "dockercompose":
            if commit not in images:
                self._log.add(f"Image not found ({image}). Building new image.")
            elif not configuration.needs_build(self._profile, self.application.get("snapshot"), taken):
                word = "build configuration" if self._profile.build_by_impact else "configuration"
                self._log.add(
                    f"No {word} changed & image found ({image}) with the same Git Commit SHA. Build step skipped."
                )
                return
            else:
                word = "Build configuration" if self._profile.build_by_impact else "Configuration"
                self._log.add(f"{word} changed. Rebuilding image.")
        self.deployment["restart_only"] = False
        await self._build(commit, image)

    def _check_known(self, commit: str) -> versions.Commit:
        try:
            return versions.find(commit)
        except LookupError:
            raise DeploymentFailed(f"fatal: reference is not a tree: {commit}") from None

    async def _build(self, commit: str, image: str) -> None:
        row = self._row
        self._log.add(f"Importing {row['git_repository']}:{row['git_branch']} (commit sha {commit}).")
        self._check_known(commit)
        if commit not in self.application["images"] and not any(
            pushed["sha"] == commit for pushed in self.application["commits"]
        ):
            raise DeploymentFailed(f"fatal: reference is not a tree: {commit}")
        self._log.add("Building docker image started.")
        arguments = " ".join(
            f"--build-arg {env['key']}='{env['value']}'"
            for env in self._envs
            if env["is_buildtime"] and not env["is_preview"]
        )
        self._log.add("", command=f"docker build {arguments} -t {image} /artifacts/{image}", hidden=True)
        await asyncio.sleep(self._settings.build_seconds)
        self.application["images"][commit] = self._state.now()
        self._log.add("Building docker image completed.")
        self._state.save()

    def _environment(self, commit: str, name: str, shared: dict[str, str]) -> dict[str, str]:
        row = self._row
        host = str(row["fqdn"] or "").partition("//")[2]
        coolify = {
            "SOURCE_COMMIT": commit,
            "COOLIFY_URL": str(row["fqdn"] or ""),
            "COOLIFY_FQDN": host.partition(":")[0],
            "COOLIFY_BRANCH": str(row["git_branch"]),
            "COOLIFY_RESOURCE_UUID": str(row["uuid"]),
            "COOLIFY_CONTAINER_NAME": name,
        }
        text = environment.render(self._envs, shared, coolify)
        self._log.add("Creating .env file with runtime variables for container.")
        try:
            found = environment.read_dotenv(text)
        except environment.DotenvError as error:
            raise DeploymentFailed(f"failed to read /artifacts/{name}/.env: {error}") from None
        if "migrate" in str(row["start_command"] or ""):
            # The container's command runs the migrations before the server.
            found["MIGRATE_AT_START"] = "1"
        return found

    async def _roll_out(self, name: str, commit: str, process_environment: dict[str, str]) -> bool:
        """Starts the new container and puts it in the old one's place. Returns whether its health was waited for."""
        rolling = configuration.is_rolling(self.application)
        self._log.add(_LINE)
        if rolling:
            self._log.add("Rolling update started.")
        else:
            self._log.add("Rolling update is not possible for this application. Removing old containers.")
            await self._runner.stop_application(self.application)
        await asyncio.sleep(self._settings.start_seconds)
        self._new = self._runner.make(self.application, name=name, environment=process_environment)
        try:
            await self._new.start()
        except OSError as error:
            raise DeploymentFailed(f"container {name} could not be started: {error}") from None
        self._log.add("New container started.")
        waits = rolling and self._new.check.enabled
        if waits:
            await self._wait_for_health(self._new)
        if rolling:
            self._log.add("Removing old containers.")
        kept = {"name": name, "commit": commit, "environment": process_environment}
        # A cancellation must not leave it half way: traffic on one container and the other one kept.
        self._swap = asyncio.create_task(self._runner.swap(self.application, self._new, kept))
        await asyncio.shield(self._swap)
        self._log.add("Rolling update completed." if rolling else "New container runs.")
        return waits

    async def _wait_for_health(self, container: Container) -> None:
        check = container.check
        self._log.add("Waiting for healthcheck to pass on the new container.")
        if check.start_period:
            self._log.add(f"Waiting for the start period ({check.start_period:g} seconds) before starting healthcheck.")
            await asyncio.sleep(check.start_period)
        for attempt in range(1, check.retries + 2):
            if container.health == "starting" and attempt <= check.retries:
                container.changed.clear()
                # Coolify looks once per interval; looking as soon as it changes ends no differently.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(container.changed.wait(), check.interval)
            self._log.add(
                f'Attempt {min(attempt, check.retries)} of {check.retries} | Healthcheck status: "{container.health}"'
            )
            if container.health == "healthy":
                self._log.add("New container is healthy.")
                return
            if container.health == "unhealthy":
                break
        for line in container.last_lines(20):
            self._log.add(line, kind="stderr")
        raise DeploymentFailed("New container is not healthy, rolling back to the old container.")

    async def _command(self, column: str, process_environment: dict[str, str], commit: str) -> None:
        """A pre- or post-deployment command. The image of the tracker has one program besides the server: migrate."""
        command = str(self._row[column] or "")
        if not command:
            return
        self._log.add(f"Executing {column.replace('_', ' ')}: {command}")
        if "migrate" not in command:
            raise DeploymentFailed(f"sh: {command.split()[0]}: not found")
        status, output = await self._runner.run_once(
            self.application,
            [sys.executable, "-m", "sandbox.tracker.migrations", "--commit", commit],
            name=f"{self.deployment['deployment_uuid']}-{column}",
            environment={"PYTHONPATH": str(CLONE)} | process_environment,
        )
        for line in output.splitlines():
            self._log.add(line)
        if status:
            raise DeploymentFailed(f"{column.replace('_', ' ').capitalize()} failed with {status}")
