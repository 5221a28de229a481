"""Print the score of the last `make mutation` by module, and every mutant that lives. Runs nothing.

With `--table` the rows are those of docs/mutation.md.
"""

import json
import sys
from collections import Counter
from pathlib import Path

MUTANTS = Path("mutants/src/hushtag")
KILLED = {1, 3, 36, 24, 152, 255, -24, -11, -9}  # failed tests, errors, timeouts and crashes: something noticed
UNREACHED = 33  # no test of the selection calls the function


def main() -> None:
    """Print one line or row for each module and all of them, and below its line the mutants of a module that live."""
    write = row if "--table" in sys.argv[1:] else line
    total: Counter[str] = Counter()
    for path in sorted(MUTANTS.rglob("*.meta")):
        codes = json.loads(path.read_text())["exit_code_by_key"]
        told = {name: verdict(code) for name, code in codes.items()}
        counted = Counter(told.values())
        total += counted
        print(write(path.name.removesuffix(".py.meta"), counted))
        if write is line:
            for name in sorted(name for name, said in told.items() if said in {"lives", "no test"}):
                print(f"    {name}{' (no test)' if told[name] == 'no test' else ''}")
    print(write("all", total))


def verdict(code: int | None) -> str:
    """Return what the exit code of a mutant's tests says."""
    if code is None:
        return "not run"
    if code == UNREACHED:
        return "no test"
    return "killed" if code in KILLED else "lives"


def score(counted: Counter[str]) -> float:
    """Return the percentage killed of what ran; a mutant no test reaches lives."""
    ran = counted["killed"] + counted["lives"] + counted["no test"]
    return 100 * counted["killed"] / ran if ran else 0.0


def line(name: str, counted: Counter[str]) -> str:
    """Return one line of the report."""
    lives = counted["lives"] + counted["no test"]
    told = f"{counted['killed']:6} of {counted['killed'] + lives:5} killed {score(counted):6.1f} %"
    return f"{name:16}{told}, {counted['not run']} not run"


def row(name: str, counted: Counter[str]) -> str:
    """Return one row of the table: mutants, killed, live, of these reached by no test, not run, score."""
    lives = counted["lives"] + counted["no test"]
    numbers = (counted.total(), counted["killed"], lives, counted["no test"], counted["not run"])
    return f"| `{name}` | {' | '.join(map(str, numbers))} | {score(counted):.1f} % |"


if __name__ == "__main__":
    main()
