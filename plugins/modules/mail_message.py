#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_message
short_description: Send a mail through SMTP
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Sends one mail, with encryption and with a login where they are asked for.
  - A mail is sent each time. Give it O(message_id), and who receives it twice sees it once.
  - A domain with other letters than ASCII is translated. Where those are before the C(@), the address needs a server
    that offers SMTPUTF8, and is in RV(refused) without it.
  - In check mode nothing is sent, and the server is not asked.
extends_documentation_fragment:
  - rewind.database.journal
  - rewind.database.state
  - rewind.database.attributes
options:
  host:
    description: The name or address of the server.
    type: str
    required: true
  port:
    description: Its port; by default 587 with O(encryption=starttls), 465 with O(encryption=tls), else 25.
    type: int
  encryption:
    description:
      - V(starttls) - begin without and switch to it; a server that does not offer it gets nothing.
      - V(tls) - from the first byte on.
      - V(none) - only for a server on the same machine or in a network that you trust.
    type: str
    choices: [starttls, tls, none]
    default: starttls
  username:
    description:
      - The name to log in with; without it there is no login.
      - Where it or O(password) is not ASCII, the login is AUTH PLAIN, or else AUTH LOGIN, in UTF-8.
    type: str
  password:
    description:
      - The password.
      - Without this option the host variable C(rewind_smtp_password) is used, then the environment variable
        E(REWIND_SMTP_PASSWORD).
    type: str
  sender:
    description: The address that it comes from, C(name@example.com) or C(Name <name@example.com>).
    type: str
    required: true
  to:
    description:
      - The addresses that it goes to, each C(name@example.com) or C(Name <name@example.com>).
      - An entry that is none, or more than one, is refused before anything is sent.
    type: list
    elements: str
    required: true
  already_told:
    description: Those of O(to) who have it from an earlier try. They get it no second time, and are in RV(told).
    type: list
    elements: str
    default: []
  subject:
    description: The subject.
    type: str
    required: true
  body:
    description: The text.
    type: str
    required: true
  message_id:
    description: What identifies the mail, C(something@example.com).
    type: str
  attachments:
    description: Files to go with it.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The file's name.
        type: str
        required: true
      content:
        description: Its text.
        type: str
        required: true
      content_type:
        description: Its type, with parameters where it has some. Text is UTF-8, and says so by itself.
        type: str
        default: text/plain
  ca_path:
    description:
      - A file with the certificates of the authorities to trust, instead of those of the system.
      - Without this option the host variable C(rewind_ca_path) is used.
    type: path
  timeout:
    description: Seconds to wait for the server.
    type: float
    default: 30.0
"""

EXAMPLES = r"""
- name: Tell the team
  rewind.database.mail_message:
    host: mail.example.com
    username: ops
    sender: Ops <ops@example.com>
    to: [team@example.com]
    subject: The tracker was restored
    body: All is well.
"""

RETURN = r"""
refused:
  description: The recipients that the server refused while it took others, each with what it said.
  returned: success
  type: dict
told:
  description: Those of O(to) for whom the server took it, now or earlier (O(already_told)).
  returned: success
  type: list
  elements: str
journalled:
  description: What the option O(journal) enters into the journal for the outcome.
  returned: success
  type: dict
message_id:
  description: What identifies the mail.
  returned: success
  type: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible.module_utils.basic import env_fallback
from ansible_collections.rewind.database.plugins.module_utils._incident.mail import Server, address_of, message, send
from ansible_collections.rewind.database.plugins.module_utils._journalled import JOURNAL, journalled
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "host": {"type": "str", "required": True},
        "port": {"type": "int"},
        "encryption": {"type": "str", "choices": ["starttls", "tls", "none"], "default": "starttls"},
        "username": {"type": "str"},
        "password": {"type": "str", "no_log": True, "fallback": (env_fallback, ["REWIND_SMTP_PASSWORD"])},
        "sender": {"type": "str", "required": True},
        "to": {"type": "list", "elements": "str", "required": True},
        "already_told": {"type": "list", "elements": "str", "default": []},
        "subject": {"type": "str", "required": True},
        "body": {"type": "str", "required": True},
        "message_id": {"type": "str"},
        "attachments": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "name": {"type": "str", "required": True},
                "content": {"type": "str", "required": True},
                "content_type": {"type": "str", "default": "text/plain"},
            },
        },
        "ca_path": {"type": "path"},
        "timeout": {"type": "float", "default": 30.0},
    },
    from_host_vars={"password": "rewind_smtp_password", "ca_path": "rewind_ca_path"},
).merge(JOURNAL)


@journalled
def run(task: Task) -> dict[str, Any]:
    """Send it."""
    params = task.params
    before = [entry for entry in params["to"] if entry in params["already_told"]]
    wanted = [entry for entry in params["to"] if entry not in before]
    mail = message(
        sender=params["sender"],
        to=wanted,
        subject=params["subject"],
        body=params["body"],
        message_id=params["message_id"],
        attachments=params["attachments"],
    )
    keys = ("host", "port", "encryption", "username", "password", "ca_path", "timeout")
    to_send = bool(wanted) and not task.check_mode
    refused = send(mail, Server(**{key: params[key] for key in keys})) if to_send else {}
    for address, said in refused.items():
        task.warn(f"The mail server refused {address}: {said}")
    told = before + [entry for entry in wanted if address_of(entry).addr_spec not in refused]
    return {
        "changed": bool(wanted),
        "refused": refused,
        "told": told,
        "message_id": str(mail["Message-ID"] or "").strip("<>"),
        # So that who has it already can be left out when it is sent again.
        "journalled": {"told": told},
    }


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
