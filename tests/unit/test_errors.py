# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors as a person and a program read them."""

from __future__ import annotations

import pytest
from ansible_collections.rewind.database.plugins.module_utils import _errors
from ansible_collections.rewind.database.plugins.module_utils._neon.causes import explain


def test_a_message_reads_verb_object_reason_facts_advice() -> None:
    """Given all parts, then they stand in one order and with one full stop each."""
    error = _errors.ApiError(
        "create branch x: it exists.",
        http_status=409,
        request_id="r-1",
        hint="Use another name.",
        code="already_exists",
    )
    assert str(error) == "create branch x: it exists (HTTP 409, request id r-1). Use another name."
    assert error.as_result() == {
        "msg": str(error),
        "error": {
            "code": "already_exists",
            "http_status": 409,
            "request_id": "r-1",
            "retryable": False,
            "hint": "Use another name.",
        },
    }


def test_a_message_without_facts_and_advice_is_only_the_reason() -> None:
    """Given a reason only, then nothing is added to it."""
    assert str(_errors.RewindError("use x: no")) == "use x: no"


def test_a_timeout_always_says_what_is_known() -> None:
    """Given a timeout, then the result has a partial, empty where nothing is known."""
    assert _errors.Timeout("wait").as_result()["partial"] == {}
    assert _errors.Timeout("wait", partial={"branch": {"id": "x"}}).as_result()["partial"] == {"branch": {"id": "x"}}


# Texts seen from the real API.
SEEN = [
    (
        400,
        'timestamp is before retention window; timestamp:"2026-06-04 00:25:59 +0000 UTC", retention_window:"6h0m0s"',
        "before_history_window",
    ),
    (422, "cannot delete branch that has children: br-x", "branch_has_children"),
    (422, "Branch has children, preserve_under_name is required", "preserve_under_name_required"),
    (422, "branch not ready yet", "branch_not_ready"),
    (409, 'branch already exists; branch_name:"x"', "already_exists"),
    (412, "suspend interval changing is not allowed for your account", "suspend_timeout_not_allowed"),
    (
        422,
        "You have reached the maximum number of protected branches for your current plan",
        "protected_branches_limit_exceeded",
    ),
    (400, "restore from snapshot on target branch is still ongoing", "snapshot_restore_ongoing"),
    (400, "Protected branch cannot have an expiration date", "expiry_not_allowed"),
    (400, "Default branch cannot have an expiration date", "expiry_not_allowed"),
    (
        404,
        'not allowed to perform actions outside the project this key is scoped to; subject_project_id:"x"',
        "wrong_key_scope",
    ),
]


@pytest.mark.parametrize(("status", "text", "code"), SEEN)
def test_neons_texts_get_a_code_and_advice(status: int, text: str, code: str) -> None:
    """Given a text of the real API without a code of its own, then a stable code and what to do."""
    error = explain(_errors.ApiError(f"do it: {text}", http_status=status))
    assert error.code == code and error.hint and error.msg.endswith(error.hint) and str(error) == error.msg


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("branches_limit_exceeded", "branches_limit_exceeded"),
        ("root_branches_limit_exceeded", "root_branches_limit_exceeded"),
        ("branches_protected_limit_exceeded", "protected_branches_limit_exceeded"),
        ("branch_already_exists", "already_exists"),
    ],
)
def test_neons_codes_are_told_apart(code: str, expected: str) -> None:
    """Given Neon's own code, then the right advice: root branches are not just branches."""
    assert explain(_errors.ApiError("do it: no", http_status=422, code=code)).code == expected


def test_an_unknown_error_stays_as_it_is() -> None:
    """Given a text that nobody has seen, then it is passed on unchanged."""
    error = explain(_errors.ApiError("do it: the moon is full", http_status=400, code="moon", hint="Wait."))
    assert (error.code, error.hint) == ("moon", "Wait.")
