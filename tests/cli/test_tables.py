"""Tables at terminals of any width: what is to be copied stays whole, and nothing is left out."""

import re

import pytest

from hushtag.cli.tables import print_table

ID = "2259bfdd-6ea1-439c-bc4a-68c381e3dd6d"
LONG = ("name", "size", "created", "type", "revision", "changed", "stored", "id")
ROW = (
    "a letter to Grace.pdf",
    "1023.9 KiB",
    "2026-11-23 04:22",
    "application/pdf",
    "1",
    "2026-11-23 04:22",
    "1.0 MiB",
    ID,
)


@pytest.mark.parametrize("width", [5, 20, 40, 60, 79, 80, 90, 100, 124, 160])
@pytest.mark.parametrize("columns", [(0, 1, 2, 7), range(8)])
def test_no_terminal_is_too_narrow_to_read_a_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, columns: "range | tuple[int, ...]"
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    headings, row = [LONG[at] for at in columns], [ROW[at] for at in columns]
    print_table(headings, [row, row])
    shown = capsys.readouterr().out
    for heading, cell in zip(headings, row, strict=True):
        assert heading in shown
        assert shown.count(cell) >= 2 or (heading in ("name", "type") and width >= 80)  # these two alone are folded
    if width < 80:
        assert re.search(rf"^id +{ID}$", shown, re.MULTILINE)


def test_eighty_columns_are_enough_for_the_table_of_objects(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_table(("name", "size", "created", "id"), [ROW[:3] + ROW[7:], ("\x1b[red]", "1 B", ROW[2], ID)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "size", "created", "id"]
    assert re.match(rf"a letter to +1023.9 KiB  2026-11-23 04:22  {ID}", lines[1])
    assert "[red]" in lines[-1] or "[red]" in lines[-2]  # a name is no markup
    assert not any("\x1b" in line for line in lines)


def test_no_rows_are_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "id"), [])
    assert capsys.readouterr().out.split() == ["name", "id"]
