# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The transport: reads are repeated, writes are sent once, nothing forbidden is sent, errors say what to do."""

from __future__ import annotations

import datetime
import email.utils
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ansible_collections.rewind.database.plugins.module_utils import _errors, _http
from ansible_collections.rewind.database.plugins.module_utils._answers import error_text, retry_after
from ansible_collections.rewind.database.plugins.module_utils._coolify import probe as _probe
from ansible_collections.rewind.database.plugins.module_utils._coolify.probe import Probe
from ansible_collections.rewind.database.plugins.module_utils._http import READ_ATTEMPTS, Api
from ansible_collections.rewind.database.plugins.module_utils._waiter import Deadline
from ansible_collections.rewind.database.tests.unit.both_ways import StubServer
from ansible_collections.rewind.database.tests.unit.tools import NEON_KEY, FakeClock, FakeTask, Script
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

URL = "http://127.0.0.1:1/api/v2"


def api(task: FakeTask | None = None, *, service: str = "neon", seconds: float = 300.0, **more: Any) -> Api:
    options: dict[str, Any] = {"base_url": URL, "token": NEON_KEY, **more}
    return Api(task=task or FakeTask({}), service=service, deadline=Deadline(seconds), **options)


def test_a_request_carries_the_token_and_the_query(script: Script, clock: FakeClock) -> None:
    """Given parameters, then None is left out and booleans are written as in JSON."""
    script.expect("GET", "/things", {"ok": 1}, query={"a": "true", "b": "2", "c": None})
    reply = api().get("/things", params={"a": True, "b": 2, "c": None})
    assert (reply.status, reply.body) == (200, {"ok": 1})
    assert script.requests[0].headers["Authorization"] == f"Bearer {NEON_KEY}"


@pytest.mark.parametrize(
    "trouble",
    [
        {"answer": httpx.ConnectError("refused")},
        {"answer": httpx.ReadTimeout("slow")},
        {"answer": httpx.RemoteProtocolError("cut off")},
        {"status": 500, "answer": {"message": "oops"}},
        {"status": 524, "answer": "<html><title>timeout</title></html>"},
        {"status": 200, "answer": b'{"half'},
        {"status": 200, "answer": b"[" * 200_000},
    ],
    ids=["refused", "slow", "cut off", "500", "524", "half", "too deep"],
)
def test_a_read_is_repeated_after_trouble(script: Script, clock: FakeClock, trouble: dict[str, Any]) -> None:
    """Given a read that fails twice, then the third attempt's answer is returned, after pauses."""
    for _ in range(2):
        script.expect("GET", "/things", **trouble)
    script.expect("GET", "/things", {"ok": 1})
    assert api().get("/things").body == {"ok": 1}
    assert len(clock.slept) == 2


def test_a_read_gives_up_in_the_end(script: Script, clock: FakeClock) -> None:
    """Given a service that stays away, then the error names address and option, and is retryable."""
    for _ in range(READ_ATTEMPTS):
        script.expect("GET", "/things", httpx.ConnectError("refused"))
    with pytest.raises(_errors.Unreachable) as caught:
        api().get("/things", doing="read things")
    assert caught.value.retryable and "neon_api_url" in caught.value.msg and URL in caught.value.msg


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_429_is_waited_out_as_long_as_it_asks(script: Script, clock: FakeClock, method: str) -> None:
    """Given Retry-After in seconds, then the next attempt comes no earlier."""
    script.expect(method, "/things", {"message": "slow down"}, status=429, headers={"Retry-After": "7"})
    script.expect(method, "/things", {"ok": 1})
    assert api().request(method, "/things").status == 200
    assert sum(clock.slept) >= 7


@pytest.mark.parametrize("status", [423, 503])
@pytest.mark.parametrize("service", ["neon", "coolify"])
def test_a_read_waits_out_what_will_pass(script: Script, clock: FakeClock, service: str, status: int) -> None:
    """Given a lock or an upgrade that outlasts the attempts of other trouble, then a read waits for its end."""
    for _ in range(READ_ATTEMPTS + 2):
        script.expect("GET", "/things", "down", status=status, headers={"Retry-After": "20"})
    script.expect("GET", "/things", {"ok": 1})
    assert api(service=service).get("/things").body == {"ok": 1}
    assert sum(clock.slept) >= 20 * (READ_ATTEMPTS + 2)


def test_a_read_waits_for_what_will_pass_no_longer_than_the_deadline(script: Script, clock: FakeClock) -> None:
    """Given an upgrade without an end, then the read ends with the deadline, and may be tried again."""
    for _ in range(4):
        script.expect("GET", "/things", "down", status=503, headers={"Retry-After": "2"})
    with pytest.raises(_errors.ApiError) as caught:
        api(seconds=6).get("/things")
    assert caught.value.retryable and sum(clock.slept) == pytest.approx(6)


