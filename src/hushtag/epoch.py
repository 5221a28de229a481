"""The epoch code: five words by which two devices, or a person, compare the state of a vault (SPEC.md section 22).

Two words are the generation, one tells a mistyped code and the code of another vault, two commit to the rest of the
head. Only who has the data key can compute the last three. Fewer words than any phrase has, so that nobody takes a
code for a phrase.
"""

import enum
import hmac
from typing import Final, NamedTuple
from uuid import UUID

from blake3 import blake3

from hushtag import _labels
from hushtag._kdf import hkdf_sha512, u32, u64
from hushtag._words import WORDS
from hushtag.errors import EpochCodeError
from hushtag.head import VaultHead
from hushtag.types import DataKey

__all__ = [
    "CODE_WORDS",
    "EpochCode",
    "Verdict",
    "changes_since",
    "epoch_code",
    "fingerprint",
    "judge_code",
    "parse_code",
]

CODE_WORDS: Final = 5
_BASE: Final = len(WORDS)
_GENERATIONS: Final = _BASE**2
_PLACES: Final = {word: place for place, word in enumerate(WORDS)}
_NAMING: Final = b"\x01"
_STATE: Final = b"\x02"
MAX_CODE_CHARACTERS: Final = 512
"""Characters of a text that is looked at as an epoch code."""


class Verdict(enum.Enum):
    """What an epoch code tells of a head."""

    SAME = "same"
    NEWER = "newer"
    OLDER = "older"
    FORKED = "forked"
    UNKNOWN = "unknown"


class EpochCode(NamedTuple):
    """The numbers of a code: generation modulo 1,000,000, check below 1,000, state below 1,000,000."""

    generation: int
    check: int
    state: int

    def text(self) -> str:
        """Return the five words."""
        numbers = (*divmod(self.generation, _BASE), self.check, *divmod(self.state, _BASE))
        return " ".join(WORDS[number] for number in numbers)


def _key(data_key: DataKey, vault_id: UUID, key_version: int) -> bytes:
    return hkdf_sha512(data_key.expose(), b"", _labels.EPOCH + vault_id.bytes + u32(key_version), 32)


def fingerprint(data_key: DataKey, vault_id: UUID, head: VaultHead) -> bytes:
    """Return 32 bytes that commit to every field of the head; without the data key they tell nothing."""
    return blake3(_STATE + head.encode() + (head.ring or b""), key=_key(data_key, vault_id, head.key_version)).digest()


def _check(key: bytes, generation: int) -> int:
    return int.from_bytes(blake3(_NAMING + u64(generation), key=key).digest()) % _BASE


def _code(data_key: DataKey, vault_id: UUID, head: VaultHead) -> EpochCode:
    generation = head.generation % _GENERATIONS
    check = _check(_key(data_key, vault_id, head.key_version), generation)
    # 256 bits modulo 10^6: the bias is below 2^-236.
    return EpochCode(generation, check, int.from_bytes(fingerprint(data_key, vault_id, head)) % _GENERATIONS)


def epoch_code(data_key: DataKey, vault_id: UUID, head: VaultHead) -> str:
    """Return the code of a head: five words of `words-v1`."""
    return _code(data_key, vault_id, head).text()


def parse_code(text: str) -> EpochCode:
    """Return the numbers of a code; case, hyphens, commas and spaces do not matter.

    Raises:
        EpochCodeError: not a `str`, not five words, or a word that is not in the list; the message names its place.
    """
    given: object = text
    if not isinstance(given, str):
        raise EpochCodeError(f"an epoch code is a str, not {type(given).__name__}")
    if len(text) > MAX_CODE_CHARACTERS:
        raise EpochCodeError(f"an epoch code has {CODE_WORDS} words; this is a longer text")
    words = text.casefold().replace("-", " ").replace(",", " ").split()
    if len(words) != CODE_WORDS:
        raise EpochCodeError(f"an epoch code has {CODE_WORDS} words, not {len(words)}")
    wrong = [number for number, word in enumerate(words, 1) if word not in _PLACES]
    if wrong:
        raise EpochCodeError(f"word {wrong[0]} is in no epoch code; compare it with the other device")
    high, low, check, state_high, state_low = (_PLACES[word] for word in words)
    return EpochCode(high * _BASE + low, check, state_high * _BASE + state_low)


def judge_code(data_key: DataKey, vault_id: UUID, head: VaultHead, code: EpochCode) -> Verdict:
    """Tell what a code, which the person trusts, says of a head.

    `SAME`: the very state. `NEWER`: the head has a later generation than the code's, at most 499,999 later; what lies
    between cannot be checked. `OLDER`: an earlier one, so something is missing. `FORKED`: the code's generation with
    other content. `UNKNOWN`: the code is mistyped, of another vault, or of another key of this one.
    """
    mine = _code(data_key, vault_id, head)
    if code.check != _check(_key(data_key, vault_id, head.key_version), code.generation):
        return Verdict.UNKNOWN
    if code.generation == mine.generation:
        same = hmac.compare_digest(u32(code.state), u32(mine.state))
        return Verdict.SAME if same else Verdict.FORKED
    return Verdict.NEWER if changes_since(code, head) < _GENERATIONS // 2 else Verdict.OLDER


def changes_since(code: EpochCode, head: VaultHead) -> int:
    """Return how many generations lie between a code and a head, modulo 1,000,000."""
    return (head.generation - code.generation) % _GENERATIONS
