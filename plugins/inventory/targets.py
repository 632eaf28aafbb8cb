# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: targets
short_description: Find the targets in Coolify and Neon
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Reads Coolify and Neon and yields one host for each application whose connection string points to a compute of
    Neon, with every id filled in that the playbooks of this collection need.
  - An inventory file is not needed. Where the environment holds the tokens and Coolify's address, the name of the
    plugin is the inventory, C(-i rewind.database.targets), once the plugin is enabled.
  - Hosts that the playbooks can work on are in the group C(rewind_targets), which is what the playbooks run on, and in
    groups by project, environment and server of Coolify, connected branch and health.
  - Applications whose variables cannot be read or used, and services, are in the group C(rewind_unsupported) alone,
    with C(rewind_supported) false and the reason in C(rewind_unsupported_reason). Applications on other databases are
    left out.
  - Connection strings, passwords and tokens become neither host variables nor part of the cache.
  - Sends nothing but GET requests.
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
requirements:
  - httpx
options:
  plugin:
    description:
      - The name of this plugin. A file with it must have a name that ends in C(rewind.yml) or C(rewind.yaml).
    type: str
    required: true
    choices:
      - rewind.database.targets
  neon_api_key:
    description:
      - The API key of Neon. A personal, an organization or a project-scoped key will do.
      - May be a template, for example a lookup in a vault.
    type: str
    env:
      - name: NEON_API_KEY
  neon_api_url:
    description:
      - The address of Neon's API. May be a template.
    type: str
    default: https://console.neon.tech/api/v2
    env:
      - name: NEON_API_URL
  neon_projects:
    description:
      - The ids of the Neon projects to look in. Without it all that the key may see are looked through.
      - Projects that another account shares with the key's user are found only when they are named here.
    type: list
    elements: str
    default: []
  neon_organizations:
    description:
      - The ids of the Neon organizations whose projects to look in. Without it a personal key looks in all
        organizations of its user.
    type: list
    elements: str
    default: []
  coolify_access_token:
    description:
      - The access token of Coolify, in the form C(number|secret). It needs the abilities C(read) and
        C(read:sensitive).
      - May be a template, for example a lookup in a vault.
    type: str
    env:
      - name: COOLIFY_ACCESS_TOKEN
  coolify_api_url:
    description:
      - The address of Coolify, with or without C(/api/v1) at its end. May be a template.
      - That of Coolify's cloud is C(https://app.coolify.io).
    type: str
    env:
      - name: COOLIFY_API_URL
  ca_path:
    description:
      - A file with the certificates of the authorities to trust, instead of those of the system.
    type: path
    env:
      - name: REWIND_CA_PATH
  proxy:
    description:
      - The address of an HTTP proxy. The proxy variables of the environment are not read.
    type: str
    env:
      - name: REWIND_PROXY
  request_timeout:
    description:
      - Seconds to wait for an answer to one request.
    type: float
    default: 30.0
  wait_timeout:
    description:
      - Seconds during which the answer 429 (too many requests) is waited out.
    type: float
    default: 300.0
  env_keys:
    description:
      - The variables of an application that may hold its connection string, the likeliest first. Any other variable
        that names a host of Neon comes after these, as long as all of them lead to one branch.
    type: list
    elements: str
    default:
      - DATABASE_URL
  environments:
    description:
      - What C(rewind_environment) is (C(production), C(staging) or C(sandbox)), by the name of the environment in
        Coolify.
      - An environment that is not named here is staging where a word of its name says so (C(staging), C(stage), C(dev),
        C(development), C(test), C(qa), C(uat), C(preview), C(review), C(sandbox), C(demo), C(ci), C(local)), and
        production in all other cases, because a target that is called production is asked about before it is changed.
    type: dict
    default: {}
  hostnames:
    description:
      - Expressions over the host's variables; the first that gives a text names the host.
      - Without it a host is called C(<application>_<environment>). Of several that would have one name, each gets the
        beginning of its UUID.
      - Journals, locks and confirmations go by the name of the host, so do not change this while a restore stands that
        may have to be undone.
    type: list
    elements: str
    default: []
  group_by:
    description:
      - What the leading groups are made by. Their names begin with it.
    type: list
    elements: str
    choices:
      - project
      - environment
      - server
      - branch
      - health
    default:
      - project
      - environment
      - server
      - branch
      - health
  list_others:
    description:
      - Whether applications and services on other databases are listed too, as not supported.
    type: bool
    default: false
  neon_requests_per_minute:
    description:
      - How many requests a minute Neon allows, counted together with all playbooks of this user on this machine. 0
        sends at once.
    type: int
    default: 700
    env:
      - name: REWIND_NEON_REQUESTS_PER_MINUTE
  coolify_requests_per_minute:
    description:
      - How many requests a minute Coolify allows, counted together with all playbooks of this user on this machine. 0
        sends at once.
    type: int
    default: 200
    env:
      - name: REWIND_COOLIFY_REQUESTS_PER_MINUTE
