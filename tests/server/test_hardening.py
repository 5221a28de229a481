"""What a running server holds against hostile browsers, slow, greedy and malformed clients; through real sockets."""

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest

from hushtag.stream_messages import STREAM_HEADER
from hushtag_server.answer_headers import answer_headers
from hushtag_server.origins import PREFLIGHT_SECONDS, Origins
from hushtag_server.peer import address_group
from hushtag_server.settings import Settings, SettingsError, load_settings
from hushtag_server.turns import MAX_WAIT, REFUSED_TURNS, REMEMBERED, SECONDS_AT_ONCE, Turns
from tests.live_server import RunningServer, run_server, temporary_directory
from tests.server.test_problems import DOT_SEGMENTS, OTHER_SPELLINGS

APP = "https://app.example.org"
LOGIN = b'{"email":"ada@example.org","password":"correct horse battery"}'
PATIENCE = 30.0


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with (
        temporary_directory() as directory,
        run_server(
            directory,
            HUSHTAG_HEAD_TIMEOUT="1",
            HUSHTAG_BODY_PAUSE="2",
            HUSHTAG_TRUSTED_PROXIES="127.0.0.1",
            HUSHTAG_REQUESTS_AT_ONCE_PER_ADDRESS="3",
            HUSHTAG_REQUESTS_PER_ADDRESS="2",
            HUSHTAG_ALLOWED_ORIGINS=f"{APP},http://localhost:3000",
            HUSHTAG_STRICT_TRANSPORT="365d",
        ) as running,
    ):
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as made:
        yield made


def connect(server: RunningServer) -> socket.socket:
    place = urlsplit(server.url)
    return socket.create_connection((place.hostname, place.port), timeout=PATIENCE)


