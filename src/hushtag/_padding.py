"""Padmé: lengths that leak little (Nikitin et al., PETS 2019)."""

from typing import Final

MIN_PADDED_BYTES: Final = 256
"""Shorter contents are padded to this: the shortest notes all look alike."""


def padded_length(length: int) -> int:
    """Return the Padmé length (Nikitin et al., PETS 2019): at most 12 % more, leaks O(log log n) bits."""
    if length <= MIN_PADDED_BYTES:
        return MIN_PADDED_BYTES
    exponent = length.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (length + mask) & ~mask
