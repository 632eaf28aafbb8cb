# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refusals of the API, with the texts that clients match on.

`code` is the empty string wherever the real API was seen to leave it empty: clients match on status and text.
A text whose wording on the real API is not known is marked "wording unproven".
"""

from __future__ import annotations


class NeonError(Exception):
    """An answer other than success: HTTP `status`, `message` and (often empty) `code`."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code

    def body(self, request_id: str) -> dict[str, str]:
        """As ``GeneralError`` of the API description."""
        return {"request_id": request_id, "code": self.code, "message": self.message}


class ComputeUnavailable(Exception):
    """A compute cannot be started here at all; trying again does not help."""


def told(text: str, **values: object) -> str:
    """``text; key:"value", key:"value"``: how the API names values in a message."""
    return f"{text}; " + ", ".join(f'{key}:"{value}"' for key, value in values.items())


def not_found(what: str) -> NeonError:
    """404 ``branch not found`` and the like."""
    return NeonError(404, f"{what} not found")


def no_route() -> NeonError:
    """404 for a path that is none, also one with a malformed project id."""
    return NeonError(404, "this route does not exist")


def locked() -> NeonError:
    """423: operations of one project run one chain at a time. Always safe to retry."""
    return NeonError(423, "project already has running conflicting operations, scheduling of new ones is prohibited")


def transitive() -> NeonError:
    """423 for suspending a compute that is just starting or stopping."""
    return NeonError(423, "endpoint is in some transitive state, could not suspend")


def not_ready() -> NeonError:
    """422 while a branch is still ``init`` or ``resetting``. Safe to retry."""
    return NeonError(422, "branch not ready yet")


def branch_exists(name: str) -> NeonError:
    """409: branch names are unique within a project."""
    return NeonError(409, told("branch already exists", branch_name=name), "BRANCH_ALREADY_EXISTS")


def invalid(message: str) -> NeonError:
    """400 for a request that is not understood (wording unproven where the caller invents it)."""
    return NeonError(400, message)