@pytest.mark.parametrize("status", [500, 502, 504, 520, 524])
def test_a_read_that_the_service_failed_may_be_tried_again(script: Script, clock: FakeClock, status: int) -> None:
    """Given a service that fails every time, then whoever waits for something knows that it may pass."""
    for _ in range(READ_ATTEMPTS):
        script.expect("GET", "/things", "<html>bad gateway</html>", status=status)
    with pytest.raises(_errors.ApiError) as caught:
        api().get("/things")
    assert caught.value.retryable and caught.value.http_status == status


class Dripping(httpx.SyncByteStream):
    """A body of which a byte comes every ten seconds, without end."""

    def __init__(self, clock: FakeClock, chunk: bytes = b" ") -> None:
        self.clock = clock
        self.chunk = chunk
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.clock.now += 10
            yield self.chunk

    def close(self) -> None:
        self.closed = True


def dripping(monkeypatch: pytest.MonkeyPatch, body: Dripping) -> None:
    answer = httpx.MockTransport(lambda _request: httpx.Response(200, stream=body))
    monkeypatch.setattr(_http, "open_transport", lambda **_options: answer)


def test_a_body_that_drips_ends_with_the_time_given(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    """Given a body that never ends, then a read gives up, and a write is one whose outcome is unknown."""
    body = Dripping(clock)
    dripping(monkeypatch, body)
    with pytest.raises(_errors.Unreachable, match="did not end within 30 s"):
        api().get("/things")
    assert body.closed
    with pytest.raises(_errors.UnknownOutcome):
        api().post("/things")


def test_a_body_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    """Given more than any true answer holds, then it is given up before the memory is full."""
    monkeypatch.setattr(_http, "LARGEST_BODY", 1000)
    dripping(monkeypatch, Dripping(clock, b"x" * 600))
    with pytest.raises(_errors.UnknownOutcome):
        api().post("/things")
    assert clock.now == 1020


def test_429_that_asks_for_more_than_is_left_is_an_error(script: Script, clock: FakeClock) -> None:
    """Given less time than Retry-After asks for, then nobody waits in vain."""
    script.expect("GET", "/things", {"message": "slow down"}, status=429, headers={"Retry-After": "60"})
    with pytest.raises(_errors.ApiError) as caught:
        api(seconds=30).get("/things")
    assert caught.value.http_status == 429 and caught.value.retryable and clock.slept == []


@pytest.mark.parametrize("status", [423, 503])
def test_a_write_to_neon_waits_out_a_lock(script: Script, clock: FakeClock, status: int) -> None:
    """Given 423 or 503 for well over 15 s, then the write goes on trying: both say that nothing was done."""
    for _ in range(6):
        script.expect("POST", "/things", {"message": "project already has running operations"}, status=status)
    script.expect("POST", "/things", {"ok": 1}, status=201)
    task = FakeTask({})
    assert api(task).post("/things", json={"a": 1}).status == 201
    assert sum(clock.slept) > 15
    assert any("running operations" in line for line in task.lines)


def test_a_lock_that_stays_is_an_error_of_its_own(script: Script, clock: FakeClock) -> None:
    """Given a lock for longer than the deadline, then Locked, with the reason."""
    for _ in range(4):
        script.expect("POST", "/things", {"message": "running operations", "request_id": "r-9"}, status=423)
    with pytest.raises(_errors.Locked) as caught:
        api(seconds=5).post("/things")
    assert caught.value.retryable and "request id r-9" in caught.value.msg
    assert sum(clock.slept) == pytest.approx(5)


def test_503_of_coolify_is_not_waited_out_on_a_write(script: Script, clock: FakeClock) -> None:
    """Given Coolify, whose 503 promises nothing, then the outcome is unknown."""
    script.expect("POST", "/things", {"message": "down"}, status=503)
    with pytest.raises(_errors.UnknownOutcome):
        api(service="coolify").post("/things")


@pytest.mark.parametrize(
    "trouble",
    [
        {"answer": httpx.ReadTimeout("slow")},
        {"answer": httpx.ReadError("reset")},
        {"answer": httpx.RemoteProtocolError("cut off")},
        {"status": 500, "answer": {"message": "oops"}},
        {"status": 524, "answer": "<html>timeout</html>"},
        {"status": 200, "answer": b'{"half'},
    ],
)
def test_a_write_without_an_answer_is_sent_once(script: Script, clock: FakeClock, trouble: dict[str, Any]) -> None:
    """Given a write whose answer is lost, then it is not repeated and its outcome is called unknown."""
    script.expect("POST", "/things", **trouble)
    client = api()
    with pytest.raises(_errors.UnknownOutcome):
        client.post("/things", json={})
    assert client.writes == [("POST", "/things")]


@pytest.mark.parametrize("answer", [None, "<html>a portal</html>", ["a", "list"]], ids=["empty", "html", "list"])
def test_success_of_neon_is_always_an_object(script: Script, clock: FakeClock, answer: Any) -> None:
    """Given an answer of success that Neon never gives, then a read is repeated and a write's outcome is unknown."""
    script.expect("GET", "/things", answer).expect("GET", "/things", {"ok": 1})
    assert api().get("/things").body == {"ok": 1}
    script.expect("POST", "/things", answer, status=201)
    with pytest.raises(_errors.UnknownOutcome):
        api().post("/things")


@pytest.mark.parametrize("answer", [None, "404 page not found"], ids=["empty", "text"])
def test_a_404_of_a_proxy_says_nothing_about_the_object(script: Script, clock: FakeClock, answer: str | None) -> None:
    """Given the 404 of a proxy whose service is away, then a read goes on, and a deletion is not taken for done."""
    script.expect("GET", "/things", answer, status=404).expect("GET", "/things", {"ok": 1})
    assert api(service="coolify").get("/things", expect={200, 404}).body == {"ok": 1}
    script.expect("DELETE", "/things", answer, status=404)
    with pytest.raises(_errors.ApiError) as caught:
        api(service="coolify").delete("/things", expect={200, 404})
    assert caught.value.code == "foreign_answer" and caught.value.retryable


def test_a_write_that_never_left_is_not_an_unknown_outcome(script: Script, clock: FakeClock) -> None:
    """Given no connection at all, then nothing was done, and the error says so."""
    script.expect("POST", "/things", httpx.ConnectError("refused"))
    with pytest.raises(_errors.Unreachable):
        api().post("/things")


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_check_mode_sends_no_write(script: Script, method: str) -> None:
    """Given check mode, then a write is refused before it is sent."""
    with pytest.raises(_errors.RewindError) as caught:
        api(FakeTask({}, check_mode=True)).request(method, "/things")
    assert caught.value.code == "write_in_check_mode" and script.requests == []


@pytest.mark.parametrize(
    "what",
    [
        {"path": "/branches/predicted:branch/x"},
        {"path": "/branches/predicted%3Abranch%2Fx"},
        {"path": "/branches", "params": {"id": "predicted:branch/x"}},
        {"path": "/branches", "json": {"branch": [{"parent_id": "predicted:branch/x"}]}},
    ],
)
def test_a_predicted_id_never_leaves(script: Script, what: dict[str, Any]) -> None:
    """Given a predicted id anywhere in a request, then it is refused before it is sent."""
    with pytest.raises(_errors.RewindError) as caught:
        api().request("POST", what.pop("path"), **what)
    assert caught.value.code == "predicted_id" and script.requests == []


def test_words_that_only_look_like_a_predicted_id_are_sent(script: Script) -> None:
    """Given an annotation that speaks of something predicted, then it is sent."""
    script.expect("POST", "/things", {})
    api().post("/things", json={"reason": "we predicted: trouble"})


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "ApiError"), (401, "Unauthorized"), (403, "Unauthorized"), (404, "NotFound"), (409, "ApiError")],
)
def test_an_error_status_becomes_a_typed_error(script: Script, status: int, kind: str) -> None:
    """Given an error status, then the error has its class, and a message with reason, status and request id."""
    script.expect("GET", "/things", {"code": "SOME_CODE", "message": "no.", "request_id": "r-1"}, status=status)
    with pytest.raises(_errors.ApiError) as caught:
        api().get("/things", doing="read things")
    assert type(caught.value).__name__ == kind
    assert caught.value.msg.startswith(f"read things: no (HTTP {status}, request id r-1)")
    assert caught.value.as_result()["error"]["code"] == "some_code"


