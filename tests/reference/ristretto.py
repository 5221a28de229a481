"""The prime-order group ristretto255 (RFC 9496), in plain integers.

Internally an element is a point of edwards25519 in extended coordinates (X : Y : Z : T) with x = X/Z,
y = Y/Z, x*y = T/Z (RFC 9496 section 4.3). Callers see encodings of 32 bytes and integer scalars only.
"""

from typing import Self

# RFC 9496 section 4.1.
P = 2**255 - 19
D = 37095705934669439343138083508754565189542113879843219016388785533085940283555
SQRT_M1 = 19681161376707505956807079304988542015446066515923890162744021073123829784752
SQRT_AD_MINUS_ONE = 25063068953384623474111414158702152701244531502492656460079210482610430750235
INVSQRT_A_MINUS_D = 54469307008909316920995813868745141605393597292927456921205312896311721017578
ONE_MINUS_D_SQ = 1159843021668779879193775521855586647937357759715417654439879720876111806838
D_MINUS_ONE_SQ = 40440834346308536858101042469323190826248399146238708352240133220865137265952

# RFC 9496 section 4: the order of the group.
ORDER = 2**252 + 27742317777372353535851937790883648493

ELEMENT_BYTES = 32
UNIFORM_BYTES = 64


class DecodeError(ValueError):
    """These bytes are not the encoding of a group element or of a scalar."""


def is_negative(field_element: int) -> bool:
    """RFC 9496 section 2.1: negative means that the least significant bit of the reduced value is set."""
    return field_element % P % 2 == 1


def ct_abs(field_element: int) -> int:
    """RFC 9496 section 2.2, CT_ABS: the one of x, -x that is not negative."""
    return -field_element % P if is_negative(field_element) else field_element % P


def sqrt_ratio_m1(numerator: int, denominator: int) -> tuple[bool, int]:
    """RFC 9496 section 4.2, SQRT_RATIO_M1: (was_square, the non-negative root of u/v or of SQRT_M1*u/v)."""
    u, v = numerator % P, denominator % P
    root = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * root * root % P
    correct_sign = check == u
    flipped_sign = check == -u % P
    flipped_sign_i = check == -u * SQRT_M1 % P
    if flipped_sign or flipped_sign_i:
        root = root * SQRT_M1 % P
    return correct_sign or flipped_sign, ct_abs(root)


