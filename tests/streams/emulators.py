"""Object stores of others as processes of their own, over HTTP: moto's server for S3, Azurite for Azure.

For Google's there is none that speaks what obstore does; moto speaks it through `gcs_dialect`. All check signatures, so
wrong credentials are refused as the providers refuse them. `make stores` runs the tests on all of them, `make test` on
the first, which Python's packages bring along.
"""

import base64
import hmac
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.canaries import WATCH
from tests.streams.gcs_dialect import ACCOUNT

__all__ = ["KINDS", "Emulator"]

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "bucket"
USUAL = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/{}/aws4_request"


def _free_port() -> int:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])


class Emulator:
    """A store with one bucket, or container, and one set of credentials that may use it."""

    scheme = ""

    def __init__(self, port: int | None = None) -> None:
        self.port = port or _free_port()
        self.variables: dict[str, str] = {}
        self.wrong: dict[str, str] = {}
        """Instead of those: credentials that it refuses."""
        self._process = self.start()
        self._await_listening()
        self.set_up()
        for variable in ("AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "GOOGLE_SERVICE_ACCOUNT_KEY"):
            for given in (self.variables, self.wrong):
                if variable in given:
                    WATCH.keep_text(variable, given[variable].encode())

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the process."""
        raise NotImplementedError

    def set_up(self) -> None:
        """Make bucket and credentials."""
        raise NotImplementedError

    def address(self, bucket: str = BUCKET) -> str:
        """Return an address that nobody used yet."""
        return f"{self.scheme}://{bucket}/{uuid4()}"

    def _await_listening(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert time.monotonic() < deadline, "the emulator did not start"
                assert self._process.poll() is None, "the emulator ended"
                time.sleep(0.05)
            else:
                return

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str]:
        """Send one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def hang(self) -> None:
        """Let it answer nothing from now on."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


def _spawn(command: list[str], variables: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env={**os.environ, **variables}, stdin=quiet, stdout=quiet, stderr=quiet)


class S3(Emulator):
    """Amazon's, as moto knows it."""

    scheme = "s3"

    def start(self) -> "subprocess.Popen[bytes]":
        """Ask nobody who it is for as long as `set_up` takes, and everybody from then on."""
        command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-p", str(self.port)]
        return _spawn(command, {"INITIAL_NO_AUTH_ACTION_COUNT": "4"})

    def _iam(self, **fields: str) -> str:
        form = "application/x-www-form-urlencoded"
        body = urlencode({**fields, "Version": "2010-05-08"})
        status, answer = self.ask("POST", "/", body, Content_Type=form, Authorization=USUAL.format("iam"))
        assert status == 200, answer
        return answer

    def set_up(self) -> None:
        """Make a user that may do anything with S3, and the bucket."""
        self._iam(Action="CreateUser", UserName="hushtag")
        made = self._iam(Action="CreateAccessKey", UserName="hushtag")
        key, secret = (re.findall(f"<{name}>(.+?)<", made)[0] for name in ("AccessKeyId", "SecretAccessKey"))
        may = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'
        self._iam(Action="PutUserPolicy", UserName="hushtag", PolicyName="all", PolicyDocument=may)
        assert self.ask("PUT", f"/{BUCKET}", Authorization=USUAL.format("s3"))[0] == 200
        self.variables = {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
        }
        self.wrong = {"AWS_SECRET_ACCESS_KEY": secret[::-1]}


class Azure(Emulator):
    """Microsoft's, by its own emulator."""

    scheme = "az"
    account = "hushtag"

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it with an account of our own."""
        self._key = base64.b64encode(os.urandom(64)).decode()
        program = ROOT / ".venv/azurite/node_modules/azurite/dist/src/blob/main.js"
        flags = ["--silent", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
        command = ["node", str(program), *flags, "--blobPort", str(self.port)]
        return _spawn(command, {"AZURITE_ACCOUNTS": f"{self.account}:{self._key}"})

    def set_up(self) -> None:
        """Make the container."""
        date = formatdate(usegmt=True)
        place = f"/{self.account}/{self.account}/{BUCKET}\nrestype:container"
        signed = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:2021-08-06\n{place}"
        signature = base64.b64encode(hmac.digest(base64.b64decode(self._key), signed.encode(), "sha256")).decode()
        status, answer = self.ask(
            "PUT",
            f"/{self.account}/{BUCKET}?restype=container",
            x_ms_date=date,
            x_ms_version="2021-08-06",
            Authorization=f"SharedKey {self.account}:{signature}",
        )
        assert status == 201, answer
        self.variables = {
            "AZURE_STORAGE_ACCOUNT_NAME": self.account,
            "AZURE_STORAGE_ACCOUNT_KEY": self._key,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{self.port}/{self.account}",
            "AZURE_ALLOW_HTTP": "true",
        }
        self.wrong = {"AZURE_STORAGE_ACCOUNT_KEY": base64.b64encode(os.urandom(64)).decode()}


def _private_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


class Google(Emulator):
    """Google's, as moto's S3 with Google's dialect before it."""

    scheme = "gs"

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it with the public half of a service account's key."""
        self._key = _private_key()
        command = [sys.executable, "-W", "ignore", "-m", "tests.streams.gcs_dialect", str(self.port)]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet)
        assert process.stdin is not None
        process.stdin.write(self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        process.stdin.close()
        return process

    def _account(self, key: RSAPrivateKey) -> str:
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return json.dumps(
            {
                "client_email": ACCOUNT,
                "private_key": pem,
                "private_key_id": "1",
                "gcs_base_url": f"http://127.0.0.1:{self.port}",
            }
        )

    def _token(self) -> str:
        def part(content: bytes) -> str:
            return base64.urlsafe_b64encode(content).decode().rstrip("=")

        now = int(time.time())
        said = [{"alg": "RS256"}, {"iss": ACCOUNT, "iat": now, "exp": now + 60}]
        signed = ".".join(part(json.dumps(each).encode()) for each in said)
        return f"{signed}.{part(self._key.sign(signed.encode(), PKCS1v15(), SHA256()))}"

    def set_up(self) -> None:
        """Make the bucket."""
        assert self.ask("PUT", f"/{BUCKET}", Authorization=f"Bearer {self._token()}")[0] == 200
        self.variables = {"GOOGLE_SERVICE_ACCOUNT_KEY": self._account(self._key), "GOOGLE_ALLOW_HTTP": "true"}
        self.wrong = {"GOOGLE_SERVICE_ACCOUNT_KEY": self._account(_private_key())}


KINDS: dict[str, type[Emulator]] = {"s3": S3, "azure": Azure, "gcs": Google}
