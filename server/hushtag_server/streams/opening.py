"""From an address to a store: with which time-outs and how many tries, and whose it is."""

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote, urlsplit
from uuid import UUID

from hushtag_server.errors import StartError
from hushtag_server.settings import Settings
from hushtag_server.streams.object_store import MARK, ObjectStore

if TYPE_CHECKING:
    from obstore.store import ClientConfig

__all__ = ["check_mark", "claim_store", "directory_of", "open_store"]

_CONNECT: Final = timedelta(seconds=5)
_PREFIXES: Final = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}
_FROM_ENVIRONMENT: Final = (
    *("allow_http", "allow_invalid_certificates", "http1_only", "http2_only", "pool_idle_timeout"),
    *("pool_max_idle_per_host", "proxy_url", "proxy_ca_certificate", "proxy_excludes", "user_agent"),
)
_TRIES: Final = 4
_PAUSE: Final = timedelta(seconds=2)  # the longest between two of them


def _client_options(scheme: str, longest: timedelta) -> "ClientConfig":
    # What is given here takes the place of all that the environment says of it, so that is said again.
    prefix = _PREFIXES[scheme]
    found = {name: os.environ.get(f"{prefix}_{name.upper()}", "") for name in _FROM_ENVIRONMENT}
    given: dict[str, Any] = {name: value for name, value in found.items() if value}
    return cast("ClientConfig", {**given, "connect_timeout": min(_CONNECT, longest), "timeout": longest})


def directory_of(url: str) -> Path | None:
    """Return the directory of an address, or None if it is one over the network."""
    return Path(unquote(urlsplit(url).path)) if url.startswith("file://") else None


def open_store(url: str, settings: Settings, *, make: bool = False) -> ObjectStore:
    """Return the store of an address: `file:///directory`, `s3://bucket/prefix`, `gs://…`, `az://…`; asks it nothing.

    A directory that is not there is made only with `make`, which is for a store that was never used: where a disk is
    not mounted, a new one in its place would take what belongs on the disk.

    Credentials come from the environment, as each provider's own tools read them (AWS_…, GOOGLE_…, AZURE_…).

    Raises:
        StartError: obstore is not installed, it cannot make a store of the address, or the directory is not there.
    """
    try:
        from obstore.store import LocalStore, from_url
    except ImportError:
        raise StartError(
            "segments in an object store need the package obstore; install it with `pip install 'hushtag[objectstore]'`"
        ) from None
    longest = settings.segment_store_timeout
    directory = directory_of(url)
    if directory is not None and not make and not directory.is_dir():
        raise StartError(
            f"HUSHTAG_SEGMENT_STORE: there is no directory {directory}; see that the disk is mounted, or make it, if "
            "it is to be a new one"
        )
    try:
        if directory is not None:
            return ObjectStore(LocalStore(prefix=directory, mkdir=make), directory)
        backend = from_url(
            url,
            client_options=_client_options(url.partition("://")[0], longest),
            retry_config={
                "max_retries": _TRIES - 1,
                "retry_timeout": longest,
                "backoff": {"max_backoff": _PAUSE},
            },
        )
        return ObjectStore(backend)
    except Exception as error:
        raise StartError(
            f"HUSHTAG_SEGMENT_STORE: no store at {url.partition('?')[0]} ({type(error).__name__}); see that the "
            "address, its directory or bucket, and the provider's own variables for credentials are right"
        ) from None


async def check_mark(store: ObjectStore, url: str, installation: UUID, *, marked: bool) -> bool:
    """Return whether the store has the mark of this installation; False if it has none and, not `marked`, never had.

    Raises:
        StartError: the store is another installation's, or not the one it was.
        ObjectStoreError: it failed.
    """
    found = await store.mark()
    if found == str(installation):
        store.marked = True
        return True
    if found is not None:
        raise StartError(
            f"HUSHTAG_SEGMENT_STORE: the store at {url} belongs to another installation ({found[:36]}; this one is "
            f"{installation}), and each would remove the other's segments as leftovers; give this one a prefix or "
            f"directory of its own. If that installation is gone for good, remove the object {MARK} from the store"
        )
    if marked:
        raise StartError(
            f"HUSHTAG_SEGMENT_STORE: the store at {url} has lost the object {MARK}; see that the disk is mounted and "
            f"the bucket is the one it was. If so, put the object back, with the content {installation}"
        )
    return False


async def claim_store(store: ObjectStore, url: str, installation: UUID, *, marked: bool) -> None:
    """Let the store be this installation's: mark it, if it has no mark yet.

    Raises:
        StartError: it is another's, or not the one it was.
        ObjectStoreError: it failed.
    """
    if not await check_mark(store, url, installation, marked=marked):
        await store.make_mark(str(installation))
        await check_mark(store, url, installation, marked=True)
