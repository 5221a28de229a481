"""Real files for the demonstration: empty, text, PNG, PDF, a mebibyte of noise, each with a marker of its own."""

import secrets
import struct
import zlib
from typing import Final, NamedTuple

__all__ = ["SampleFile", "sample_files"]

_SIDE: Final = 160
_MIB: Final = 1024 * 1024


class SampleFile(NamedTuple):
    """A file by name, type and content."""

    name: str
    content_type: str
    body: bytes


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(comment: str) -> bytes:
    """Return a PNG of a sunset (ISO/IEC 15948) whose comment is `comment`."""
    rows = b"".join(
        b"\0" + b"".join(bytes((255 - y, (x * y) % 97 + 80, 40 + y // 2)) for x in range(_SIDE)) for y in range(_SIDE)
    )
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    chunks = (
        _chunk(b"IHDR", header),
        _chunk(b"tEXt", b"Comment\0" + comment.encode("latin-1")),
        _chunk(b"IDAT", zlib.compress(rows)),
        _chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _pdf(text: str) -> bytes:
    """Return a one-page PDF that says `text`."""
    drawing = f"BT /F1 18 Tf 40 90 Td ({text}) Tj ET".encode("ascii")
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 420 180] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawing), drawing),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    file = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return (
        file
        + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        % (
            size,
            table,
            size,
            len(file),
        )
    )


def sample_files() -> list[SampleFile]:
    """Return the files; each run has a marker of its own in every name and content that can carry one."""
    marker = secrets.token_hex(6)
    diary = f"Dear diary, nobody may ever read that {marker} is where I hid the letters.\n" * 40
    return [
        SampleFile(f"nothing yet {marker}.bin", "application/octet-stream", b""),
        SampleFile(f"diary {marker}.txt", "text/plain", diary.encode()),
        SampleFile(f"sunset {marker}.png", "image/png", _png(f"sunset seen by {marker} alone")),
        SampleFile(f"letter {marker}.pdf", "application/pdf", _pdf(f"Only for {marker}: yes, I will.")),
        SampleFile(f"recording {marker}.raw", "audio/basic", secrets.token_bytes(_MIB)),
    ]
