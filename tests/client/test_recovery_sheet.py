"""Recovery sheets: every word in order, nothing that tells whose they are unless asked, one page of PDF."""

import random
import re
from datetime import date

import pytest

from hushtag.client.recovery_sheet import sheet_pdf, sheet_text
from hushtag.errors import MisuseError
from hushtag.recovery import draw_recovery_code, parse_recovery_code

CODE = draw_recovery_code(_rng=random.Random(2).randrange)
DAY = date(2026, 3, 1)


def numbered(text: str) -> list[str]:
    return re.findall(r"^ +\d+\. \w+$", text, re.MULTILINE)


def test_the_text_has_every_word_numbered_in_groups_and_reads_back() -> None:
    text = sheet_text(CODE, DAY)
    assert "2026-03-01" in text
    lines = numbered(text)
    assert [line.split()[0] for line in lines] == [f"{number}." for number in range(1, 16)]
    assert parse_recovery_code("\n".join(lines)) == CODE
    assert max(map(len, text.splitlines())) <= 80
    assert f"{lines[4]}\n\n{lines[5]}" in text


def drawn_text(pdf: bytes) -> list[str]:
    return [each.decode("latin-1") for each in re.findall(rb"\(([^()]*)\) Tj", pdf)]


def test_the_pdf_has_every_word_in_order_on_one_page() -> None:
    pdf = sheet_pdf(CODE, DAY)
    assert pdf.startswith(b"%PDF-")
    assert pdf.count(b"/Type /Page\n") == 1
    shown = drawn_text(pdf)
    assert [each for each in shown if each in CODE.words][:15] == list(CODE.words)
    assert [each for each in shown if re.fullmatch(r"\d+\.", each)] == [f"{number}." for number in range(1, 16)]
    assert any("2026-03-01" in each for each in shown)
    assert sheet_pdf(CODE, DAY) == pdf  # no clock and no chance of its own


def test_neither_names_an_account_unless_asked() -> None:
    for sheet in (sheet_text(CODE, DAY), sheet_pdf(CODE, DAY).decode("latin-1")):
        assert "ada@example.org" not in sheet
        assert " for ada" not in sheet
    assert "ada@example.org" in sheet_text(CODE, DAY, account="ada@example.org")
    assert "ada@example.org" in "".join(drawn_text(sheet_pdf(CODE, DAY, account="ada@example.org")))


def test_an_account_the_fonts_cannot_write_is_refused() -> None:
    assert "аda" in sheet_text(CODE, DAY, account="аda")
    with pytest.raises(MisuseError, match="text form"):
        sheet_pdf(CODE, DAY, account="аda")