class Element:
    """One element of ristretto255; `==` compares group elements, not representatives."""

    __slots__ = ("t", "x", "y", "z")

    def __init__(self, x: int, y: int, z: int, t: int) -> None:
        self.x, self.y, self.z, self.t = x % P, y % P, z % P, t % P

    @classmethod
    def decode(cls, encoding: bytes) -> Self:
        """RFC 9496 section 4.3.1. Raises `DecodeError` for anything but a canonical encoding."""
        if len(encoding) != ELEMENT_BYTES:
            raise DecodeError(f"element is {len(encoding)} bytes, expected {ELEMENT_BYTES}")
        s = int.from_bytes(encoding, "little")
        if s >= P or is_negative(s):
            raise DecodeError("element is not canonically encoded")
        ss = s * s % P
        u1 = (1 - ss) % P
        u2 = (1 + ss) % P
        u2_sqr = u2 * u2 % P
        v = (-(D * u1 * u1) - u2_sqr) % P
        was_square, invsqrt = sqrt_ratio_m1(1, v * u2_sqr)
        den_x = invsqrt * u2 % P
        den_y = invsqrt * den_x * v % P
        x = ct_abs(2 * s * den_x)
        y = u1 * den_y % P
        t = x * y % P
        if not was_square or is_negative(t) or y == 0:
            raise DecodeError("no element has this encoding")
        return cls(x, y, 1, t)

    def encode(self) -> bytes:
        """RFC 9496 section 4.3.2: the canonical 32 bytes."""
        u1 = (self.z + self.y) * (self.z - self.y) % P
        u2 = self.x * self.y % P
        _, invsqrt = sqrt_ratio_m1(1, u1 * u2 * u2)
        den1 = invsqrt * u1 % P
        den2 = invsqrt * u2 % P
        z_inv = den1 * den2 * self.t % P
        if is_negative(self.t * z_inv):
            x, y, den_inv = self.y * SQRT_M1, self.x * SQRT_M1, den1 * INVSQRT_A_MINUS_D
        else:
            x, y, den_inv = self.x, self.y, den2
        if is_negative(x * z_inv):
            y = -y
        return ct_abs(den_inv * (self.z - y)).to_bytes(ELEMENT_BYTES, "little")

    @classmethod
    def from_uniform_bytes(cls, uniform: bytes) -> Self:
        """RFC 9496 section 4.3.4: the one-way map from 64 uniform bytes to the group."""
        if len(uniform) != UNIFORM_BYTES:
            raise ValueError(f"need {UNIFORM_BYTES} uniform bytes, got {len(uniform)}")
        low, high = (int.from_bytes(half, "little") & (2**255 - 1) for half in (uniform[:32], uniform[32:]))
        return cls._map(low % P) + cls._map(high % P)

    @classmethod
    def _map(cls, t: int) -> Self:
        """RFC 9496 section 4.3.4, the function MAP."""
        r = SQRT_M1 * t * t % P
        u = (r + 1) * ONE_MINUS_D_SQ % P
        v = (-1 - r * D) * (r + D) % P
        was_square, s = sqrt_ratio_m1(u, v)
        c = -1
        if not was_square:
            s, c = -ct_abs(s * t) % P, r
        n = (c * (r - 1) * D_MINUS_ONE_SQ - v) % P
        w0 = 2 * s * v
        w1 = n * SQRT_AD_MINUS_ONE
        w2 = 1 - s * s
        w3 = 1 + s * s
        return cls(w0 * w3, w2 * w1, w1 * w3, w0 * w2)

    def __add__(self, other: Self) -> Self:
        """RFC 8032 section 5.1.4: the complete addition law of edwards25519, which the group inherits."""
        a = (self.y - self.x) * (other.y - other.x) % P
        b = (self.y + self.x) * (other.y + other.x) % P
        c = 2 * D * self.t * other.t % P
        d = 2 * self.z * other.z % P
        e, f, g, h = b - a, d - c, d + c, b + a
        return type(self)(e * f, g * h, f * g, e * h)

    def __rmul__(self, scalar: int) -> Self:
        """Scalar multiplication by double-and-add; not constant-time."""
        result, power = type(self)(0, 1, 1, 0), self
        for bit in reversed(f"{scalar % ORDER:b}"):
            if bit == "1":
                result += power
            power += power
        return result

    def __eq__(self, other: object) -> bool:
        """RFC 9496 section 4.3.3."""
        if not isinstance(other, Element):
            return NotImplemented
        return (self.x * other.y - self.y * other.x) % P == 0 or (self.y * other.y - self.x * other.x) % P == 0

    def __hash__(self) -> int:
        return hash(self.encode())

    def __repr__(self) -> str:
        return f"Element({self.encode().hex()})"


IDENTITY = Element(0, 1, 1, 0)
GENERATOR = Element.decode(bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"))


def decode_scalar(encoding: bytes) -> int:
    """RFC 9496 section 4.4: 32 bytes, little-endian, below the order. Raises `DecodeError`."""
    if len(encoding) != ELEMENT_BYTES:
        raise DecodeError(f"scalar is {len(encoding)} bytes, expected {ELEMENT_BYTES}")
    scalar = int.from_bytes(encoding, "little")
    if scalar >= ORDER:
        raise DecodeError("scalar is not below the order of the group")
    return scalar


def encode_scalar(scalar: int) -> bytes:
    """RFC 9496 section 4.4."""
    return (scalar % ORDER).to_bytes(ELEMENT_BYTES, "little")
