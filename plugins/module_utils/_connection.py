# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the ``connection`` option to the exact connection string, inside the task that needs it (never registered)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ._errors import ApiError, InvalidInput, NotFound
from ._neon.client import NeonClient
from ._neon.tree import direct_host, pooler_host
from ._predicted import is_predicted, not_made_yet
from ._secrets import keyed_hash
from ._state import state_dir
from ._task import Task
from ._time import parse_instant, parse_lsn, rfc3339
from ._uri import ConnectionUri, parse_uri

Json = dict[str, Any]
# application, name of the variable, preview row or not -> the row's value
RowValue = Callable[[str, str, bool], str]

# Without stored passwords Neon reveals none (HTTP 412, its API description).
_NOT_REVEALED = 412


@dataclasses.dataclass(frozen=True, repr=False)
class ConnectionString:
    """A connection string and where it leads. ``uri`` is None where the branch or its compute is only predicted."""

    uri: ConnectionUri | None
    branch_id: str
    endpoint_id: str | None
    hash: str | None
    skipped_reason: str | None = None

    def __repr__(self) -> str:
        return f"ConnectionString({self.branch_id})"

    @property
    def predicted(self) -> bool:
        """Whether there is nothing to connect to yet: check mode goes on without."""
        return self.uri is None

    @property
    def value(self) -> str:
        """The string itself, as an application gets it. A secret."""
        return self._known().value

    @property
    def libpq(self) -> str:
        """The string as psycopg takes it: without the parameters of other drivers. A secret."""
        return self._known().for_libpq()

    def public(self) -> Json:
        """What may be shown: the parts without the password, and a keyed hash of the whole."""
        uri = self.uri
        return {
            "host": uri.host if uri else None,
            "port": uri.port if uri else None,
            "database": uri.database if uri else None,
            "user": uri.user if uri else None,
            "pooled": uri.pooled if uri else None,
            "parameters": uri.parameters if uri else {},
            "branch_id": self.branch_id,
            "endpoint_id": self.endpoint_id,
            "hash": self.hash,
        }

    def _known(self) -> ConnectionUri:
        if self.uri is None:
            raise not_made_yet(f"connect to branch {self.branch_id}: it does not exist yet")
        return self.uri


def resolve(
    connection: Mapping[str, Any], neon: NeonClient, row_value: RowValue | None = None, *, task: Task
) -> ConnectionString:
    """The connection string that the ``connection`` option describes (documentation fragment ``connection``).

    :param row_value: reads the base string from Coolify; needed only with ``application``.
    :raises RewindError: with what is missing or ambiguous, and never with a part of a string.
    """
    return _Resolver(connection, neon, row_value, task).resolve()


def hash_of(value: str, task: Task) -> str:
    """The keyed hash by which a connection string is shown and compared."""
    return keyed_hash(value, state_dir(task.params.get("state_dir")), write=not task.check_mode)


def describe(uri: ConnectionUri, task: Task) -> Json:
    """What may be shown of a string that somebody else made, such as an environment variable's value."""
    return {
        "host": uri.host,
        "port": uri.port,
        "user": uri.user,
        "database": uri.database,
        "pooled": uri.pooled,
        "parameters": uri.parameters,
        "template": uri.template,
        "hash": hash_of(uri.value, task),
    }


def endpoints_of(uri: ConnectionUri, endpoints: Iterable[Json]) -> list[Json]:
    """The computes that a string may lead to: those with its host, direct or pooled."""
    wanted = direct_host(uri.host)
    return [item for item in endpoints if item.get("host") and direct_host(str(item["host"]).lower()) == wanted]


def endpoint_of(uri: ConnectionUri, endpoints: Iterable[Json], neon: NeonClient, project_id: str) -> Json | None:
    """The compute that a string leads to, or None. Where several share a host, their ports decide."""
    found = endpoints_of(uri, endpoints)
    if len(found) < 2:
        return found[0] if found else None
    for endpoint in found:
        told = neon.connection_uri(
            project_id,
            branch_id=endpoint["branch_id"],
            endpoint_id=endpoint["id"],
            role_name=uri.user,
            database_name=uri.database,
            pooled=uri.pooled,
        )
        if parse_uri(told).port == uri.port:
            return endpoint
    return None