def read_all(connection: socket.socket) -> bytes:
    """Read until the server hangs up."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


def head(path: str = "/v1/sessions", method: str = "POST", *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: hushtag", *lines, "", ""]).encode()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_path_in_another_spelling_is_one_that_does_not_exist(server: RunningServer) -> None:
    def answered(path: str) -> tuple[int, dict[str, object]]:
        with connect(server) as connection:
            connection.sendall(head(path, "GET", "Connection: close"))
            answer = read_all(connection)
        return status_of(answer), json.loads(answer.partition(b"\r\n\r\n")[2]) | {"request_id": ""}

    unknown = answered("/v1/acount")
    assert (unknown[0], unknown[1]["code"]) == (404, "not_found")
    for path in OTHER_SPELLINGS + DOT_SEGMENTS:
        assert answered(path) == unknown, path
    assert answered("/v1/account?a=%2F//..")[1]["code"] == "unauthenticated"


# --- headers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health/live"),
        ("GET", "/v1/account"),
        ("POST", "/v1/unlock/locate"),
        ("GET", "/nowhere"),
        ("GET", "/docs"),
        ("GET", "/schema"),
        ("OPTIONS", "/v1/account"),
        ("DELETE", "/health/live"),
        ("GET", "/v1/journals?" + "x" * 3000),
    ],
)
def test_every_answer_carries_every_header(client: httpx.Client, method: str, path: str) -> None:
    headers = client.request(method, path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
    assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "set-cookie" not in headers


def test_no_route_of_the_interface_lets_anybody_keep_an_answer_but_the_calendar() -> None:
    # Routes that say something of caching themselves; the edge says no-store for all others.
    from pathlib import Path

    import hushtag_server

    found = [
        match
        for path in Path(hushtag_server.__file__).parent.rglob("*.py")
        for match in re.findall(r'"[Cc]ache-[Cc]ontrol": "([^"]+)"', path.read_text())
    ]
    assert set(found) == {"no-store", "private, no-cache"}


def test_strict_transport_is_said_only_where_it_is_set() -> None:
    names = {name for name, _ in answer_headers(Settings()).pairs}
    assert b"strict-transport-security" not in names


# --- other origins ------------------------------------------------------------------------------------------


def cross_origin(headers: httpx.Headers) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("access-control-")}


def test_an_allowed_page_reads_answers_and_problems(client: httpx.Client) -> None:
    for path in ("/health/live", "/v1/account", "/nowhere"):
        headers = client.get(path, headers={"Origin": APP}).headers
        said = cross_origin(headers)
        assert said.pop("access-control-allow-origin") == APP
        assert "Hushtag-Request-Id" in said.pop("access-control-expose-headers")
        assert said == {}  # no credentials
        assert headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "origin", ["null", "https://evil.example", APP + ".evil.example", APP + "/", APP.upper(), "http://app.example.org"]
)
def test_any_other_page_is_told_nothing(client: httpx.Client, origin: str) -> None:
    for method in ("GET", "OPTIONS"):
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        answer = client.request(method, "/v1/account", headers=asked)
        assert cross_origin(answer.headers) == {}
        assert answer.headers["vary"] == "Origin"


def test_a_preflight_of_an_allowed_page_is_answered_for_any_route(client: httpx.Client) -> None:
    for path in ("/v1/unlock/locate", "/v1/vaults/00000000-0000-4000-8000-000000000000"):
        asked = {
            "Origin": APP,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "hushtag-head",
        }
        answer = client.options(path, headers=asked)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["access-control-max-age"] == str(PREFLIGHT_SECONDS)
        assert {"PUT", "DELETE"} <= set(answer.headers["access-control-allow-methods"].split(", "))
        assert {"Authorization", "Hushtag-Head"} <= set(answer.headers["access-control-allow-headers"].split(", "))


@pytest.mark.anyio
async def test_an_allowed_page_may_send_and_read_every_header_of_the_interface(
    app_client: httpx.AsyncClient,
) -> None:
    document = (await app_client.get("/schema")).json()
    operations = [each for path in document["paths"].values() for each in path.values() if isinstance(each, dict)]
    parameters = [each for operation in operations for each in operation.get("parameters", [])]
    sent = {each["name"] for each in parameters if each["in"] == "header"} | {"Authorization", "Content-Type"}
    answers = [answer for operation in operations for answer in operation["responses"].values()]
    read = {name for answer in answers for name in answer.get("headers", {})}
    # What a large object needs and the document does not name.
    read |= {STREAM_HEADER, "Hushtag-Revision", "Hushtag-Key-Version", "Content-Range"}
    scope = {"method": "OPTIONS", "headers": [(b"origin", APP.encode()), (b"access-control-request-method", b"PUT")]}
    origins = Origins([APP])
    said = dict([*(origins.preflight(scope) or ()), *origins.headers(scope)])
    assert {STREAM_HEADER, "Hushtag-Confirm", "Hushtag-Segment-Digest", "Range"} <= sent
    assert sent - set(said[b"access-control-allow-headers"].decode().split(", ")) == set()
    assert read - set(said[b"access-control-expose-headers"].decode().split(", ")) == set()


@pytest.mark.anyio
async def test_without_allowed_origins_no_page_of_another_origin_reads_anything(app_client: httpx.AsyncClient) -> None:
    for method in ("GET", "OPTIONS"):
        asked = {"Origin": "http://hushtag.test", "Access-Control-Request-Method": "GET"}
        answer = await app_client.request(method, "/v1/account", headers=asked)
        assert cross_origin(answer.headers) == {}


@pytest.mark.parametrize("text", ["*", "https://app.example.org/", "app.example.org", "null", "https://A.example.org"])
def test_what_is_no_origin_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match="HUSHTAG_ALLOWED_ORIGINS must be origins"):
        load_settings({"HUSHTAG_ALLOWED_ORIGINS": text})


# --- slow and malformed clients -----------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"POST /v1/sess", b"POST /v1/sessions HTTP/1.1\r\nHost: hushtag\r\nX-Slow: "])
def test_a_head_that_does_not_come_ends_the_connection(server: RunningServer, sent: bytes) -> None:
    with connect(server) as connection:
        connection.sendall(sent)
        began = time.monotonic()
        answer = read_all(connection)
        assert time.monotonic() - began < PATIENCE / 2
        assert answer == b"" or status_of(answer) in {400, 408}


def test_a_head_that_drips_does_not_prolong_its_time(server: RunningServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"POST /v1/sessions HTTP/1.1\r\nHost: hushtag\r\nX-Slow: ")
        connection.settimeout(0.1)
        began, ended = time.monotonic(), False
        while not ended and time.monotonic() - began < PATIENCE:
            try:
                connection.sendall(b"x")
                ended = connection.recv(4096) == b"" or ended
            except TimeoutError:
                continue
            except OSError:
                ended = True
        assert ended
        assert time.monotonic() - began < PATIENCE / 2


def test_an_idle_kept_alive_connection_is_closed(server: RunningServer) -> None:
    with connect(server) as connection:
        connection.sendall(head("/health/live", "GET"))
        began = time.monotonic()
        answer = read_all(connection)
        assert status_of(answer) == 200
        assert time.monotonic() - began < PATIENCE / 2


def test_a_body_that_stops_coming_is_not_waited_for(server: RunningServer) -> None:
    with connect(server) as connection:
        connection.sendall(
            head("/v1/sessions", "POST", "Content-Type: application/json", f"Content-Length: {len(LOGIN)}")
        )
        began = time.monotonic()
        connection.sendall(LOGIN[:10])
        answer = connection.recv(65536)
        assert status_of(answer) == 408
        assert 1.9 <= time.monotonic() - began < PATIENCE / 2
        assert b"request_timeout" in answer or b"request_timeout" in read_all(connection)


def test_a_body_that_keeps_coming_is_taken(server: RunningServer) -> None:
    with connect(server) as connection:
        connection.sendall(
            head("/v1/sessions", "POST", "Content-Type: application/json", f"Content-Length: {len(LOGIN)}")
        )
        for start in range(0, len(LOGIN), 8):
            connection.sendall(LOGIN[start : start + 8])
            time.sleep(0.4)  # the pace is what is tested: longer than the pause in all, shorter in each
        assert status_of(connection.recv(65536)) == 401


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), {400}),
        (b"GARBAGE\r\n\r\n", {400}),
        (b"GET / HTTP/9.9\r\n\r\n", {400, 505}),
        (b"GET /health/live HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n", {400}),
        (b"GET /health/live HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 20_000 + b"\r\n\r\n", {431}),
        (b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + b"A: x\r\n" * 80 + b"\r\n", {431}),
        (b"GET /health/live HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 200_000 + b"\r\n\r\n", {431}),
        (b"GET /health/live?" + b"x" * 4000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {414}),
        (b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", {400}),
        (b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", {400}),
        (b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n", {400}),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_ends(
    server: RunningServer, sent: bytes, statuses: set[int]
) -> None:
    with connect(server) as connection:
        with suppress(OSError):  # refused before all of it was read
            connection.sendall(sent)
        answer = read_all(connection)
    assert answer == b"" or status_of(answer) in statuses, answer[:200]
    assert answer or len(sent) > 100_000  # a reset may overtake the answer where bytes were left unread


def test_more_idle_connections_than_there_are_turns_to_speak_keep_nobody_out(server: RunningServer) -> None:
    idle = [connect(server) for _ in range(500)]
    try:
        for _ in range(3):
            assert httpx.get(f"{server.url}/health/live", timeout=PATIENCE).status_code == 200
    finally:
        for connection in idle:
            connection.close()


def test_a_connection_that_is_closed_on_one_side_ends_on_the_other(server: RunningServer) -> None:
    for sent in (b"", b"POST /v1/sess", head("/v1/sessions", "POST", "Content-Length: 100")):
        with connect(server) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            began = time.monotonic()
            read_all(connection)
            assert time.monotonic() - began < PATIENCE / 2


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/accounts", "/v1/unlock/locate", "/v1/journals"])
@pytest.mark.parametrize(
    "body", [b"[" * 60_000, b'{"a":' * 12_000, b'{"email":' + b"[" * 60_000, b'{"elements":' + b"[" * 60_000]
)
@pytest.mark.anyio
async def test_nesting_ends_in_a_problem_however_deep(app_client, sign_in, path: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    if path not in {"/v1/sessions", "/v1/accounts"}:
        headers |= (await sign_in(app_client)).headers
    answer = await app_client.post(path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


# --- addresses ----------------------------------------------------------------------------------------------


def test_requests_at_once_are_limited_for_each_address_that_a_trusted_proxy_names(server: RunningServer) -> None:
    started = []
    lines = ("Content-Type: application/json", f"Content-Length: {len(LOGIN)}", "X-Forwarded-For: 203.0.113.1")
    try:
        for _ in range(3):
            connection = connect(server)
            started.append(connection)
            connection.sendall(head("/v1/accounts", "POST", *lines) + LOGIN[:-1])  # a refused login would count as many
        deadline = time.monotonic() + PATIENCE
        with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
            status = 0
            while status != 429 and time.monotonic() < deadline:  # until the server has taken up all three
                answer = client.get("/health/live", headers={"X-Forwarded-For": "203.0.113.1"})
                status = answer.status_code
            assert answer.json()["code"] == "too_many_requests"
            assert answer.headers["retry-after"] == "1"
            for other in ("203.0.113.2", "2001:db8::1"):
                assert client.get("/health/live", headers={"X-Forwarded-For": other}).status_code == 200
            for connection in started:
                connection.sendall(LOGIN[-1:])
            for connection in started:
                assert status_of(connection.recv(65536)) == 202
            while status != 200 and time.monotonic() < deadline:
                status = client.get("/health/live", headers={"X-Forwarded-For": "203.0.113.1"}).status_code
            assert status == 200
    finally:
        for connection in started:
            connection.close()


def test_a_fast_client_is_paced_and_a_greedy_one_refused() -> None:
    turns = Turns(Settings(requests_per_address=1, requests_at_once_per_address=0))
    waits = [turns.enter("203.0.113.9")[1] for _ in range(30)]
    burst = int(SECONDS_AT_ONCE)
    assert waits[: burst - 1] == [0.0] * (burst - 1)
    paced = [wait for wait in waits[burst:] if wait is not None]
    assert paced == pytest.approx(range(1, int(MAX_WAIT) + 1), abs=0.5)
    assert waits[burst + int(MAX_WAIT) + 1 :] == [None] * (30 - burst - int(MAX_WAIT) - 1)
    assert turns.enter("203.0.113.10")[1] == 0.0


def test_a_refused_request_counts_as_many() -> None:
    turns = Turns(Settings(requests_per_address=REFUSED_TURNS, requests_at_once_per_address=0))
    visitor, _ = turns.enter("203.0.113.9")
    for status, pause in ((200, 0.0), (409, 0.0), (401, 1.0), (400, 1.0)):
        assert visitor is not None
        before = visitor.turn
        turns.leave(visitor, status)
        assert visitor.turn - before == pytest.approx(pause * (REFUSED_TURNS - 1) / REFUSED_TURNS)


def test_addresses_of_this_host_are_not_counted_and_a_network_of_ipv6_counts_as_one() -> None:
    turns = Turns(Settings(requests_at_once_per_address=1, requests_per_address=0))
    for address in ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", None):
        assert [turns.enter(address) for _ in range(3)] == [(None, 0.0)] * 3
    visitor, wait = turns.enter("2001:db8::1")
    assert wait == 0.0
    assert turns.enter("2001:db8::ffff")[1] is None
    assert turns.enter("2001:db8:0:1::1")[1] == 0.0
    turns.leave(visitor, 200)
    assert turns.enter("2001:db8::2")[1] == 0.0
    for address in ("::ffff:203.0.113.1", "::ffff:203.0.113.2"):
        assert turns.enter(address)[1] == 0.0
    assert turns.enter("203.0.113.1")[1] is None


def test_a_worker_remembers_so_many_addresses_and_no_more() -> None:
    turns = Turns(Settings())
    for number in range(REMEMBERED + 50):
        turns.enter(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(turns._visitors) == REMEMBERED


@pytest.mark.parametrize("authorized", [True, False])
def test_a_refusal_before_the_body_came_ends_the_connection_and_says_so(client: httpx.Client, authorized: bool) -> None:
    """Or the next request on it would be lost in the middle of the body."""
    token = f"hta_{'A' * 64}" if authorized else "none"
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    for _ in range(10):
        refused = client.post("/v1/unlock/locate", content=(b" " * 65536 for _ in range(3)), headers=headers)
        assert (refused.status_code in {401, 413}, refused.headers.get("connection")) == (True, "close")
        answered = client.post("/v1/sessions", json={})  # read to its end
        assert (answered.status_code, answered.headers.get("connection")) == (400, None)
        assert client.get("/v1/account").headers.get("connection") is None  # nothing was announced


@pytest.mark.parametrize("hop", ["fe80::1%eth0", "fe80::1%25", "::1%lo", "%", "fe80::1%"])
def test_a_zone_in_what_a_proxy_tells_is_no_error(client: httpx.Client, hop: str) -> None:
    answer = client.get("/health/live", headers={"X-Forwarded-For": hop})
    assert (answer.status_code, "hushtag-request-id" in answer.headers) == (200, True)
    assert address_group("fe80::1%eth0") == address_group("fe80::2")


# --- metrics ------------------------------------------------------------------------------------------------


def test_metrics_are_closed_without_a_token_even_for_this_host(client: httpx.Client) -> None:
    answer = client.get("/metrics")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_problem_of_a_limit_tells_nothing_but_when_to_come_back(client: httpx.Client) -> None:
    answer = client.get("/health/live", headers={"X-Forwarded-For": "not an address"})
    assert answer.status_code == 200  # what a proxy made up counts as the proxy
    assert json.loads(answer.content) == {"live": True}
