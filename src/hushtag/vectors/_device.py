"""The operations on device secrets, the keys of a pairing, and recovery codes."""

from typing import Final
from uuid import UUID

from hushtag._pairing_keys import open_secret, pairing_keys, seal_secret
from hushtag.device_secret import device_name, from_text, to_text
from hushtag.recovery import parse_recovery_code
from hushtag.types import DeviceSecret
from hushtag.vectors._operation import Implementation, Octets

_Result = dict[str, object]


def _device_name(device_secret: Octets) -> _Result:
    return {"name": device_name(DeviceSecret(device_secret))}


def _write_text(device_secret: Octets, user_id: UUID) -> _Result:
    return {"text": to_text(DeviceSecret(device_secret), user_id)}


def _read_text(text: str, user_id: UUID) -> _Result:
    return {"device_secret": from_text(text, user_id).expose()}


def _pairing_keys(spake2_key: Octets, user_id: UUID, pairing_id: Octets) -> _Result:
    return pairing_keys(spake2_key, user_id, pairing_id)._asdict()


def _seal_secret(sealing: Octets, iv: Octets, device_secret: Octets, user_id: UUID, pairing_id: Octets) -> _Result:
    return {"sealed": seal_secret(sealing, iv, DeviceSecret(device_secret), user_id, pairing_id)}


def _open_secret(sealing: Octets, sealed: Octets, user_id: UUID, pairing_id: Octets) -> _Result:
    return {"device_secret": open_secret(sealing, sealed, user_id, pairing_id).expose()}


def _recovery(text: str) -> _Result:
    return {"canonical": parse_recovery_code(text).canonical}


REFERENCE_ONLY: Final = frozenset({"suite.spake2"})
"""What takes a library that a bare installation lacks."""

OPERATIONS: Final[dict[str, Implementation]] = {
    "phrase.recovery": _recovery,
    "suite.device_name": _device_name,
    "suite.open_carried_secret": _open_secret,
    "suite.pairing_keys": _pairing_keys,
    "suite.read_device_text": _read_text,
    "suite.seal_carried_secret": _seal_secret,
    "suite.write_device_text": _write_text,
}
