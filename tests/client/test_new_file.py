"""What is written for somebody is whole at its place or not there, and stands over nothing unasked."""

import errno
import io
from pathlib import Path

import pytest

from hushtag.cli.failures import UsageError
from hushtag.cli.files import write_file
from hushtag.client import new_file
from hushtag.client.new_file import NewFile, write_all
from hushtag.errors import MisuseError

BODY = b"a letter"


@pytest.fixture(params=["nameless", "named", "no links"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the file system can do."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    if request.param != "nameless":
        monkeypatch.setattr(new_file, "_open_nameless", lambda _: None)
    if request.param == "no links":
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    return str(request.param)


@pytest.mark.parametrize("force", [False, True])
def test_it_is_there_when_it_is_finished(kind: str, tmp_path: Path, force: bool) -> None:
    new = NewFile(tmp_path / "out", force=force)
    write_all(new.open(), BODY)
    assert len(list(tmp_path.iterdir())) == (0 if kind == "nameless" else 1)
    new.finish()
    new.close()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (new.path.read_bytes(), new.path.stat().st_mode & 0o777) == (BODY, 0o600)


@pytest.mark.usefixtures("kind")
def test_it_is_not_there_when_it_is_not_finished(tmp_path: Path) -> None:
    new = NewFile(tmp_path / "out", force=True)
    write_all(new.open(), BODY)
    new.close()
    with pytest.raises(MisuseError, match="closed"):
        new.finish()
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("kind")
def test_what_comes_to_the_place_meanwhile_stays_there(tmp_path: Path) -> None:
    new = NewFile(tmp_path / "out", force=False)
    write_all(new.open(), BODY)
    new.path.write_bytes(b"precious")
    with pytest.raises(MisuseError, match="exists"):
        new.finish()
    new.close()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("out", b"precious")]
    with pytest.raises(UsageError, match="exists"):
        write_file(new.path, BODY)


@pytest.mark.usefixtures("kind")
def test_with_force_a_file_is_replaced_and_a_link_not_followed(tmp_path: Path) -> None:
    (tmp_path / "shelf").mkdir()
    target, link = tmp_path / "target", tmp_path / "out"
    target.write_bytes(b"precious")
    link.symlink_to(target)
    new = NewFile(link, force=True)
    write_all(new.open(), BODY)
    new.finish()
    new.close()
    assert (target.read_bytes(), link.read_bytes(), link.is_symlink()) == (b"precious", BODY, False)
    with pytest.raises(MisuseError, match="is a directory"):
        NewFile(tmp_path / "shelf", force=True).open()


def test_a_file_that_takes_a_part_gets_the_rest(tmp_path: Path) -> None:
    class Slow(io.BytesIO):
        def write(self, piece: object) -> int:
            return super().write(bytes(piece)[:3])  # type: ignore[call-overload]

    slow = Slow()
    write_all(slow, BODY)
    assert slow.getvalue() == BODY
