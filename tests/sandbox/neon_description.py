# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The published API description, and the check that an answer is as it says."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import httpx
from openapi_schema_validator import OAS30Validator, oas30_format_checker
from referencing import Registry
from referencing.jsonschema import DRAFT4

NAME = "neon-v2-patched-2026-09.json"
MISSING = (
    f"the API description {NAME} is not there: set REWIND_SPECS to its folder, or put it into ../shared/specs "
    "beside the repository"
)
# Served by the real API, absent from its description.
UNDESCRIBED = re.compile(r"/projects/[^/]+/limits")


class Description:
    """One OpenAPI document."""

    def __init__(self, path: Path) -> None:
        self._document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        resource = DRAFT4.create_resource(self._document)
        self._registry: Registry[Any] = Registry().with_resource("urn:neon", resource)
        self._validators: dict[str, OAS30Validator] = {}
        self._templates = [(self._expression(path), path) for path in self._document["paths"]]
        self.seen: set[tuple[str, str, int]] = set()

    @classmethod
    def find(cls) -> Description | None:
        """The description in ``$REWIND_SPECS`` or beside the repository."""
        beside = Path(__file__).resolve().parents[3] / "shared" / "specs"
        path = Path(os.environ.get("REWIND_SPECS") or beside) / NAME
        return cls(path) if path.exists() else None

    @staticmethod
    def _expression(template: str) -> re.Pattern[str]:
        # A template with fewer variables wins: /branches/count is not a branch.
        return re.compile(re.sub(r"\{[^}]+\}", "[^/]+", template))

    def _template(self, path: str) -> str:
        fitting = [template for expression, template in self._templates if expression.fullmatch(path)]
        assert fitting, f"the description does not know {path}"
        return str(min(fitting, key=lambda template: template.count("{")))

    def check(self, method: str, path: str, answer: httpx.Response) -> None:
        """Asserts that an answer's status and body are described."""
        if answer.is_error:
            self._validate("#/components/schemas/GeneralError", answer.json())
            return
        if UNDESCRIBED.fullmatch(path):
            return
        template = self._template(path)
        operation = self._document["paths"][template][method.lower()]
        status = str(answer.status_code)
        assert status in operation["responses"], f"{method} {template} is not described to answer {status}"
        self.seen.add((method, template, answer.status_code))
        pointer = f"#/paths/{_escaped(template)}/{method.lower()}/responses/{status}"
        response = operation["responses"][status]
        if "$ref" in response:
            pointer = str(response["$ref"])
            response = self._document["components"]["responses"][pointer.rsplit("/", 1)[1]]
        if "content" not in response:
            assert not answer.content, f"{method} {template} {status} has a body"
            return
        assert answer.headers["content-type"].startswith("application/json")
        self._validate(f"{pointer}/content/application~1json/schema", answer.json())

    def _validate(self, pointer: str, body: Any) -> None:
        if pointer not in self._validators:
            schema = {"$ref": f"urn:neon{pointer}"}
            self._validators[pointer] = OAS30Validator(
                schema, registry=self._registry, format_checker=oas30_format_checker
            )
        problems = [f"{list(e.absolute_path)}: {e.message}" for e in self._validators[pointer].iter_errors(body)]
        assert not problems, f"{pointer}: {problems[:5]}"


def _escaped(template: str) -> str:
    return template.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")
