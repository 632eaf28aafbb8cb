# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which request deploys what was asked for, without shipping other code than was meant.

A deployment of an application that follows a branch takes the branch's newest commit, also when only its environment
changed. To stay on the running commit: from 4.3.0 ``POST rollback`` with that commit; before, the commit is set on the
application for as long as the deployment runs and then set back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from .._errors import InvalidInput, Refused
from .deployments import HEAD, Deployment, last_finished
from .versions import Version, beta

Request = Literal["deploy", "restart", "start", "rollback"]

RUNNING_COMMIT = "running"
CONFIGURED_COMMIT = "configured"


@dataclasses.dataclass(frozen=True)
class Pin:
    """A field of the application that holds the commit or tag while the deployment runs."""

    field: Literal["git_commit_sha", "docker_registry_image_tag"]
    value: str
    before: str | None

    def public(self, restored: bool | None) -> dict[str, Any]:
        return {"field": self.field, "value": self.value, "before": self.before, "restored": restored}


@dataclasses.dataclass(frozen=True)
class Route:
    """How to deploy. `commit` is the commit or tag that will run; None where only Coolify knows it."""

    request: Request
    commit: str | None
    force: bool = False
    pin: Pin | None = None
    notes: tuple[str, ...] = ()
    is_image: bool = False


@dataclasses.dataclass(frozen=True)
class Source:
    """What an application is made of."""

    uuid: str
    build_pack: str
    inline_dockerfile: bool
    commit: str
    tag: str | None

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Source:
        pack = str(body.get("build_pack") or "")
        return cls(
            uuid=str(body.get("uuid") or ""),
            build_pack=pack,
            # Hidden without read:sensitive; then a Dockerfile is taken to come from git, which is the usual case.
            inline_dockerfile=pack == "dockerfile" and bool(body.get("dockerfile")),
            commit=str(body.get("git_commit_sha") or HEAD),
            tag=body.get("docker_registry_image_tag") or None,
        )


def choose(
    version: Version,
    source: Source,
    deployments: Sequence[Deployment],
    *,
    action: Request,
    commit: str,
    force: bool,
) -> Route:
    """The route for an action on an application.

    :param commit: a commit (a tag for an image), ``running`` for that of the last finished deployment, or
        ``configured`` for whatever Coolify would take.
    :raises InvalidInput: for a commit that this application cannot be deployed with.
    :raises Refused: when the running commit is not known.
    """
    if action == "rollback" and commit in (RUNNING_COMMIT, CONFIGURED_COMMIT):
        raise InvalidInput(
            f"roll application {source.uuid} back: no commit is named", hint="Set commit to the one to go back to."
        )
    if source.build_pack == "dockerimage":
        return _for_image(source, deployments, commit, force)
    if source.inline_dockerfile:
        if commit not in (RUNNING_COMMIT, CONFIGURED_COMMIT):
            raise InvalidInput(
                f"deploy application {source.uuid}: it is built from a Dockerfile in Coolify and has no commits",
                hint="Leave commit out.",
            )
        return Route("deploy", None, force, notes=("Built from a Dockerfile in Coolify: there is no commit to pin.",))
    if commit == CONFIGURED_COMMIT:
        return Route("deploy" if force else action, None if source.commit == HEAD else source.commit, force)
    sha = _running_commit(source, deployments) if commit == RUNNING_COMMIT else commit
    return _for_commit(version, source, sha, force, restart=commit == RUNNING_COMMIT)


def _for_commit(version: Version, source: Source, sha: str, force: bool, *, restart: bool) -> Route:
    compose = source.build_pack == "dockercompose"
    if version.can_roll_back and not force and not compose:
        return Route("rollback", sha)
    pin = None if source.commit == sha else Pin("git_commit_sha", sha, source.commit)
    notes = ("Compose applications are always built again.",) if compose else ()
    if pin is not None and not compose and not force:
        # The commit that is set counts as a difference in what is built (Coolify's ApplicationConfigurationSnapshot).
        notes = ("Setting the commit makes this version of Coolify build the image of that commit again.",)
    # Both packs ignore "restart only"; before beta.436 a deployment without a build kept the old .env file.
    restartable = source.build_pack not in ("dockerfile", "dockercompose") and version >= beta(436)
    return Route("restart" if restart and restartable and not force else "deploy", sha, force, pin, notes)


def _for_image(source: Source, deployments: Sequence[Deployment], commit: str, force: bool) -> Route:
    if commit == CONFIGURED_COMMIT:
        tag = source.tag
    elif commit == RUNNING_COMMIT:
        last = last_finished(deployments)
        tag = (last.tag if last is not None else None) or source.tag
    else:
        tag = commit
    pin = None
    if tag is not None and tag != source.tag:
        pin = Pin("docker_registry_image_tag", tag, source.tag)
    return Route("deploy", tag, force, pin, is_image=True)


def _running_commit(source: Source, deployments: Sequence[Deployment]) -> str:
    last = last_finished(deployments)
    if last is not None and last.commit and last.commit != HEAD:
        return last.commit
    if source.commit != HEAD:
        return source.commit
    raise Refused(
        f"deploy application {source.uuid}: which commit runs now is not known, as no finished deployment names one",
        code="running_commit_unknown",
        hint="Name one with commit, or set commit to configured to take the head of the branch.",
    )