class _Resolver:
    def __init__(self, connection: Mapping[str, Any], neon: NeonClient, row_value: RowValue | None, task: Task) -> None:
        self.option = connection
        self.neon = neon
        self.row_value = row_value
        self.task = task
        self.project_id = str(connection["project_id"])
        self.branch_id = str(connection["branch_id"])

    def resolve(self) -> ConnectionString:
        endpoint_id = self.option.get("endpoint_id")
        for wanted in (self.project_id, self.branch_id, endpoint_id):
            if is_predicted(wanted):
                return ConnectionString(None, self.branch_id, endpoint_id, None, f"{wanted} does not exist yet")
        base = self._base()
        role = self.option.get("role") or (base.user if base else None) or self._only("role")
        database = self.option.get("database") or (base.database if base else None) or self._only("database")
        if self.option.get("at") is not None or self.option.get("lsn") is not None:
            return self._result(self._time_travel(base, role, database), None)
        endpoint = self._endpoint(endpoint_id)
        pooled = self.option.get("pooled")
        if pooled is None:
            pooled = base.pooled if base else False
        told = self._told(endpoint, role, database, pooled, base)
        return self._result(self._moved(base, told, role, database, endpoint["id"]), str(endpoint["id"]))

    def _result(self, uri: ConnectionUri, endpoint_id: str | None) -> ConnectionString:
        if not uri.password:
            raise InvalidInput(
                f"connect to branch {self.branch_id}: no password is known for role {uri.user}",
                code="password_unknown",
                hint="Neon does not reveal it: name an environment variable that holds it in connection.password_env.",
            )
        for secret in (uri.value, uri.password, uri.raw_password):
            if secret:
                self.task.secret(secret)
        return ConnectionString(uri, self.branch_id, endpoint_id, hash_of(uri.value, self.task))

    # The base string

    def _base(self) -> ConnectionUri | None:
        application, template = self.option.get("application"), self.option.get("template")
        if template:
            uri = parse_uri(str(template), "connection.template")
            if uri.password is not None:
                raise InvalidInput(
                    "use connection.template: it holds a password",
                    hint="Leave the password out, and name an environment variable with it in password_env.",
                )
            return uri
        if not application:
            return None
        if self.row_value is None:
            raise InvalidInput(
                "use connection.application: this module does not talk to Coolify",
                hint="Use connection.template, or neither.",
            )
        key = str(self.option["env_key"])
        value = self.task.secret(self.row_value(str(application), key, bool(self.option.get("is_preview"))))
        uri = parse_uri(value, f"{key} of application {application}")
        for secret in (uri.password, uri.raw_password):
            if secret:
                self.task.secret(secret)
        return uri

    def _moved(
        self, base: ConnectionUri | None, told: ConnectionUri, role: str, database: str, endpoint_id: str | None
    ) -> ConnectionUri:
        if base is None:
            return told
        if (role, database) != (base.user, base.database):
            raise InvalidInput(
                f"use the base string: it is for role {base.user} and database {base.database}, "
                f"not for {role} and {database}",
                hint="Leave role and database out where application or template is given.",
            )
        password = self._password_from_environment(base, told)
        return base.moved(
            host=told.host,
            port=told.port,
            password=told.password if password is None else password,
            endpoint_id=endpoint_id,
        )

    def _password_from_environment(self, base: ConnectionUri, told: ConnectionUri) -> str | None:
        """The password that a variable holds, alone or in a whole connection string.

        A whole string is the application's of one compute: to another one, whose password Neon may have made anew
        (a child of a protected branch), Neon's goes before it.
        """
        name = self.option.get("password_env")
        if not name:
            return None
        value = os.environ.get(str(name))
        if not value:
            raise InvalidInput(
                f"read the password from the environment: {name} is not set", hint=f"Export {name}, or leave it out."
            )
        self.task.secret(value)
        if "://" not in value:
            return value
        supplied = parse_uri(value, f"the environment variable {name}")
        for secret in (supplied.password, supplied.raw_password):
            if secret:
                self.task.secret(secret)
        if (supplied.user, supplied.database) != (base.user, base.database):
            raise InvalidInput(
                f"use the environment variable {name}: its string is for role {supplied.user} and database "
                f"{supplied.database}, not for {base.user} and {base.database}",
                hint="Export the string of this application.",
            )
        leads_there = direct_host(supplied.host) == direct_host(told.host)
        return supplied.password if leads_there or told.password is None else told.password

    # Where it leads

    def _only(self, kind: str) -> str:
        """The branch's only role or database."""
        listed = (self.neon.roles if kind == "role" else self.neon.databases)(self.project_id, self.branch_id)
        names = [str(item["name"]) for item in listed]
        if len(names) == 1:
            return names[0]
        found = ", ".join(sorted(names)) if names else "none"
        raise InvalidInput(
            f"connect to branch {self.branch_id}: it has no single {kind} (found: {found})",
            hint=f"Set connection.{kind}.",
        )

    def _endpoint(self, endpoint_id: str | None) -> Json:
        endpoints = self.neon.endpoints(self.project_id, self.branch_id)
        for endpoint in endpoints:
            if endpoint["id"] == endpoint_id or (endpoint_id is None and endpoint.get("type") == "read_write"):
                return endpoint
        wanted = f"the compute {endpoint_id}" if endpoint_id else "no compute for reading and writing"
        verb = "it has not " if endpoint_id else "it has "
        raise NotFound(
            f"connect to branch {self.branch_id}: {verb}{wanted}",
            code="no_compute",
            hint="Add one with neon_endpoint, or read the branch with connection.lsn or connection.at.",
        )

    def _told(
        self, endpoint: Json, role: str, database: str, pooled: bool, base: ConnectionUri | None
    ) -> ConnectionUri:
        """The string that Neon gives; where it may not reveal the password, one made of the compute's host."""
        try:
            value = self.neon.connection_uri(
                self.project_id,
                branch_id=self.branch_id,
                endpoint_id=endpoint["id"],
                role_name=role,
                database_name=database,
                pooled=pooled,
            )
        except ApiError as error:
            if error.http_status != _NOT_REVEALED or base is None:
                raise
            host = str(endpoint["host"])
            # The branch's roles have their parent's passwords; only a protected parent's child gets new ones.
            return dataclasses.replace(
                base, raw_host=str(pooler_host(host)) if pooled else direct_host(host), raw_password=base.raw_password
            )
        uri = parse_uri(value, "the connection string that Neon gave")
        if uri.pooled != pooled:
            host = str(pooler_host(uri.host)) if pooled else direct_host(uri.host)
            uri = dataclasses.replace(uri, raw_host=host)
        return uri

    def _time_travel(self, base: ConnectionUri | None, role: str, database: str) -> ConnectionUri:
        """A string that reads the past: the branch's id for a compute's, and the point in ``options``.

        (Neon's documentation, "Time Travel". The compute is made for the connection and needs none on the branch.)
        """
        if self.option.get("lsn") is not None:
            option = f"neon_lsn:{parse_lsn(str(self.option['lsn']))}"
        else:
            option = f"neon_timestamp:{rfc3339(parse_instant(self.option['at']))}"
        endpoint = self._any_endpoint()
        told = parse_uri(
            self.neon.connection_uri(
                self.project_id,
                branch_id=endpoint["branch_id"],
                endpoint_id=endpoint["id"],
                role_name=role,
                database_name=database,
            ),
            "the connection string that Neon gave",
        )
        if endpoint["branch_id"] != self.branch_id:
            password = self.neon.role_password(self.project_id, self.branch_id, role)
            told = told.moved(host=told.host, port=told.port, password=password, endpoint_id=None)
        past = self._moved(base, told, role, database, None)
        domain = direct_host(told.host).partition(".")[2]
        past = past.moved(host=f"{self.branch_id}.{domain}", port=told.port, password=None, endpoint_id=None)
        return past.without_option("endpoint").with_option(option)

    def _any_endpoint(self) -> Json:
        """A compute that tells the region's domain: the branch's own, else the default branch's, else any."""
        endpoints = [item for item in self.neon.endpoints(self.project_id) if item.get("type") == "read_write"]
        own = [item for item in endpoints if item.get("branch_id") == self.branch_id]
        if not (own or endpoints):
            raise NotFound(
                f"read branch {self.branch_id} in the past: the project has no compute whose host tells the address",
                code="no_compute",
                hint="Add a compute to any branch of the project with neon_endpoint.",
            )
        return (own or endpoints)[0]