def test_a_redirect_is_not_followed(script: Script) -> None:
    """Given a redirect, then the token is not carried elsewhere, and the message names the option."""
    script.expect("GET", "/things", None, status=302, headers={"Location": "https://elsewhere.example/"})
    with pytest.raises(_errors.ApiError) as caught:
        api().get("/things")
    assert "neon_api_url" in caught.value.msg


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com",
        "https://user:pw@example.com",
        "https://h/?q=1",
        "https://h:many",
        "https://[::1",
    ],
)
def test_an_unusable_address_is_refused(url: str) -> None:
    """Given an address that is none, then the message names the option."""
    with pytest.raises(_errors.InvalidInput) as caught:
        api(base_url=url)
    assert "neon_api_url" in caught.value.msg


def test_an_address_without_encryption_is_warned_about() -> None:
    """Given http to a host that is not this one, then a warning; none on loopback."""
    task = FakeTask({})
    api(task, base_url="http://coolify.example.com/api/v1", service="coolify")
    assert len(task.warnings) == 1 and "encryption" in task.warnings[0]
    api(quiet := FakeTask({}))
    assert quiet.warnings == []


@pytest.mark.parametrize("token", [None, "", "two words", "line\nbreak", "schlüssel"])
def test_an_unusable_token_is_refused_without_being_shown(token: str | None) -> None:
    """Given no token or one that cannot be one, then the option is named and the token is not."""
    with pytest.raises(_errors.Unauthorized) as caught:
        api(token=token)
    assert "neon_api_key" in caught.value.msg
    assert not token or token not in caught.value.msg


