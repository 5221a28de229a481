"""SPAKE2 of a pairing (SPEC.md section 5) on the group of Ed25519 (RFC 8032, section 5.1): plain, slow, apart from the
library's.
"""

from hashlib import sha256

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Point = tuple[int, int]

_P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_M = "15cfd18e385952982b6a8f8c7854963b58e34388c8e6dae891db756481a02312"
_N = "f04f2e7eb734b2a8f8b472eaf9c3c632576ac64aea650b496a8a20ff00e583c3"


def add(left: Point, right: Point) -> Point:
    """The sum of two points; the formula knows no exception."""
    (a, b), (c, d) = left, right
    cross = _D * a * b * c * d
    return (a * d + b * c) * pow(1 + cross, -1, _P) % _P, (b * d + a * c) * pow(1 - cross, -1, _P) % _P


def times(number: int, point: Point) -> Point:
    """The multiple of a point by a number that is not negative."""
    total = (0, 1)
    while number:
        if number & 1:
            total = add(total, point)
        point, number = add(point, point), number >> 1
    return total


def encode(point: Point) -> bytes:
    """32 bytes: y, little-endian, and the lowest bit of x as the highest."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decode(encoded: bytes) -> Point:
    """The point; what is decoded here is one."""
    number = int.from_bytes(encoded, "little")
    y, odd = number & (2**255 - 1), number >> 255
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if x * x % _P != square:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if x * x % _P != square:
        raise ValueError("no point")
    return (x if x & 1 == odd else _P - x), y


BASE = decode((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
M, N = decode(bytes.fromhex(_M)), decode(bytes.fromhex(_N))


def password_scalar(password: bytes) -> int:
    """The number `w`."""
    return int.from_bytes(HKDF(SHA256(), 48, None, b"SPAKE2 pw").derive(password), "big") % ORDER


def message(side: bytes, password: bytes, scalar: int) -> bytes:
    """33 bytes: the side, and X* or Y*."""
    blinding = times(password_scalar(password), M if side == b"A" else N)
    return side + encode(add(times(scalar, BASE), blinding))


def key(side: bytes, password: bytes, scalar: int, inbound: bytes, offering: bytes, accepting: bytes) -> bytes:
    """The key, of either side's number and the other's message; two identities."""
    own = message(side, password, scalar)
    other = decode(inbound[1:])
    unblinding = times(ORDER - password_scalar(password), N if side == b"A" else M)
    shared = encode(times(scalar, add(other, unblinding)))
    first, second = (own, inbound) if side == b"A" else (inbound, own)
    hashed = [sha256(each).digest() for each in (password, offering, accepting)]
    return sha256(b"".join([*hashed, first[1:], second[1:], shared])).digest()
