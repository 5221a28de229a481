"""Print the score of the last `make mutation` by module, and every mutant that lives. Runs nothing."""

import json
from collections import Counter
from pathlib import Path

MUTANTS = Path("mutants/src/hushtag")
KILLED = {1, 3, 36, 24, 152, 255, -24, -11, -9}  # failed tests, errors, timeouts and crashes: something noticed


def main() -> None:
    """Print the table."""
    total: Counter[str] = Counter()
    for path in sorted(MUTANTS.rglob("*.meta")):
        codes = json.loads(path.read_text())["exit_code_by_key"]
        told = {name: verdict(code) for name, code in codes.items()}
        counted = Counter(told.values())
        if not counted["killed"] + counted["lives"]:
            continue
        total += counted
        print(line(path.name.removesuffix(".py.meta"), counted))
        for name in sorted(name for name, said in told.items() if said == "lives"):
            print(f"    {name}")
    print(line("all", total))


def verdict(code: int | None) -> str:
    """Return what the exit code of a mutant's tests says; a mutant no test reaches lives."""
    if code is None:
        return "not run"
    return "killed" if code in KILLED else "lives"


def line(name: str, counted: Counter[str]) -> str:
    """Return one line of the table."""
    ran = counted["killed"] + counted["lives"]
    score = 100 * counted["killed"] / ran if ran else 0.0
    return f"{name:16}{counted['killed']:6} of {ran:5} killed {score:6.1f} %, {counted['not run']} not run"


if __name__ == "__main__":
    main()