def test_a_missing_certificate_file_is_named() -> None:
    """Given ca_path with no file, then the message names the option."""
    with pytest.raises(_errors.InvalidInput, match="ca_path"):
        api(base_url="https://127.0.0.1:1/api/v2", ca_path="/nonexistent/ca.pem").get("/things")


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that no authority has signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(encoded)
    return folder / "ca.pem", folder / "key.pem"


def test_certificates_are_verified(tmp_path: Path, stub_server: StubServer, clock: FakeClock) -> None:
    """Given a server with an unknown certificate, then no request reaches it; with ca_path, then one does."""
    ca, key = certificate(tmp_path)
    stub_server.encrypt(ca, key)
    stub_server.answer("GET", "/api/v2/things", {"ok": 1})
    url = f"{stub_server.url}/api/v2"
    with pytest.raises(_errors.Unreachable, match=r"(?i)certificate"):
        api(base_url=url).get("/things")
    assert stub_server.requests == []
    with pytest.raises(_errors.Unreachable, match=r"(?i)certificate"):
        api(base_url=url.replace("https:", "HTTPS:")).get("/things")
    assert stub_server.requests == []
    assert api(base_url=url, ca_path=str(ca)).get("/things").body == {"ok": 1}


def test_the_application_is_asked_with_the_authorities_of_the_public_too(tmp_path: Path) -> None:
    """Given ca_path, which is meant for Coolify, then the public authorities are still good for health_url."""
    ca, _key = certificate(tmp_path)
    public = len(_probe.verify(None).get_ca_certs())
    assert len(_probe.verify(str(ca)).get_ca_certs()) == public + 1 > 2
    with pytest.raises(_errors.InvalidInput, match="ca_path"):
        Probe("https://tracker.example.com", ca_path="/nonexistent/ca.pem")


@pytest.mark.parametrize("proxy", ["host:3128", "socks5://host", "http://"])
def test_an_unusable_proxy_is_refused(proxy: str) -> None:
    """Given a proxy that is no http address, then the option is named; a password in a good one is registered."""
    with pytest.raises(_errors.InvalidInput, match="proxy"):
        api(proxy=proxy)
    task = FakeTask({})
    api(task, proxy="http://user:a-proxy-password@host:3128")
    assert "a-proxy-password" not in task.masker.text("a-proxy-password")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("5", 5.0), ("0.5", 0.5), ("-3", 0.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("soon", None), ("", None)],
)
def test_retry_after_is_read(header: str, seconds: float | None) -> None:
    """Given any form of Retry-After, then seconds, never negative; nonsense counts as absent."""
    assert retry_after({"retry-after": header}) == seconds


@pytest.mark.parametrize("header", ["retry-after", "x-sentry-rate-limit-reset"])
def test_an_instant_to_wait_for_is_taken_by_the_clock_of_who_named_it(header: str) -> None:
    """Given a service whose clock is years behind or ahead, then the pause is what it meant."""
    for year in (1990, 2090):
        now = datetime.datetime(year, 1, 1, tzinfo=datetime.UTC)
        until = now + datetime.timedelta(seconds=40)
        said = email.utils.format_datetime(until, usegmt=True) if header == "retry-after" else str(until.timestamp())
        assert retry_after({header: said, "date": email.utils.format_datetime(now, usegmt=True)}) == 40


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"code": "", "message": "a\n b"}, "a b"),
        (
            {"message": "Validation failed.", "errors": {"key": ["is taken", "is long"]}},
            "Validation failed. (key: is taken, is long)",
        ),
        ({"error": "no"}, "no"),
        (
            "<html><head><style>x{}</style><title>524</title></head><body>A <b>timeout</b></body></html>",
            "524 A timeout",
        ),
        (None, ""),
        ([1], ""),
    ],
)
def test_error_texts_are_one_line_without_tags(body: Any, text: str) -> None:
    """Given what services send with an error, then one readable line."""
    assert error_text(body) == text
    assert len(error_text("x" * 5000)) == 400
