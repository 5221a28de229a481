"""Write every vector file, or check that the committed ones are what their generators make.

    python -m vectors.generate            write
    python -m vectors.generate --check    compare byte for byte; exit 1 on any difference

A generator is a module in `vectors/generators` with `generate() -> {path under vectors/: document}`, without clock
or chance. A file that no generator makes is a difference too.
"""

import argparse
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from vectors.generators.independent_support.shape import dumps

ROOT = Path(__file__).parent
_GENERATORS = ROOT / "generators"


def generated() -> dict[str, bytes]:
    """Every file by its path under `vectors/`.

    Raises:
        ValueError: two generators make one file, or a file outside the folders of vectors.
    """
    files: dict[str, bytes] = {}
    for module in sorted(_GENERATORS.glob("*.py")):
        if module.stem == "__init__":
            continue
        for path, document in import_module(f"vectors.generators.{module.stem}").generate().items():
            if path in files or path.count("/") != 1 or not path.endswith(".json"):
                raise ValueError(f"{module.name} makes {path}, which is made already or is no vector file")
            files[path] = dumps(document).encode("ascii")
    return files


def present(root: Path) -> dict[str, bytes]:
    """Every file in every folder of vectors; the folder of generators is none."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for folder in root.iterdir()
        if folder.is_dir() and folder.name not in {"generators", "__pycache__"}
        for path in folder.rglob("*")
        if path.is_file()
    }


def differences(expected: dict[str, bytes], found: dict[str, bytes]) -> Iterator[str]:
    """One line for each file that is missing, superfluous or not what its generator makes."""
    for path in sorted(expected.keys() | found.keys()):
        if path not in found:
            yield f"{path}: missing"
        elif path not in expected:
            yield f"{path}: no generator makes it"
        elif expected[path] != found[path]:
            pairs = enumerate(zip(expected[path], found[path], strict=False))
            position = next(
                (at for at, (left, right) in pairs if left != right), min(map(len, (expected[path], found[path])))
            )
            yield f"{path}: differs from byte {position}"


def write(root: Path, expected: dict[str, bytes], found: dict[str, bytes]) -> None:
    """Write what is missing or different; a file that no generator makes is left for a person to remove."""
    for path, content in expected.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if found.get(path) != content:
            (root / path).write_bytes(content)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command; `root` is the folder whose files are written or compared."""
    parser = argparse.ArgumentParser(prog="python -m vectors.generate", description="write or check the vector files")
    parser.add_argument("--check", action="store_true", help="write nothing; list differences and fail on any")
    options = parser.parse_args(arguments)
    expected, found = generated(), present(root)
    lines = list(differences(expected, found))
    for line in lines:
        print(line)
    if options.check:
        print(f"{len(expected)} vector files, {len(lines)} different")
        return 1 if lines else 0
    write(root, expected, found)
    print(f"{len(expected)} vector files, {len(lines)} were different")
    return 1 if found.keys() - expected.keys() else 0


if __name__ == "__main__":
    sys.exit(main())
