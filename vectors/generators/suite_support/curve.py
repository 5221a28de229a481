"""X25519 (RFC 7748 section 5) in plain integers; not constant-time."""

_P = 2**255 - 19
_A24 = 121665


def x25519(scalar: bytes, u_coordinate: bytes) -> bytes:
    """RFC 7748 section 5: the Montgomery ladder."""
    k = int.from_bytes(scalar, "little") & ~7 & ((1 << 254) - 1) | (1 << 254)
    x_1 = int.from_bytes(u_coordinate, "little") & ((1 << 255) - 1)
    x_2, z_2, x_3, z_3, swapped = 1, 0, x_1, 1, 0
    for position in reversed(range(255)):
        bit = k >> position & 1
        if swapped ^ bit:
            x_2, x_3, z_2, z_3 = x_3, x_2, z_3, z_2
        swapped = bit
        a, b, c, d = x_2 + z_2, x_2 - z_2, x_3 + z_3, x_3 - z_3
        aa, bb, da, cb = a * a % _P, b * b % _P, d * a % _P, c * b % _P
        e = aa - bb
        x_3, z_3 = (da + cb) ** 2 % _P, x_1 * (da - cb) ** 2 % _P
        x_2, z_2 = aa * bb % _P, e * (aa + _A24 * e) % _P
    if swapped:
        x_2, z_2 = x_3, z_3
    return (x_2 * pow(z_2, -1, _P) % _P).to_bytes(32, "little")


def public_key(private_key: bytes) -> bytes:
    """The public key of a private key: its product with the base point, u = 9."""
    return x25519(private_key, (9).to_bytes(32, "little"))
