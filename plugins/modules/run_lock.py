#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_lock
short_description: Let only one run at a time work on a target
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Takes, keeps, releases and lists locks. A lock is a file below O(state_dir) that names the run, the machine and the
    ansible-playbook that took it.
  - A lock whose ansible-playbook is gone, on the same machine, is taken over. One from another machine is broken only
    by O(break_lock). Age alone never breaks a lock.
  - A lock that is kept for a stuck run outlives its ansible-playbook. It goes to who takes that run back
    (O(stuck_run)), or is broken by O(break_lock).
  - Never reports a change, and takes nothing in check mode.
extends_documentation_fragment:
  - rewind.database.state
  - rewind.database.attributes.info
options:
  action:
    description:
      - V(take) - take all locks named, or none.
      - V(keep) - keep the locks named, or all locks of the run where none is named, beyond the end of this
        ansible-playbook, because a run is stuck.
      - V(release) - release the locks named, or all locks of the run where none is named.
      - V(list) - list all locks.
    type: str
    required: true
    choices: [take, keep, release, list]
  names:
    description: The names of the locks, for example one for the Neon project and one for the Coolify application.
    type: list
    elements: str
    default: []
  run:
    description: The run that takes or releases. V(take) makes an id of O(verb) where none is given.
    type: str
  verb:
    description: What the run does, in one lower-case word; needed to make an id.
    type: str
  target:
    description: The target, for messages to others.
    type: str
  stuck_run:
    description:
      - With V(keep), the run that is stuck, where it is not O(run) - a run that goes on with an earlier one, or takes
        it back, has its own id.
      - With V(take), the run that is about to be taken back. Locks that are kept for it are taken over, and stay kept
        for it until they are released.
    type: str
  wait_timeout:
    description:
      - With V(take), seconds to wait for a lock that another target of the same ansible-playbook holds. When that one
        is done and the next one has taken it, they begin anew. What any other run holds is not waited for.
      - Only for plays in which a target goes on while another one waits, as with the strategy C(host_pinned). With the
        strategy C(linear) the other target would never get on.
    type: float
    default: 0.0
  break_lock:
    description:
      - The run whose locks may be broken although it is stuck, or although it cannot be seen whether it still runs. A
        run that does run, on this machine, is not broken.
      - V(unreadable) for a lock whose file says nothing.
    type: str
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
    details:
      - Nothing is taken, broken or released. A lock that another run holds is a warning, and in RV(conflicts).
seealso:
  - module: rewind.database.run_journal
"""

EXAMPLES = r"""
- name: Take the locks
  rewind.database.run_lock:
    action: take
    verb: restore
    target: "{{ inventory_hostname }}"
    names:
      - neon:late-frost-12345678
      - coolify:vgcs8wo48g4kcwg0k4o0cwkk
  register: locked

- name: Release them
  rewind.database.run_lock:
    action: release
    run: "{{ locked.run }}"

- name: Keep them instead, where the run could neither finish nor revert
  rewind.database.run_lock:
    action: keep
    run: "{{ locked.run }}"
"""

RETURN = r"""
run:
  description: The run's id.
  returned: success
  type: str
locks:
  description: The locks taken, kept, released or listed.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    path:
      description: Its file.
      type: str
    run:
      description: The run that holds it.
      type: str
    target:
      description: The target of that run.
      type: str
    owner:
      description: The machine (C(host), C(machine), C(boot_id)) and the process (C(pid), C(start_time)) that took it.
      type: dict
    taken_at:
      description: When it was taken.
      type: str
    state:
      description:
        - V(held) (its process runs), V(stale) (its process is gone), V(other_host) (cannot be seen from here),
          V(kept) (a stuck run's), V(unreadable), or V(predicted) in check mode.
      type: str
    kept_for:
      description: The stuck run that it is kept for; empty where there is none.
      type: str
    kept_at:
      description: Since when it is kept; empty while that run is being taken back.
      type: str
conflicts:
  description: In check mode, the locks named that other runs hold.
  returned: success
  type: list
  elements: dict
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._books import lock
from ansible_collections.rewind.database.plugins.module_utils._options import STATE
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = STATE.merge(
    Spec(
        arguments={
            "action": {"type": "str", "required": True, "choices": ["take", "keep", "release", "list"]},
            "names": {"type": "list", "elements": "str", "default": []},
            "run": {"type": "str"},
            "verb": {"type": "str"},
            "target": {"type": "str"},
            "stuck_run": {"type": "str"},
            "wait_timeout": {"type": "float", "default": 0.0},
            "break_lock": {"type": "str"},
        },
        required_if=(
            ("action", "release", ("run",)),
            ("action", "keep", ("run",)),
            ("action", "take", ("run", "verb"), True),
        ),
    )
)


def run(task: Task) -> dict[str, Any]:
    """Do what the action says."""
    return lock(task)


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
