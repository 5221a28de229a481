"""The sheet on which a recovery code is kept: as text, or as a PDF of one page (extra `hushtag[sheet]`).

It names no account, server or vault unless asked: found by somebody, it should not say where to use it.
"""

import io
from datetime import date
from importlib.util import find_spec
from typing import Final

from hushtag.errors import MisuseError
from hushtag.recovery import CODE_WORDS, RecoveryCode

__all__ = ["GROUP_WORDS", "check_pdf", "sheet_pdf", "sheet_text"]

GROUP_WORDS: Final = 5
_TITLE: Final = "Recovery code"
_ADVICE: Final = (
    "Whoever has these words can open what they belong to, without phrase and without device.",
    "Keep this sheet where you keep what must not be lost, on paper, and make no photograph of it.",
    "In need, give the words in order where your phrase is asked for; case and numbers do not matter.",
    "The last two words check the others. Replace the sheet once it was used or seen.",
)


def _numbered(code: RecoveryCode) -> list[list[tuple[int, str]]]:
    words = list(enumerate(code.words, 1))
    return [words[at : at + GROUP_WORDS] for at in range(0, CODE_WORDS, GROUP_WORDS)]


def _made(day: date, account: str | None) -> str:
    made = f"Made on {day.isoformat()}"
    return made if account is None else f"{made} for {account}"


def sheet_text(code: RecoveryCode, day: date, *, account: str | None = None) -> str:
    """Return the sheet as text, 80 columns at most. `account` is what to call the account, if that is wanted."""
    lines = [_TITLE.upper(), _made(day, account), ""]
    for group in _numbered(code):
        lines += [*(f"  {number:>2}. {word}" for number, word in group), ""]
    for sentence in _ADVICE:
        lines += _wrapped(sentence)
    return "\n".join(lines) + "\n"


def _wrapped(sentence: str) -> list[str]:
    import textwrap

    return textwrap.wrap(sentence, 80, initial_indent="- ", subsequent_indent="  ")


def check_pdf() -> None:
    """Refuse what `sheet_pdf` could not make here, before there is a code.

    Raises:
        MisuseError: the extra `hushtag[sheet]` is not installed.
    """
    if find_spec("reportlab") is None:
        raise MisuseError("PDF sheets need more than the bare client: pip install 'hushtag[sheet]'")


def sheet_pdf(code: RecoveryCode, day: date, *, account: str | None = None) -> bytes:
    """Return the sheet as a PDF of one A4 page, in the standard fonts; the file names no program's user or time.

    Raises:
        MisuseError: the extra `hushtag[sheet]` is not installed, or `account` has characters beyond Latin-1.
    """
    check_pdf()
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfgen.canvas import Canvas

    made = _made(day, account)
    try:
        made.encode("latin-1")
    except UnicodeEncodeError:
        raise MisuseError("the PDF's fonts cannot write this account; take the text form") from None
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4, invariant=1, pageCompression=0)
    canvas.setTitle(_TITLE)
    left, top = 72, A4[1] - 90
    canvas.setFont("Helvetica-Bold", 22)
    canvas.drawString(left, top, _TITLE)
    canvas.setFont("Helvetica", 11)
    canvas.drawString(left, top - 22, made)
    line = top - 70
    for group in _numbered(code):
        for number, word in group:
            canvas.setFont("Helvetica", 11)
            canvas.drawRightString(left + 20, line, f"{number}.")
            canvas.setFont("Courier-Bold", 15)
            canvas.drawString(left + 30, line, word)
            line -= 24
        line -= 14
    canvas.setFont("Helvetica", 10)
    for sentence in _ADVICE:
        canvas.drawString(left, line, sentence)
        line -= 16
    canvas.save()
    return out.getvalue()
