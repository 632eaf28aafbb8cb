# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets: masked in every form, and compared by a keyed hash."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from ansible_collections.rewind.database.plugins.module_utils._errors import InvalidInput
from ansible_collections.rewind.database.plugins.module_utils._secrets import MASK, Masker, keyed_hash
from hypothesis import given
from hypothesis import strategies as st

PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=8)


@given(PRINTABLE, st.text(max_size=10), st.text(max_size=10))
def test_no_usual_form_of_a_secret_survives(secret: str, before: str, after: str) -> None:
    """Given any secret in any text, written plainly, in a URL, in JSON or as a representation, then it is gone."""
    masker = Masker([secret])
    for form in (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]):
        cleaned = masker.text(f"{before}{form}{after}")
        assert MASK in cleaned
        assert secret not in cleaned.replace(MASK, "\0")


@given(
    st.binary(max_size=7),
    st.text("abcdefghijkmnpqrstuvwxyz0123456789_", min_size=16, max_size=40),
    st.binary(max_size=7),
)
def test_a_secret_inside_base64_is_masked_at_every_alignment(before: bytes, secret: str, after: bytes) -> None:
    """Given a secret encoded together with its surroundings, then what could be decoded to it is gone."""
    encoded = base64.b64encode(before + secret.encode() + after).decode()
    cleaned = Masker([secret]).text(encoded)
    assert MASK in cleaned and len(cleaned) < len(encoded)


def test_structures_are_masked_with_their_keys() -> None:
    """Given nested values, then texts and keys are masked, and numbers that are no secret stay."""
    masker = Masker(["a-long-secret-value", 987654])
    assert masker.scrub({"a-long-secret-value": [{"x": "say a-long-secret-value"}, 987654, 5, None, True]}) == {
        MASK: [{"x": f"say {MASK}"}, MASK, 5, None, True]
    }


def test_a_secret_that_is_no_text_is_masked_all_the_same(tmp_path: Path) -> None:
    """Given bytes in the environment that are no UTF-8, then they are masked and told apart like any other."""
    secret = b"a-token-\xff\xfe-of-bytes".decode(errors="surrogateescape")
    masker = Masker([secret])
    assert masker.text(f"before {secret} after") == f"before {MASK} after"
    raw = b"a-token-\xff\xfe-of-bytes"
    assert masker.text(raw.hex()) == masker.text(quote(raw, safe="")) == MASK
    assert keyed_hash(secret, tmp_path, write=True) != keyed_hash(f"{secret}x", tmp_path, write=True)


def test_a_short_secret_does_not_destroy_other_words() -> None:
    """Given the secret "db", then it is masked where it stands alone, and neondb stays readable."""
    masker = Masker(["db"])
    assert masker.scrub(["db", "neondb"]) == [MASK, "neondb"]


def test_a_secret_that_contains_another_is_masked_whole() -> None:
    """Given a connection string and its password, then nothing of the string is left over."""
    masker = Masker(["hunter22", "postgresql://u:hunter22@h.example/db"])
    assert masker.text("use postgresql://u:hunter22@h.example/db now") == f"use {MASK} now"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("at postgresql://u:pw-1@h/db", f"at postgresql://u:{MASK}@h/db"),
        ("http://u:p%40w@proxy:3128/", f"http://u:{MASK}@proxy:3128/"),
        ("host=h password=pw-1 dbname=x", f"host=h password={MASK} dbname=x"),
        ("password='pw \\' 1' user=u", f"password={MASK} user=u"),
        ("postgresql://h/db?sslpassword=pw-1&x=1", f"postgresql://h/db?sslpassword={MASK}&x=1"),
        ("https://host:8000/a@b", "https://host:8000/a@b"),
        ("postgresql://u@h:5432/db", "postgresql://u@h:5432/db"),
    ],
)
def test_passwords_that_nobody_registered_are_masked_by_their_place(text: str, cleaned: str) -> None:
    """Given something that looks like a connection string, then its password is masked and the rest stays."""
    assert Masker().text(text) == cleaned


def test_the_hash_tells_secrets_apart_and_needs_the_key(tmp_path: Path) -> None:
    """Given a state directory, then equal values have equal hashes, others not, and another key gives others."""
    here, there = tmp_path / "here", tmp_path / "there"
    first = keyed_hash("postgresql://one", here, write=True)
    assert first == keyed_hash("postgresql://one", here, write=False)
    assert first != keyed_hash("postgresql://two", here, write=True)
    assert first != keyed_hash("postgresql://one", there, write=True)
    assert len(first) == 12 and int(first, 16) >= 0


def test_the_key_is_private_and_made_once(tmp_path: Path) -> None:
    """Given a first use, then the folder and the file are readable by their owner only, and the file stays the same."""
    folder = tmp_path / "a" / "state"
    keyed_hash("x", folder, write=True)
    key = folder / "hash.key"
    content = key.read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and stat.S_IMODE(folder.stat().st_mode) == 0o700
    keyed_hash("y", folder, write=True)
    assert key.read_bytes() == content and [item.name for item in folder.iterdir()] == ["hash.key"]


def test_check_mode_writes_no_key(tmp_path: Path) -> None:
    """Given check mode and no key, then nothing is written and hashes of one run can be compared."""
    folder = tmp_path / "state"
    assert keyed_hash("x", folder, write=False) == keyed_hash("x", folder, write=False)
    assert keyed_hash("x", folder, write=False) == keyed_hash("x", None, write=True)
    assert not folder.exists()


@pytest.mark.parametrize("content", ["", "short", "zz" * 32])
def test_a_damaged_key_is_an_error_that_names_the_file(tmp_path: Path, content: str) -> None:
    """Given a file that holds no key, then it is named and not replaced."""
    (tmp_path / "hash.key").write_text(content)
    with pytest.raises(InvalidInput, match=r"hash\.key"):
        keyed_hash("x", tmp_path, write=True)
    assert (tmp_path / "hash.key").read_text() == content


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """Given a file where the folder should be, then the message names the option."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="state_dir"):
        keyed_hash("x", tmp_path / "file", write=True)