notes:
  - One request is sent for each application, service, project and server of Coolify, which allows 200 requests a minute
    by default, and one or two for each project of Neon. With O(cache=true) they are sent once per O(cache_timeout).
  - A cached health is as old as the cache. The playbooks read everything again before they change anything.
"""

EXAMPLES = r"""
# No file at all: NEON_API_KEY, COOLIFY_ACCESS_TOKEN and COOLIFY_API_URL are in the environment.
#   export ANSIBLE_INVENTORY_ENABLED=rewind.database.targets
#   ansible-inventory -i rewind.database.targets --graph
#   ansible-playbook -i rewind.database.targets rewind.database.backup

# The shortest file, for example all.rewind.yml:
plugin: rewind.database.targets

---
# More than that:
plugin: rewind.database.targets
coolify_api_url: https://coolify.example.com
coolify_access_token: "{{ lookup('ansible.builtin.file', '/run/secrets/coolify') | trim }}"
environments:
  customers: production
  playground: staging
env_keys:
  - DATABASE_URL
  - POSTGRES_URL
compose:
  rewind_health_url: "'https://' ~ rewind_found_name ~ '.example.com/health'"
groups:
  not_protected: not (rewind_found_branch_protected | default(false, true))
keyed_groups:
  - key: rewind_neon_database
    prefix: database
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/rewind
cache_timeout: 600
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.group import to_safe_group_name
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable

Json = dict[str, Any]

_FILES = ("rewind.yml", "rewind.yaml")
_TEMPLATES = ("neon_api_key", "neon_api_url", "coolify_access_token", "coolify_api_url", "ca_path", "proxy")
# Of what is kept in the cache; a newer one reads anew what an older one has kept.
_FORMAT = 3
_ENVIRONMENTS = ("production", "staging", "sandbox")
# What another answer would follow from: a cached one is used only where all of it is the same.
_ASKED = (
    *_TEMPLATES,
    "neon_projects",
    "neon_organizations",
    "env_keys",
    "list_others",
)


