# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of deployments: what is accepted, what starts when, and how one is cancelled."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Literal

from sandbox.coolify.job import DeploymentFailed, Job, Log
from sandbox.coolify.profile import Profile
from sandbox.coolify.runner import Runner
from sandbox.coolify.state import ACTIVE, Row, State

if TYPE_CHECKING:
    from sandbox.settings import CoolifySettings

logger = logging.getLogger("sandbox.coolify")

Outcome = Literal["queued", "skipped", "queue_full"]
ALREADY_QUEUED = "Deployment already queued for this commit."
QUEUE_FULL = "Deployment queue is full. Please wait for existing deployments to complete."


class Queue:
    """Deployments: one at a time per application; limits on what waits and what is built hold per server."""

    def __init__(self, state: State, runner: Runner, settings: CoolifySettings) -> None:
        self._state = state
        self._runner = runner
        self._settings = settings
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Condition()

    def recover(self) -> None:
        """A start of Coolify: what was queued or running is marked failed."""
        for deployment in list(self._state.active()):
            deployment["status"] = "failed"
            deployment["finished_at"] = self._state.now()
            self._state.touch(deployment)
        self._state.save()

    async def stop(self) -> None:
        """Ends the running jobs; their rows stay as they are until the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def add(
        self,
        application: Row,
        uuid: str,
        *,
        commit: str | None = None,
        force_rebuild: bool = False,
        restart_only: bool = False,
        rollback: bool = False,
        at_once: bool = False,
        is_webhook: bool = False,
    ) -> Outcome:
        """Queues a deployment under `uuid`, unless the queue is full or holds one for the same commit text."""
        profile = Profile(self._settings.version)
        row = application["row"]
        server = self._state.data["servers"][application["server"]]["id"]
        waiting = [d for d in self._state.active() if d["status"] == "queued" and d["server_id"] == server]
        if profile.has_queue_limit and len(waiting) >= self._settings.queue_limit:
            return "queue_full"
        wanted = commit or str(row["git_commit_sha"] or "HEAD")
        number = str(row["id"])
        same = [d for d in self._state.active() if d["application_id"] == number and d["commit"] == wanted]
        if same and not (force_rebuild or rollback or at_once):
            return "skipped"
        deployment = self._new_row(application, uuid, wanted) | {
            "force_rebuild": force_rebuild,
            "is_webhook": is_webhook,
            "is_api": not is_webhook,
            "restart_only": restart_only,
            "rollback": rollback,
        }
        self._state.touch(deployment)
        self._state.deployments[uuid] = deployment
        if at_once:
            self._start(deployment)
        else:
            self.advance()
        self._state.save()
        return "queued"

    def _new_row(self, application: Row, uuid: str, commit: str) -> Row:
        row = application["row"]
        server = self._state.data["servers"][application["server"]]
        return {
            "id": self._state.next_id(),
            "application_id": str(row["id"]),
            "application_name": row["name"],
            "deployment_uuid": uuid,
            "deployment_url": f"/project/{application['project']}/environment/{application['environment']}"
            f"/application/{row['uuid']}/deployment/{uuid}",
            "pull_request_id": 0,
            "docker_registry_image_tag": None,
            "commit": commit,
            "commit_message": None,
            "status": "queued",
            "server_id": server["id"],
            "server_name": server["name"],
            "destination_id": str(server["id"]),
            "build_server_id": None,
            "git_type": None,
            "only_this_server": False,
            "current_process_id": None,
            "horizon_job_id": None,
            "horizon_job_worker": None,
            "configuration_hash": None,
            "logs": [],
            "finished_at": None,
            "created_at": self._state.now(),
        }

    def advance(self) -> None:
        """Starts what may start, first in, first out on each server."""
        running = [d for d in self._state.active() if d["status"] == "in_progress"]
        for deployment in [d for d in self._state.active() if d["status"] == "queued"]:
            beside = sum(d["server_id"] == deployment["server_id"] for d in running)
            if beside >= self._settings.concurrent_builds:
                continue
            if any(d["application_id"] == deployment["application_id"] for d in running):
                continue
            self._start(deployment)
            running.append(deployment)

    def _start(self, deployment: Row) -> None:
        uuid = deployment["deployment_uuid"]
        deployment["status"] = "in_progress"
        self._state.touch(deployment)
        task = asyncio.get_running_loop().create_task(self._run(deployment), name=f"deployment {uuid}")
        self._tasks[uuid] = task
        task.add_done_callback(lambda _: self._tasks.pop(uuid, None))

    async def _run(self, deployment: Row) -> None:
        application = next(
            a for a in self._state.applications.values() if str(a["row"]["id"]) == deployment["application_id"]
        )
        job = Job(
            deployment=deployment,
            application=application,
            state=self._state,
            runner=self._runner,
            settings=self._settings,
        )
        log = Log(deployment, self._state, list)
        try:
            await job.run()
        except asyncio.CancelledError:
            raise
        except DeploymentFailed as error:
            log.add(str(error), kind="stderr")
            await self._end(deployment, "failed")
        except Exception:
            logger.exception("deployment %s broke", deployment["deployment_uuid"])
            log.add("Deployment failed.", kind="stderr")
            await self._end(deployment, "failed")
        else:
            if deployment["status"] == "in_progress":  # else: cancelled at the last moment
                await self._end(deployment, "finished")
                await job.after_finish()
        self.advance()
        self._state.save()

    async def _end(self, deployment: Row, status: str) -> None:
        deployment["status"] = status
        deployment["finished_at"] = self._state.now()
        self._state.touch(deployment)
        self._state.save()
        async with self._changed:
            self._changed.notify_all()

    async def cancel(self, deployment: Row) -> None:
        """Ends a deployment as ``cancelled-by-user``; the container that it was starting goes with it."""
        task = self._tasks.get(deployment["deployment_uuid"])
        Log(deployment, self._state, list).add("Deployment cancelled by user.", kind="stderr")
        await self._end(deployment, "cancelled-by-user")
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if Profile(self._settings.version).cancel_starts_next:
            self.advance()
            self._state.save()

    async def ended(self, uuid: str) -> Row:
        """Waits until a deployment has a terminal status and returns its row."""
        deployment = self._state.deployments[uuid]
        async with self._changed:
            await self._changed.wait_for(lambda: deployment["status"] not in ACTIVE)
        return deployment
