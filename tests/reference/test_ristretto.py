"""ristretto255 beyond its published figures: constants, group laws, cosets."""

import pytest

from . import ristretto
from .ristretto import GENERATOR, IDENTITY, ORDER, SQRT_M1, DecodeError, Element, P

SCALARS = (1, 2, 3, 8, 2**64 + 13, ORDER - 1, 0x5EBCEA5EE37023CCB9FC2D2019F9D773)


def test_constants_satisfy_their_definitions():
    d = -121665 * pow(121666, -1, P) % P
    assert d == ristretto.D
    assert pow(SQRT_M1, 2, P) == P - 1
    assert pow(ristretto.SQRT_AD_MINUS_ONE, 2, P) == (-d - 1) % P
    assert pow(ristretto.INVSQRT_A_MINUS_D, 2, P) * (-1 - d) % P == 1
    assert (1 - d * d) % P == ristretto.ONE_MINUS_D_SQ
    assert (d - 1) ** 2 % P == ristretto.D_MINUS_ONE_SQ


@pytest.mark.parametrize("scalar", SCALARS)
def test_scalar_multiplication_distributes_over_addition(scalar):
    other = 7 * scalar + 5
    assert scalar * GENERATOR + other * GENERATOR == (scalar + other) * GENERATOR
    assert scalar * (other * GENERATOR) == other * (scalar * GENERATOR)


@pytest.mark.parametrize("scalar", SCALARS)
def test_an_element_survives_its_encoding(scalar):
    element = scalar * GENERATOR
    assert Element.decode(element.encode()) == element
    assert Element.decode(element.encode()).encode() == element.encode()


def test_the_order_annihilates_the_generator():
    # `__rmul__` reduces its scalar, so the last step is an addition.
    assert (ORDER - 1) * GENERATOR + GENERATOR == IDENTITY
    assert GENERATOR != IDENTITY


@pytest.mark.parametrize("torsion", [(SQRT_M1, 0), (-SQRT_M1, 0), (0, -1)])
def test_points_that_differ_by_four_torsion_are_one_element(torsion):
    element = 12345 * GENERATOR
    shifted = element + Element(*torsion, 1, 0)
    assert (shifted.x * element.z - element.x * shifted.z) % P != 0, "the representatives differ"
    assert shifted == element
    assert shifted.encode() == element.encode()


def test_square_root_of_a_ratio_tells_squares_apart():
    for u in range(1, 20):
        was_square, root = ristretto.sqrt_ratio_m1(u, 7)
        assert was_square == (pow(u * pow(7, -1, P), (P - 1) // 2, P) == 1)
        assert root * root * 7 % P == (u if was_square else u * SQRT_M1 % P)
        assert not ristretto.is_negative(root)
    assert ristretto.sqrt_ratio_m1(0, 7) == (True, 0)
    assert ristretto.sqrt_ratio_m1(7, 0) == (False, 0)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_encodings_of_another_length_are_refused(length):
    with pytest.raises(DecodeError):
        Element.decode(bytes(length))
    with pytest.raises(DecodeError):
        ristretto.decode_scalar(bytes(length))


def test_scalars_at_or_above_the_order_are_refused():
    assert ristretto.decode_scalar((ORDER - 1).to_bytes(32, "little")) == ORDER - 1
    with pytest.raises(DecodeError):
        ristretto.decode_scalar(ORDER.to_bytes(32, "little"))