def _safe_group_name(name: str) -> str:
    return str(to_safe_group_name(name, force=True, silent=True))


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):  # type: ignore[misc]  # ansible-core is not typed
    """Reads the records, from the services or the cache, and makes hosts and groups of them."""

    NAME = "rewind.database.targets"
    _sanitize_group_name = staticmethod(_safe_group_name)

    def verify_file(self, path: str) -> bool:
        """A file of this plugin's, or its own name where there is no such file."""
        if self._is_name(path):
            return True
        return bool(super().verify_file(path)) and path.endswith(_FILES)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Add the hosts. :raises AnsibleParserError: with what to do, where a service refuses or an option is wrong."""
        super().parse(inventory, loader, path)
        if self._is_name(path):
            self.set_options(direct={"plugin": self.NAME}, var_options=self._vars)
            if self.get_option("cache"):
                self.load_cache_plugin()
        else:
            self._read_config_data(path)
        options = self._options_read()
        records = self._records(options, cache)
        self._populate(records, options)

    def _is_name(self, path: str) -> bool:
        # Ansible makes a path of every source, in the current folder.
        return Path(path).name == self.NAME and not Path(path).exists()

    def _options_read(self) -> Json:
        """All options by name, templates filled in."""
        options = {str(name): value for name, value in self.get_options().items()}
        for name in _TEMPLATES:
            if isinstance(options.get(name), str) and self.templar.is_template(options[name]):
                try:
                    options[name] = str(self.templar.template(options[name]))
                except AnsibleError as error:
                    raise AnsibleParserError(f"{self.NAME}: use the option {name}: {error.message}") from None
        wrong = [f"{key}: {value}" for key, value in options["environments"].items() if value not in _ENVIRONMENTS]
        if wrong:
            raise AnsibleParserError(
                f"{self.NAME}: environments holds {', '.join(wrong)}. Use one of {', '.join(_ENVIRONMENTS)}."
            )
        return options

    # -- the records -------------------------------------------------------------------------------------------------

    def _records(self, options: Json, cache: bool) -> list[Json]:
        """The records of the cache, where it is used and has them, else newly read ones."""
        if not options["cache"]:
            return self._read(options)
        key = self._key(options)
        if cache:
            kept = self._kept(key)
            if kept is not None:
                return kept
        records = self._read(options)
        # What could not be read this time would stay away until the cache is over.
        if not any(record["unsure"] for record in records):
            self._cache[key] = {"format": _FORMAT, "records": records}
        return records

    def _kept(self, key: str) -> list[Json] | None:
        """The records of the cache; None where it has none, or something else that must be read anew."""
        try:
            kept = self._cache[key]
        except KeyError:
            return None
        except Exception as error:  # each cache plugin has its own for what is not what it has written
            self.display.warning(f"{self.NAME}: the cache is read anew, as it is damaged ({type(error).__name__}).")
            return None
        if isinstance(kept, dict) and kept.get("format") == _FORMAT and isinstance(kept.get("records"), list):
            return list(kept["records"])
        self.display.warning(f"{self.NAME}: the cache is read anew, as it holds something else than was kept.")
        return None

    def _key(self, options: Json) -> str:
        """Other tokens, addresses or options have another cache: a cached host must never be another account's."""
        asked = json.dumps([[name, options.get(name)] for name in _ASKED], sort_keys=True, default=str)
        return f"{self.NAME}_{hashlib.sha256(asked.encode()).hexdigest()[:32]}"

    def _read(self, options: Json) -> list[Json]:
        # Not at the top: an enabled plugin is loaded by every command, and these take a while to import.
        from ansible_collections.rewind.database.plugins.module_utils._coolify.client import client_for as coolify
        from ansible_collections.rewind.database.plugins.module_utils._errors import RewindError
        from ansible_collections.rewind.database.plugins.module_utils._neon.client import client_for as neon
        from ansible_collections.rewind.database.plugins.module_utils._secrets import Masker
        from ansible_collections.rewind.database.plugins.module_utils._targets.finding import Wanted, find_targets
        from ansible_collections.rewind.database.plugins.module_utils._task import plain
        from ansible_collections.rewind.database.plugins.plugin_utils._reading_task import ReadingTask

        masker = Masker()
        task = ReadingTask("inventory", plain(options), masker)
        wanted = Wanted(
            projects=task.params["neon_projects"],
            organizations=task.params["neon_organizations"],
            env_keys=task.params["env_keys"],
            list_others=task.params["list_others"],
        )
        try:
            records = find_targets(coolify(task), neon(task), wanted, task)
        except RewindError as error:
            raise AnsibleParserError(f"{self.NAME}: {masker.text(error.msg)}") from None
        except Exception as error:
            # An exception's text may hold anything, and Ansible masks nothing in it.
            text = masker.text(f"{type(error).__name__}: {error}")
            raise AnsibleParserError(
                f"{self.NAME}: unexpected {text}. This is a fault of the plugin; report it."
            ) from None
        cleaned: list[Json] = plain(masker.scrub(records))
        return cleaned

    # -- the inventory -----------------------------------------------------------------------------------------------

    def _populate(self, records: list[Json], options: Json) -> None:
        from ansible_collections.rewind.database.plugins.module_utils._targets import hosts

        addresses = self._addresses(options)
        by_uuid = {record["uuid"]: hosts.variables(record, options["environments"], addresses) for record in records}
        listed = [record for record in records if record["listed"]]
        groups_of = hosts.group_names(listed, options["group_by"])
        taken = {"all", "ungrouped", hosts.TARGETS, hosts.UNSUPPORTED}.union(*groups_of)
        # Among all that there is, or a name would change with what can be read of another application.
        every = hosts.host_names(records, lambda record: self._named(by_uuid[record["uuid"]], options), taken)
        names = [name for name, record in zip(every, records, strict=True) if record["listed"]]
        for group in (hosts.TARGETS, hosts.UNSUPPORTED):
            self.inventory.add_group(group)
            # The roles see to it themselves; what else is run on these hosts finds no machine of their name either.
            self.inventory.set_variable(group, "ansible_connection", "local")
            self.inventory.set_variable(group, "ansible_python_interpreter", sys.executable)
        for named, groups, record in zip(names, groups_of, listed, strict=True):
            self._add(named[0], groups, by_uuid[record["uuid"]], options)
        unclear = sorted(name for name, again in names if again)
        if unclear:
            self.display.warning(
                f"{self.NAME}: applications would have had the name of another or of a group, or none; part of their "
                f"uuid was added: {', '.join(unclear)}. The option hostnames gives them names of your choice."
            )

    def _add(self, name: str, groups: list[str], values: Mapping[str, Any], options: Json) -> None:
        self._refuse_another(name, values)
        self.inventory.add_host(name)
        for group in groups:
            self.inventory.add_group(group)
            self.inventory.add_host(name, group)
        # By name a group would be found first, which a composed one may be called like.
        host = self.inventory.hosts[name]
        for variable, value in values.items():
            host.set_variable(variable, value)
        strict = self._is_strict(values, options)
        self._set_composite_vars(options["compose"], values, name, strict=strict)
        self._add_host_to_composed_groups(options["groups"], values, name, strict=strict)
        self._add_host_to_keyed_groups(options["keyed_groups"], values, name, strict=strict)

    def _refuse_another(self, name: str, values: Mapping[str, Any]) -> None:
        """Of two applications with one name, in two sources, Ansible would make one host and lose the other.

        :raises AnsibleParserError: where another source has given the name to another application or service.
        """
        ids = ("rewind_coolify_application", "rewind_coolify_service")
        known = self.inventory.hosts[name].vars if name in self.inventory.hosts else {}
        there = [str(known[key]) for key in ids if key in known]
        if there and there != [str(values[key]) for key in ids if key in values]:
            raise AnsibleParserError(
                f"{self.NAME}: {name} is {there[0]} in another source of this inventory, and not that of "
                f"{self.get_option('coolify_api_url') or 'Coolify'}. Give the hosts of one of them other names by "
                "the option hostnames, for example with 'rewind_found_server' in them."
            )

    @staticmethod
    def _is_strict(values: Mapping[str, Any], options: Json) -> bool:
        """Nothing runs on what is not supported, and little is known of it: it must not cost the others."""
        return bool(options["strict"] and values["rewind_supported"])

    def _named(self, values: Mapping[str, Any], options: Json) -> str:
        """The first of the user's expressions that gives a text; empty where none does."""
        for expression in options["hostnames"]:
            try:
                name = self._compose(expression, values)
            except Exception as error:
                if self._is_strict(values, options):
                    raise AnsibleParserError(f"{self.NAME}: name a host by {expression}: {error}") from None
                continue
            if isinstance(name, str) and name:
                return name
        return ""

    @staticmethod
    def _addresses(options: Json) -> dict[str, str]:
        """Where the hosts were found is where the playbooks work on them. A proxy's address may hold a password."""
        named = {
            "rewind_neon_api_url": options["neon_api_url"],
            "rewind_coolify_api_url": options["coolify_api_url"],
            "rewind_ca_path": options["ca_path"],
        }
        return {name: str(value) for name, value in named.items() if value}
