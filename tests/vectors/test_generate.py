"""`python -m vectors.generate` makes the committed bytes, and `--check` sees every difference."""

import shutil
from pathlib import Path

import pytest

from tests.vectors.documents import FILES, ROOT
from vectors import generate


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    return generate.generated()


@pytest.fixture
def copied(tmp_path: Path, made: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(generate, "generated", lambda: made)
    for path in FILES:
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    return tmp_path


def test_the_committed_files_are_what_their_generators_make(made: dict[str, bytes]) -> None:
    assert list(generate.differences(made, generate.present(ROOT))) == []


def test_a_second_run_makes_the_same_bytes(made: dict[str, bytes]) -> None:
    assert generate.generated() == made


@pytest.mark.parametrize("position", [0, 1000, -1])
def test_check_sees_one_changed_byte(copied: Path, position: int, capsys: pytest.CaptureFixture[str]) -> None:
    path = copied / "suite" / "keys.json"
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    assert generate.main(["--check"], copied) == 1
    assert f"suite/keys.json: differs from byte {position % len(content)}\n" in capsys.readouterr().out
    assert path.read_bytes() == content, "a check writes nothing"


@pytest.mark.parametrize("surplus", [b"\n", b" "])
def test_check_sees_a_byte_at_the_end(copied: Path, surplus: bytes) -> None:
    path = copied / "suite" / "keys.json"
    path.write_bytes(path.read_bytes() + surplus)
    assert generate.main(["--check"], copied) == 1


def test_check_sees_a_missing_file(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copied / "suite" / "keys.json").unlink()
    assert generate.main(["--check"], copied) == 1
    assert "suite/keys.json: missing" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["suite/unheard_of.json", "other/keys.json", "suite/notes.txt"])
def test_check_sees_a_file_that_no_generator_makes(copied: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (copied / name).parent.mkdir(exist_ok=True)
    (copied / name).write_text("{}")
    assert generate.main(["--check"], copied) == 1
    assert f"{name}: no generator makes it" in capsys.readouterr().out


def test_writing_repairs_every_file_and_leaves_strangers_to_a_person(copied: Path, made: dict[str, bytes]) -> None:
    (copied / "suite" / "keys.json").unlink()
    (copied / "suite" / "head.json").write_bytes(b"{}")
    assert generate.main([], copied) == 0
    assert generate.present(copied) == made
    assert generate.main(["--check"], copied) == 0
    (copied / "suite" / "unheard_of.json").write_text("{}")
    assert generate.main([], copied) == 1
    assert (copied / "suite" / "unheard_of.json").exists()
