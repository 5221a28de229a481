"""RFC 9497 appendix A.1.1, OPRF(ristretto255, SHA-512), and the expander under it (RFC 9380 appendix K.3)."""

from typing import Any

from .independent_support.shape import document, vector

_SEED = "a3" * 32
_KEY_INFO = b"test key".hex()
_PRIVATE_KEY = "5ebcea5ee37023ccb9fc2d2019f9d7737be85591ae8652ffa9ef0f4d37063b0e"
_BLIND = "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706"
_INPUTS = ("00", "5a" * 17)
_EVALUATIONS = (
    {
        "blinded_element": "609a0ae68c15a3cf6903766461307e5c8bb2f95e7e6550e1ffa2dc99e412803c",
        "evaluated_element": "7ec6578ae5120958eb2db1745758ff379e77cb64fe77b0b2d8cc917ea0869c7e",
        "output": "527759c3d9366f277d8c6020418d96bb393ba2afb20ff90df23fb7708264e2f3"
        "ab9135e3bd69955851de4b1f9fe8a0973396719b7912ba9ee8aa7d0b5e24bcf6",
    },
    {
        "blinded_element": "da27ef466870f5f15296299850aa088629945a17d1f5b7f5ff043f76b3c06418",
        "evaluated_element": "b4cbf5a4f1eeda5a63ce7b77c7d23f461db3fcab0dd28e4e17cecb5c90d02c25",
        "output": "f4a74c9c592497375e796aa837e907b1a045d34306a749db9f34221f7e750cb4"
        "f2a6413a6bf6fa5e19ba6348eb673934a722a7ede2e7621306d18951e7cf2c73",
    },
)
_EXPANDER_DST = b"QUUX-V01-CS02-with-expander-SHA512-256".hex()
_EXPANDED = {
    b"": "6b9a7312411d92f921c6f68ca0b6380730a1a4d982c507211a90964c394179ba",
    b"abc": "0da749f12fbe5483eb066a5f595055679b976e93abe9be6f0f6318bce7aca8dc",
}
_SOURCE = "RFC 9497 appendix A.1.1 (OPRF(ristretto255, SHA-512), mode OPRF) and RFC 9380 appendix K.3"


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    derived = vector(
        "oprf_derive_key_pair",
        "DeriveKeyPair (RFC 9497 section 3.2.1) on the seed and the key info of the appendix",
        "oprf_derive_key_pair",
        {"seed": _SEED, "info": _KEY_INFO},
        {"private_key": _PRIVATE_KEY},
    )
    evaluated = [
        vector(
            f"oprf_evaluate_{number}",
            "Blind, BlindEvaluate and Finalize (RFC 9497 section 3.3.1)",
            "oprf_evaluate",
            {"private_key": _PRIVATE_KEY, "input": private_input, "blind": _BLIND},
            expected,
        )
        for number, (private_input, expected) in enumerate(zip(_INPUTS, _EVALUATIONS, strict=True), start=1)
    ]
    expanded = [
        vector(
            f"expand_message_xmd_{len(message)}_bytes",
            "expand_message_xmd with SHA-512 (RFC 9380 section 5.3.1)",
            "expand_message_xmd",
            {"message": message.hex(), "dst": _EXPANDER_DST, "length": len(figure) // 2},
            {"uniform": figure},
        )
        for message, figure in _EXPANDED.items()
    ]
    return document("rfc9497_oprf", _SOURCE, [derived, *evaluated, *expanded])
