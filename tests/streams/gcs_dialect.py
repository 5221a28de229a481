"""Google's dialect of an object store, before moto's S3: `python -m tests.streams.gcs_dialect PORT < public.pem`.

Google's XML interface takes the requests of S3 (its documents call that interoperable), and differs in what this
translates: who asks is told by a JSON Web Token that the service account's key signs (RS256), and an object is made
only if there is none by its generation. Tokens are checked as Google checks them: signature, issuer, time.
"""

import base64
import json
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, Final
from uuid import uuid4

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

__all__ = ["ACCOUNT", "Dialect"]

ACCOUNT: Final = "hushtag@project.iam.gserviceaccount.com"
_AS_S3: Final = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request"
_REFUSED: Final = b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>AccessDenied</Code></Error>"

Start = Callable[..., Any]
Served = Callable[[dict[str, Any], Start], Iterable[bytes]]


def _part(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Dialect:
    """WSGI application before another one that speaks S3's."""

    def __init__(self, inner: Served, key: RSAPublicKey) -> None:
        self._inner = inner
        self._key = key

    def _knows(self, authorization: str) -> bool:
        try:
            signed, _, signature = authorization.removeprefix("Bearer ").rpartition(".")
            self._key.verify(_part(signature), signed.encode(), PKCS1v15(), hashes.SHA256())
            said = json.loads(_part(signed.split(".")[1]))
        except (ValueError, IndexError, InvalidSignature):
            return False
        return bool(said["iss"] == ACCOUNT and said["iat"] - 60 <= time.time() < said["exp"])

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """Answer one request."""
        if not self._knows(environ.get("HTTP_AUTHORIZATION", "")):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(_REFUSED)))])
            return [_REFUSED]
        environ["HTTP_AUTHORIZATION"] = _AS_S3
        if environ.pop("HTTP_X_GOOG_IF_GENERATION_MATCH", None) == "0":
            environ["HTTP_IF_NONE_MATCH"] = "*"

        def begin(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start(status, [*headers, ("x-goog-generation", str(uuid4().int >> 65))], *more)

        return self._inner(environ, begin)


def main(port: int) -> None:
    """Serve until the process ends."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    key = load_pem_public_key(sys.stdin.buffer.read())
    assert isinstance(key, RSAPublicKey)
    inner: Any = DomainDispatcherApplication(create_backend_app)
    run_simple("127.0.0.1", port, Dialect(inner, key), threaded=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
