"""BLAKE3: figures of the official test vectors, hash and keyed hash, first 32 bytes of each output."""

from typing import Any

from .independent_support.shape import document, vector

_KEY = b"whats the Elvish word for friend"
# By input length: hash and keyed hash. Input byte i is i modulo 251.
_FIGURES = {
    0: """
af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262
92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26
""",
    1: """
2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213
6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b
""",
    1023: """
10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11
c951ecdf03288d0fcc96ee3413563d8a6d3589547f2c2fb36d9786470f1b9d6e
""",
    1024: """
42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7
75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4
""",
    1025: """
d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444
357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69
""",
    2049: """
5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030
9f29700902f7c86e514ddc4df1e3049f258b2472b6dd5267f61bf13983b78dd5
""",
    3073: """
7124b49501012f81cc7f11ca069ec9226cecb8a2c850cfe644e327d22d3e1cd3
68dede9bef00ba89e43f31a6825f4cf433389fedae75c04ee9f0cf16a427c95a
""",
}
_SOURCE = "the BLAKE3 authors' official test vectors, outputs cut to 32 bytes; a keyed hash needs a key of 32 bytes"


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    vectors = []
    for length, figures in _FIGURES.items():
        data = bytes(index % 251 for index in range(length)).hex()
        plain, keyed = figures.split()
        text = f"{length} bytes of input"
        keyed_given = {"key": _KEY.hex(), "data": data}
        vectors += [
            vector(f"blake3_hash_{length}", text, "blake3", {"data": data}, {"digest": plain}),
            vector(f"blake3_keyed_{length}", text, "blake3_keyed", keyed_given, {"digest": keyed}),
        ]
    short = {"key": _KEY[:-1].hex(), "data": ""}
    vectors.append(vector("blake3_keyed_key_short", "a key of 31 bytes", "blake3_keyed", short, expect="malformed"))
    return document("blake3", _SOURCE, vectors)
