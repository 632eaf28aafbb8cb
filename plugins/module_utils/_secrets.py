# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeping secrets out of everything that is printed or written, and showing a keyed hash where one must be compared."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from ._errors import InvalidInput

MASK = "********"
# A shorter secret is masked only where it is the whole value: replacing "db" everywhere would destroy results.
SHORTEST = 4
KEY_FILE = "hash.key"
_KEY_BYTES = 32

_URI_PASSWORD = re.compile(
    r"(?P<before>\b[a-z][a-z0-9+.-]*://[^\s:/@?#\"']*:)(?P<password>[^\s@\"'/]+)(?=@)", re.IGNORECASE
)
_PARAMETER_PASSWORD = re.compile(
    r"(?P<before>\b(?:sslpassword|password|passwd)=)(?P<password>'(?:[^'\\]|\\.)*'|[^\s&'\"]+)", re.IGNORECASE
)


class Masker:
    """Replaces every registered secret, in each form in which it may show up, by eight asterisks."""

    def __init__(self, values: Iterable[object] = ()) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for value in values:
            self.add(value)

    def add(self, value: object) -> None:
        """Register a secret. Empty values and booleans are ignored."""
        if value is None or isinstance(value, bool):
            return
        text = str(value)
        if text and text != MASK and text not in self._values:
            self._values.add(text)
            self._pattern = None

    def text(self, text: str) -> str:
        """The text with every secret masked: registered ones, and passwords in anything that looks like a URI."""
        if text in self._values:
            return MASK
        pattern = self._compiled()
        if pattern is not None:
            text = pattern.sub(MASK, text)
        return _scrub_passwords(text)

    def scrub(self, value: Any) -> Any:
        """The same structure with every text masked, dictionary keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.scrub(key): self.scrub(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.scrub(item) for item in value]
        if isinstance(value, (int, float)) and not isinstance(value, bool) and str(value) in self._values:
            return MASK
        return value

    def _compiled(self) -> re.Pattern[str] | None:
        if self._pattern is None:
            forms = {form for value in self._values for form in _forms(value) if len(form) >= SHORTEST}
            if not forms:
                return None
            # Longest first: else a secret that contains another would be masked only in part.
            self._pattern = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))
        return self._pattern


def _bytes(secret: str) -> bytes:
    """As it was in the environment, which gives bytes that are no text as lone surrogates."""
    try:
        return secret.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return secret.encode(errors="surrogatepass")


def _forms(secret: str) -> set[str]:
    """The ways in which a secret is written in URLs, JSON, representations and encodings."""
    if len(secret) < SHORTEST:
        return set()
    raw = _bytes(secret)
    quoted = quote(raw, safe="")
    forms = {secret, quoted, quote(raw), quote_plus(raw), unquote(secret)}
    forms |= {form.lower() for form in (quoted,) if form != secret}
    forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    forms.add(raw.hex())
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            # Inside a longer text the secret starts at any of three alignments; the characters at both ends also
            # depend on the neighbours and are left out.
            start = 0 if shift == 0 else shift + 1
            body = encode(b"\0" * shift + raw).decode().rstrip("=")
            end = len(body) if (shift + len(raw)) % 3 == 0 else len(body) - 1
            if len(body[start:end]) >= 2 * SHORTEST:
                forms.add(body[start:end])
    return forms


def _scrub_passwords(text: str) -> str:
    if "://" in text:
        text = _URI_PASSWORD.sub(lambda found: f"{found['before']}{MASK}", text)
    if "=" in text:
        text = _PARAMETER_PASSWORD.sub(lambda found: f"{found['before']}{MASK}", text)
    return text


def keyed_hash(value: str, state_dir: str | Path | None, *, write: bool) -> str:
    """Twelve hexadecimal digits that tell two secrets apart and give nothing away: HMAC-SHA256 with a key file.

    The key is ``<state_dir>/hash.key``, made with mode 0600 on first use when ``write`` is true. Without a folder, or
    without a key and with ``write`` false (check mode), a key of this run is used: such a hash can be compared only
    with others of the same run.
    """
    key = _key(Path(state_dir).expanduser() if state_dir else None, write)
    return hmac.new(key, _bytes(value), hashlib.sha256).hexdigest()[:12]


# Made when the collection is loaded, which in the controller's process happens once per run, before the forks: hashes
# made without a key file can still be compared within that run.
_RUN_KEY = secrets.token_bytes(_KEY_BYTES)


def _key(folder: Path | None, write: bool) -> bytes:
    if folder is None:
        return _RUN_KEY
    path = folder / KEY_FILE
    try:
        return _read_key(path)
    except FileNotFoundError:
        return _create_key(path) if write else _RUN_KEY
    except OSError as error:
        raise _unusable(path, error) from None


def _read_key(path: Path) -> bytes:
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if not re.fullmatch(r"(?:[0-9a-f]{2}){32,}", text):
        raise InvalidInput(
            f"use the hash key {path}: it does not hold a key of {_KEY_BYTES} bytes",
            hint="Restore the file, or remove it: hashes made before can then no longer be compared.",
        )
    return bytes.fromhex(text)


def _create_key(path: Path) -> bytes:
    key = secrets.token_bytes(_KEY_BYTES)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, key.hex().encode() + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
        try:
            # A link fails when another process was first, so two of them never use different keys.
            os.link(draft, path)
        except FileExistsError:
            return _read_key(path)
        finally:
            draft.unlink()
    except OSError as error:
        raise _unusable(path, error) from None
    return key


def _unusable(path: Path, error: OSError) -> InvalidInput:
    return InvalidInput(
        f"use the hash key {path}: {error.strerror}",
        hint="Set state_dir to a folder that this user may read and write.",
    )
