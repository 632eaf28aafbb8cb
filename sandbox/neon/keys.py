# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""API keys and what they may do: personal, organization and project-scoped ones."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Literal

from sandbox.neon.calls import Answer, Call, allow_project, text_of
from sandbox.neon.errors import NeonError, invalid, not_found
from sandbox.neon.ids import new_key
from sandbox.neon.state import Record
from sandbox.neon.times import rfc3339
from sandbox.neon.views import REGION

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService

Scope = Literal["personal", "org", "project"]
ORG_ID = "org-sandbox-00000001"
USER_ID = str(uuid.UUID(int=0x5A4DB0C5, version=4))
_EMAIL = "owner@sandbox.localhost"
_LISTED = ("id", "name", "created_at")


class Keys:
    """Handlers of /auth, /api_keys, /organizations/{o}/api_keys, /users/me and /regions."""

    def __init__(self, service: NeonService) -> None:
        self.service = service

    def make(
        self, name: str, *, project_id: str | None, personal: bool, token: str | None = None
    ) -> tuple[str, Record]:
        """A new key: the token, which is not kept in clear, and its record. A given `token` is taken as it is."""
        token = token or new_key()
        number = self.service.state.number()
        record = {
            "id": number,
            "name": name,
            "personal": personal,
            "project_id": project_id,
            "sha256": hashlib.sha256(token.encode()).hexdigest(),
            "created_at": rfc3339(self.service.clock.now()),
            "revoked": False,
        }
        self.service.state.keys[str(number)] = record
        self.service.state.save()
        return token, record

    @staticmethod
    def personal_only(call: Call) -> None:
        """Raises `NeonError` 404 for organization and project keys, as the real API does."""
        if not call.key["personal"]:
            raise NeonError(404, "not allowed for organization API keys")

    async def auth(self, call: Call) -> Answer:
        """GET /auth: works with every key."""
        if call.key["personal"]:
            return 200, {"account_id": USER_ID, "auth_method": "api_key_user"}
        return 200, {"account_id": ORG_ID, "auth_method": "api_key_org"}

    async def me(self, call: Call) -> Answer:
        """GET /users/me."""
        self.personal_only(call)
        plan = self.service.plan(None)
        account = {"provider": "github", "email": _EMAIL, "name": "Sandbox", "login": "sandbox", "image": ""}
        return 200, {
            "id": USER_ID,
            "email": _EMAIL,
            "login": "sandbox",
            "name": "Sandbox",
            "last_name": "",
            "image": "",
            "auth_accounts": [account],
            "projects_limit": 100,
            "branches_limit": plan.branches,
            "max_autoscaling_limit": 10,
            "active_seconds_limit": 0,
            "compute_seconds_limit": 0,
            "billing_account": self._billing(plan.subscription),
            "plan": plan.subscription,
        }

    @staticmethod
    def _billing(subscription: str) -> Record:
        address = ("city", "country", "line1", "line2", "postal_code", "state")
        return {f"address_{part}": "" for part in address} | {
            "state": "UNKNOWN",
            "payment_source": {"type": ""},
            "payment_method": "UNKNOWN",
            "subscription_type": subscription,
            "quota_reset_at_last": "2025-01-01T00:00:00Z",
            "name": "Sandbox",
            "email": _EMAIL,
        }

    async def organizations(self, call: Call) -> Answer:
        """GET /users/me/organizations."""
        self.personal_only(call)
        since = "2025-01-01T00:00:00Z"
        organization = {
            "id": ORG_ID,
            "name": "Sandbox",
            "handle": "sandbox",
            "plan": self.service.plan(None).name,
            "created_at": since,
            "updated_at": since,
            "managed_by": "console",
        }
        return 200, {"organizations": [organization]}

    async def regions(self, call: Call) -> Answer:
        """GET /regions."""
        self.personal_only(call)
        region = {"region_id": REGION, "name": "Europe (Frankfurt)", "default": True, "geo_lat": "50", "geo_long": "8"}
        return 200, {"regions": [region]}

    async def page(self, call: Call) -> Answer:
        """GET /api_keys or /organizations/{o}/api_keys: a bare array, without the keys themselves."""
        personal = self._personal(call)
        creator = {"id": USER_ID, "name": "Sandbox", "image": ""}
        shown = []
        for key in self.service.state.keys.values():
            if key["personal"] == personal and not key["revoked"]:
                view = {name: key[name] for name in _LISTED} | {"created_by": creator, "last_used_from_addr": ""}
                shown.append(view | ({"project_id": key["project_id"]} if key["project_id"] else {}))
        return 200, shown

    async def create(self, call: Call) -> Answer:
        """POST: the one answer that has the key. ``project_id`` makes it good for that project only."""
        personal = self._personal(call)
        name = text_of(call.body, "key_name")
        if name is None or len(name) > 64:
            raise invalid("key_name must be between 1 and 64 characters long")
        project_id = None if personal else text_of(call.body, "project_id")
        if project_id is not None:
            allow_project(call.key, project_id)
            self.service.state.project(project_id)
        token, record = self.make(name, project_id=project_id, personal=personal)
        body = {item: record[item] for item in _LISTED} | {"key": token, "created_by": USER_ID}
        return 200, body | ({"project_id": project_id} if project_id else {})

    async def revoke(self, call: Call) -> Answer:
        """DELETE: from then on the key is not known."""
        personal = self._personal(call)
        record = self.service.state.keys.get(call.path("key_id"))
        if record is None or record["personal"] != personal or record["revoked"]:
            raise not_found("API key")
        record["revoked"] = True
        self.service.state.save()
        body = {item: record[item] for item in _LISTED}
        return 200, body | {"created_by": USER_ID, "last_used_from_addr": "", "last_used_at": None, "revoked": True}

    def _personal(self, call: Call) -> bool:
        """Whether the path is the one of personal keys. Raises `NeonError` 404 when this key may not manage them."""
        if "org_id" not in call.request_parts:
            self.personal_only(call)
            return True
        if call.path("org_id") != ORG_ID or call.key["project_id"] is not None:
            raise not_found("organization")
        return False
