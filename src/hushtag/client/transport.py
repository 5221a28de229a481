"""What both drivers share of HTTP: how a request is put, how an answer is read, what a failure is called.

Answers are read raw and counted while they arrive, so a server cannot make a client hold more than it asked for:
compressed answers are refused, redirects are not followed, and no answer is longer than its request allows.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx

from hushtag import __version__
from hushtag.client.effects import Request, Response
from hushtag.client.errors import ClientClosedError, TimedOutError, TransportError
from hushtag.client.policy import Timeouts, is_loopback
from hushtag.errors import LimitError, MalformedError, MisuseError

__all__ = [
    "Reading",
    "connection_options",
    "lower_names",
    "quiet_failures",
    "request_options",
    "typed_environment",
    "typed_failures",
]

USER_AGENT: Final = f"hushtag/{__version__}"


def connection_options(url: httpx.URL, timeouts: Timeouts, trust: ssl.SSLContext | None) -> dict[str, Any]:
    """Return the options that both httpx clients are made with."""
    loopback = is_loopback(url.host)
    if trust is None and loopback and url.scheme == "http":
        # No TLS is spoken there, and to read the certificates that nobody shows takes longer than most requests. This
        # context checks what it is shown, and knows no authority: it trusts nobody.
        trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return {
        "verify": True if trust is None else trust,
        "timeout": httpx.Timeout(timeouts.read, connect=timeouts.connect),
        "follow_redirects": False,
        # A proxy named by the environment must not see what is meant for this machine.
        "trust_env": not loopback,
        # Nothing that a server wants a client to carry around is carried around.
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        "headers": {"User-Agent": USER_AGENT, "Accept": "application/json, application/octet-stream"},
    }


@contextmanager
def typed_environment() -> Iterator[None]:
    """Turn what httpx cannot use of the environment when a client is made into one of our errors."""
    try:
        yield
    except ImportError:
        raise MisuseError("the environment names a SOCKS proxy; install httpx[socks], or unset ALL_PROXY") from None
    except (OSError, ValueError, httpx.InvalidURL):
        # Without its text: the address of a proxy may hold a password.
        raise MisuseError(
            "the environment names a proxy or certificates that cannot be used; look at HTTPS_PROXY, ALL_PROXY, "
            "NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
        ) from None


def request_options(url: httpx.URL, request: Request) -> dict[str, Any]:
    """Return the arguments of httpx's `stream` for one request to the server at `url`."""
    headers = {"Accept-Encoding": "identity", **request.headers}
    if request.token is not None:
        headers["Authorization"] = f"Bearer {request.token}"
    if request.content_type is not None:
        headers["Content-Type"] = request.content_type
    return {
        "method": request.method,
        "url": f"{url}{request.path}",
        "content": bytes(request.body) if request.content_type is not None else None,
        "params": dict(request.query) or None,
        "headers": headers,
    }


class Reading:
    """The answer while it arrives."""

    def __init__(self, answer: httpx.Response, limit: int) -> None:
        self._answer = answer
        self._limit = limit
        self._body = bytearray()
        if answer.is_redirect:
            raise MalformedError(f"server redirects ({answer.status_code}); check its URL, redirects are not followed")
        if answer.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise MalformedError("answer is encoded, though no encoding was accepted")

    def take(self, chunk: bytes) -> None:
        """Keep the next bytes.

        Raises:
            MalformedError: the answer grows beyond its limit.
        """
        if len(self._body) + len(chunk) > self._limit:
            raise MalformedError(f"answer is longer than {self._limit} bytes")
        self._body += chunk

    def complete(self) -> Response:
        """Return the whole answer."""
        return Response(self._answer.status_code, lower_names(self._answer), bytes(self._body))


def lower_names(answer: httpx.Response) -> dict[str, str]:
    """Return the headers of an answer by their names in lower case."""
    return {name.lower(): value for name, value in answer.headers.items()}


@contextmanager
def quiet_failures() -> Iterator[None]:
    """Let nothing come of a connection that breaks while it is let go of."""
    try:
        yield
    except (httpx.HTTPError, httpx.StreamError):
        return


@contextmanager
def typed_failures(http: httpx.Client | httpx.AsyncClient) -> Iterator[None]:
    """Turn every failure of httpx into one of our errors."""
    # Only a failed connection's text is repeated: that of a protocol error may quote a header, and so a token.
    try:
        yield
    except httpx.PoolTimeout:
        raise TimedOutError(
            "every connection of this client is in use; let go of what is open: exports, reminders that are waited for"
        ) from None
    except UnicodeEncodeError:  # of ours: an answer is never written
        raise LimitError("the request holds text that is not valid Unicode") from None
    except (httpx.TimeoutException, TimeoutError):
        raise TimedOutError("the server did not answer in time") from None
    except httpx.ConnectError as error:
        raise TransportError(f"no connection to the server: {error}") from None
    except httpx.HTTPError as error:
        raise TransportError(f"the connection broke ({type(error).__name__})") from None
    except (httpx.InvalidURL, httpx.StreamError, httpx.CookieConflict, UnicodeError) as error:
        raise MalformedError(f"the exchange is not valid HTTP ({type(error).__name__})") from None
    except RuntimeError:  # all that httpx says of a client that is closed, also while this was under way
        if not http.is_closed:
            raise
        raise ClientClosedError("the client was closed") from None
