"""An independent OPAQUE-3DH (RFC 9807) in plain Python, written to be read beside the RFCs.

Nothing here is constant-time and nothing here is used by the product: it exists so that the binding the
product does use can be compared, message by message, with code an auditor can follow.

Modules, lowest first: `ristretto` (RFC 9496), `oprf` (RFC 9497, RFC 9380), `key_schedule` (RFC 5869,
RFC 9807 section 6.4.2), `envelope` (RFC 9807 section 4), `opaque` (RFC 9807 sections 5 and 6).
`blake2s` (RFC 7693) and `blake3` stand beside them for the hashes the suite uses.
"""
