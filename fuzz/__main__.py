"""`python -m fuzz`: run every target for a time of its own and say what was found. Needs atheris.

Everything is imported and instrumented once; each target then runs in a process of its own, because libFuzzer ends its
process. A finding is left in `fuzz/findings/`. With `--grow`, the smallest of the inputs that covered something new are
kept in the committed corpus.
"""

import argparse
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import atheris

# Our own code is what coverage guides through; it has to be instrumented while it is imported.
with atheris.instrument_imports(include=["hushtag", "hushtag_server"]):
    from fuzz.all_targets import TARGETS
from fuzz.target import CORPUS, corpus_of

FINDINGS: Final = Path(__file__).parent / "findings"
_LONGEST: Final = 4096  # bytes of an input
_SLOWEST: Final = 120  # seconds of one input: a machine under load is no finding
_KEPT: Final = 16  # inputs kept of one target's run
_KEPT_BYTES: Final = 160  # bytes of each: what fuzzing found is small, what is large are seeds
_EXECUTIONS: Final = re.compile(r"stat::number_of_executed_units:\s*(\d+)")


class Run(NamedTuple):
    """What became of one target."""

    name: str
    seconds: float
    executions: int
    found: str | None


class Child(NamedTuple):
    """A target that is being fuzzed in a process of its own."""

    name: str
    begun: float
    directory: "tempfile.TemporaryDirectory[str]"

    @property
    def work(self) -> Path:
        """The inputs it has, and makes."""
        return Path(self.directory.name) / self.name

    @property
    def log(self) -> Path:
        """What libFuzzer says."""
        return Path(self.directory.name) / "log"


def _check(name: str, octets: bytes) -> None:
    """Try one input; leave it in `findings` if it is one. libFuzzer does that for what crashes or hangs, alone."""
    try:
        TARGETS[name].check(octets)
    except BaseException:
        (FINDINGS / f"{name}-{hashlib.sha256(octets).hexdigest()[:12]}").write_bytes(octets)
        raise


def _fork(name: str, flags: list[str], log: Path) -> int:
    """Fuzz in a child, whose output goes into `log`; return its process id."""
    child = os.fork()
    if child == 0:
        try:
            target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(target, 1)
            os.dup2(target, 2)
            atheris.Setup([sys.argv[0], *flags], partial(_check, name), enable_python_coverage=True)
            atheris.Fuzz()
        except BaseException:
            traceback.print_exc()
            os._exit(1)  # nothing of the parent's is to be cleaned up here
        os._exit(0)
    return child


def _begin(name: str, seconds: int) -> tuple[int, Child]:
    """Fuzz one target on a copy of its corpus."""
    child = Child(name, time.monotonic(), tempfile.TemporaryDirectory())
    child.work.mkdir()
    for path in corpus_of(name):
        shutil.copy(path, child.work)
    flags = [f"-max_total_time={seconds}", f"-max_len={_LONGEST}", f"-timeout={_SLOWEST}", "-rss_limit_mb=4096"]
    flags += ["-print_final_stats=1", f"-artifact_prefix={FINDINGS}/{name}-", str(child.work)]
    return _fork(name, flags, child.log), child


def _end(child: Child, code: int, *, grow: bool) -> Run:
    """Read what a target's process left."""
    with child.directory:
        said = child.log.read_text(errors="replace") if child.log.exists() else "the child said nothing"
        if code == 0 and grow:
            _keep(child.name, child.work)
    count = _EXECUTIONS.search(said)
    seconds = time.monotonic() - child.begun
    return Run(child.name, seconds, int(count[1]) if count else 0, said[-3000:] if code else None)


def run(names: Iterable[str], seconds: int, *, jobs: int, grow: bool) -> Iterator[Run]:
    """Fuzz the targets, `jobs` of them at a time, and yield each as it ends."""
    FINDINGS.mkdir(exist_ok=True)
    waiting, running = iter(names), dict[int, Child]()
    while True:
        running |= (_begin(name, seconds) for name in islice(waiting, jobs - len(running)))
        if not running:
            return
        ended, status = os.wait()
        yield _end(running.pop(ended), os.waitstatus_to_exitcode(status), grow=grow)


def _keep(name: str, work: Path) -> None:
    known = {path.read_bytes() for path in corpus_of(name)}
    made = sorted({path.read_bytes() for path in work.iterdir()} - known, key=lambda content: (len(content), content))
    small = [content for content in made if len(content) <= _KEPT_BYTES]
    for content in small[:: max(1, len(small) // _KEPT)][:_KEPT]:
        (CORPUS / name / hashlib.sha256(content).hexdigest()[:12]).write_bytes(content)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600, help="seconds for each target")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="targets at a time (default: %(default)s)"
    )
    parser.add_argument("--grow", action="store_true", help="keep inputs that cover something new in fuzz/corpus")
    parser.add_argument("targets", nargs="*", help=f"which of {', '.join(TARGETS)}; all if none is named")
    chosen = parser.parse_args()
    if chosen.jobs < 1:
        parser.error("--jobs must be at least 1")
    if unknown := set(chosen.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    return chosen


def main() -> int:
    """Run what was asked for; 1 if anything was found."""
    chosen = _arguments()
    runs = []
    for last in run(chosen.targets or TARGETS, chosen.seconds, jobs=chosen.jobs, grow=chosen.grow):
        runs.append(last)
        verdict = "FOUND" if last.found is not None else "ok"
        print(f"{last.name:24}{last.seconds:8.0f} s{last.executions:12,} inputs  {verdict}", flush=True)
        print(last.found or "", end="", flush=True)
    found = sum(each.found is not None for each in runs)
    print(f"{len(runs)} targets, {sum(each.executions for each in runs):,} inputs, {found} with a finding")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
