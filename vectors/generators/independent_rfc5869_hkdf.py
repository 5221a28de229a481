"""HKDF: RFC 5869 appendix A with SHA-256, and Wycheproof figures with SHA-512."""

from typing import Any

from .independent_support.published import read
from .independent_support.shape import document, vector

# Wycheproof hkdf_sha512_test, by tcId: ikm, salt, info, okm.
_WYCHEPROOF_SHA512 = {
    1: """
24aeff2645e3e0f5494a9a102778c43a
-
-
dd2599840b09699c6200b5cba79002b3aa75c61b
""",
    3: """
a4748031a14d3e6aafe42aa20c568f5f
-
-
62ea97e06051e40b79deb127a4da294f557cafa3d7a90a75c02064571dfbbe4699129bdcec4b39eed7757ce8e3571589f7d8f5523c0dc3fd6a56b099fb4bfd51
""",
    6: """
55fb6dcc7802354e55a45a6e41858c05
-
dcd590e418b259c64fb9e139b3a1280d5de8400b
725ac2b568fa0308ea6baeb2175ae9a0d41f8be1af13057f0646ba56389a8f1d8a783da95fc7eee4897a0b1580f7987115e03508feedc335260a293f01afdb98
""",
    9: """
529e91a61895f1c4ceb5b6994f48783b
12e4ae515328983bab2d88da3cb32a95
-
9c40abb65d7ef9826758a9818668624907b2bc0d9ff6b80d60673d2fdd68418874f48bf1960d75e19c6594d7079b6b019d8e3ec98705a6b4886e122c9eab955e
""",
    11: """
0cbd136d66d15a4ffefde1303b430821
2614d80275b08a1cf90bae0eb607d4d5
ee991de21aeb6baa6a5f683dbb755e6f80db1c1d
e51c3bfe5f4e9b4fb0d3c3a67bb33a20c288800e03707621cf143e8581d422dfec3fe658ba8fa2e35c2c
""",
    12: """
7a00817689a3d79001825a864c69c120
08bc01c053a6406c7c4a667c9b9b3894
967ccd75395be6e96a67759f070487c9e2107791
aed987bcc5ed33c4feec7b28aa9fe1c16b1181e00ff42c63cf692ec19242f6d4628604b3382db0806d5e61518f83fc651e6f3bd0a9d1322926a76869b98b75d6
""",
    18: """
d515f58eed428b2bac233c8538580e2f
c2a3ad9db6621fceb7498c0e6287522077acd2d47b55c09d52e114943b37
14de8cffd89e49275f69d2e1e6b43fa0c3775451
04039af015d1b63b0af171e0fc283c06d19a0e4b1093fa5f8c721d85580c52799f13d644543c2249497492f55029ce9cd19a29cd84acbc1488724941a3fc97fc
""",
    20: """
24a37db03dbcffbe9e28d582d0d8c60a
4c3d3b4f5436418713fbe2fbc4d647095ce5d5392dcfffd20327187e14fb68360b94c5122203292d8b648a754ab70f6d3d61e0650f06d55c4b5762cba0231e27
8cd9e7b786a74bd370bae434e31a559bdf75d65f
ea18185ff290f27480f625404a39d56582a1bcd8f74f97cfccb898ddf2611833ed57fa46e88e145b604d
""",
}
_SOURCE = (
    "RFC 5869 appendices A.1 to A.3 and a 1,200-byte case, as shipped by cryptography_vectors (SHA-256); "
    "Wycheproof hkdf_sha512_test by tcId (SHA-512); refusals follow RFC 5869 section 2.3"
)


def _sha256() -> list[dict[str, Any]]:
    cases = [*read("KDF/rfc-5869-HKDF-SHA256.txt"), *read("KDF/hkdf-generated.txt")]
    return [
        vector(
            f"hkdf_sha256_{number}",
            "RFC 5869 appendix A" if len(case.fields["okm"]) < 200 else "many blocks",
            "hkdf_sha256",
            {
                "ikm": case.fields["ikm"],
                "salt": case.fields["salt"],
                "info": case.fields["info"],
                "length": int(case.fields["l"]),
            },
            {"okm": case.fields["okm"]},
        )
        for number, case in enumerate(cases, start=1)
    ]


def _sha512() -> list[dict[str, Any]]:
    shapes = []
    for number, block in _WYCHEPROOF_SHA512.items():
        ikm, salt, info, okm = (figure.strip("-") for figure in block.split())
        given = {"ikm": ikm, "salt": salt, "info": info, "length": len(okm) // 2}
        shapes.append(vector(f"hkdf_sha512_wycheproof_{number}", f"tcId {number}", "hkdf_sha512", given, {"okm": okm}))
    return shapes


def _too_long(name: str, hash_bytes: int) -> dict[str, Any]:
    given = {"ikm": "0b" * 22, "salt": "", "info": "", "length": 255 * hash_bytes + 1}
    return vector(f"hkdf_{name}_too_long", "one byte more than 255 blocks", f"hkdf_{name}", given, expect="malformed")


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    vectors = [*_sha256(), _too_long("sha256", 32), *_sha512(), _too_long("sha512", 64)]
    return document("rfc5869_hkdf", _SOURCE, vectors)
