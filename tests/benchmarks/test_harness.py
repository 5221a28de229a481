"""What all benchmarks share: limits, exponents, the comparison with a baseline, tables, flame graphs."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx
import msgspec
import pytest

from benchmarks import compare, processes, results, security_log, throughput, unlock
from benchmarks.figures import Figure, Measured, fraction_of_limit, median_ratio, quantile
from benchmarks.flames import draw_flames, hottest, read_stacks
from benchmarks.growth import fit
from benchmarks.report import markdown
from hushtag_server.security_log.recording import EventSource

ROOT = Path(__file__).resolve().parents[2]


def figure(ratio: float, spread: float | None = 0.01, **others) -> Figure:
    return Figure(name="a", floor="b", unit="µs", subject=ratio, base=1.0, ratio=ratio, spread=spread, **others)


def test_a_limit_is_kept_from_the_side_it_is_meant_for() -> None:
    assert figure(2.0, limit=2.0).held
    assert not figure(2.01, limit=2.0).held
    assert figure(2.0, limit=2.0, at_least=True).held
    assert not figure(1.99, limit=2.0, at_least=True).held
    assert not figure(1.0, limit=2.0, held_besides=False).held
    assert figure(1e9).held


def test_a_ratio_is_of_neighbours_and_not_of_medians() -> None:
    # Ours is always twice the floor; the machine became ten times slower in the middle.
    found = median_ratio("a", [2, 2, 20, 20, 20], "b", [1, 1, 10, 10, 10], unit="ms")
    assert (found.ratio, found.spread) == (2.0, 0.0)


def test_a_quantile_is_one_of_the_values_and_never_beyond_them() -> None:
    assert quantile([1.0] * 59 + [2.0], 99) == 2.0
    assert quantile([1.0] * 198 + [2.0] * 2, 99) == 1.0
    assert quantile([3.0, 1.0, 2.0], 50) == 2.0
    assert quantile([5.0], 99) == 5.0


def test_the_p99_of_short_windows_is_that_of_all_together() -> None:
    # One unlock of 480 was slow, in a window that the floor took twice as long in as in the others.
    windows = [throughput.Window(1.0, [1.0] * 120, 1.0, 1.0, 1.0) for _ in range(3)]
    windows.append(throughput.Window(1.0, [2.0] * 119 + [8.0], 1.0, 1.0, 2.0))
    found = throughput.summary(windows, 1, 1)
    assert (found["p50_ratio"], found["p99_ratio"]) == (1.0, 1.0)


def test_a_part_of_an_unlock_is_a_ratio_to_the_same_unlock() -> None:
    # The machine became ten times slower in the middle, and a tenth was outside each time.
    total = [100.0, 100.0, 1000.0, 1000.0, 1000.0]
    parts = {"argon2id": [each * 0.8 for each in total], "opaque": [each * 0.1 for each in total]}
    found = unlock.split({"total": total, **parts, "rest": parts["opaque"]}).figures
    assert [(each.ratio, each.spread, each.limit) for each in found] == [
        (0.8, 0.0, None),
        (0.1, 0.0, None),
        (0.1, 0.0, unlock.LIMIT),
    ]


def test_the_security_log_is_measured_over_unlocks_without_any_of_its_work() -> None:
    # Whatever the steps of an unlock ask of it is left out in the batches it is compared with.
    steps = (ROOT / "server/hushtag_server/vault/unlock_steps.py").read_text(encoding="utf-8")
    asked = set(re.findall(r"events(?:_of\(scope\))?\.(\w+)\(", steps))
    whole = vars(EventSource).copy()
    with security_log.without_events():
        assert {name for name in asked if vars(EventSource)[name] is whole[name]} == set()
    assert vars(EventSource) == whole


def test_what_has_a_fixed_limit_is_told_as_a_share_of_it() -> None:
    found = fraction_of_limit("a", 2.5, 5.0, "ms", spread=0.5)
    assert (found.ratio, found.spread, found.held) == (0.5, 0.1, True)
    assert not fraction_of_limit("a", 99, 100, "", at_least=True).held


@pytest.mark.parametrize("exponent", [0.0, 0.1, 1.0])
def test_an_exponent_is_found_whatever_the_speed_of_the_machine(exponent) -> None:
    speeds = [1.0, 1.1, 3.0, 0.9, 1.0, 1.2]
    found = fit({size: [speed * 100 * size**exponent for speed in speeds] for size in (10, 1_000, 100_000)})
    assert found.exponent == pytest.approx(exponent, abs=1e-4)
    assert found.error == pytest.approx(0, abs=1e-4)
    assert found.ratio == pytest.approx(10_000**exponent, rel=1e-3)


def test_the_error_of_an_exponent_is_that_of_its_rounds() -> None:
    noisy = {10: [100.0, 110, 95, 105] * 4, 1_000: [104.0, 92, 109, 98] * 4}
    found = fit(noisy)
    assert abs(found.exponent) < 3 * found.error
    assert 0 < found.error < 0.01


@pytest.mark.parametrize(
    ("before", "now", "at_least", "verdict"),
    [
        (1.0, 1.02, False, "noise"),
        (1.0, 1.2, False, "worse"),
        (1.0, 0.8, False, "better"),
        (1.0, 1.2, True, "better"),
        (1.0, 0.8, True, "worse"),
    ],
)
def test_a_change_is_told_by_its_direction(before, now, at_least, verdict) -> None:
    then, here = (figure(ratio, at_least=at_least) for ratio in (before, now))
    assert compare.Change("x", "a", then, here).verdict == verdict


def test_a_change_inside_both_spreads_is_noise_and_without_a_spread_nothing_is_said() -> None:
    assert compare.Change("x", "a", figure(1.0, 0.2), figure(1.2, 0.2)).verdict == "noise"
    assert compare.Change("x", "a", figure(1.0, 0.2), figure(1.5, 0.2)).verdict == "worse"
    assert compare.Change("x", "a", figure(1.0, None), figure(9.0, 0.1)).verdict == "unknown"


def _written(directory: Path, monkeypatch, *ratios: float) -> dict[str, results.Result]:
    monkeypatch.setattr(results, "RESULTS", directory)
    measured = Measured([figure(ratio, limit=2.0) for ratio in ratios], {"anything": [1, 2]})
    results.write_result("one", results.circumstances(), 1.5, False, measured)
    return results.read_results()


def test_what_is_written_says_where_and_with_what_it_was_measured(tmp_path, monkeypatch) -> None:
    found = _written(tmp_path, monkeypatch, 1.0, 3.0)["one"]
    assert not found.held
    assert found.details == {"anything": [1, 2]}
    assert found.machine["cpus"] == os.cpu_count()
    assert found.versions["cryptography"]
    assert json.loads((tmp_path / "one.json").read_text(encoding="utf-8"))["figures"][1]["ratio"] == 3.0


def test_what_has_no_figures_is_no_result(tmp_path, monkeypatch) -> None:
    (tmp_path / "memory.json").write_text('{"machine": "a", "transfers": []}', encoding="utf-8")
    assert list(_written(tmp_path, monkeypatch, 1.0)) == ["one"]


def test_the_table_names_what_was_missed(tmp_path, monkeypatch) -> None:
    text = markdown(_written(tmp_path, monkeypatch, 1.0, 3.0))
    assert "MISSED: a." in text
    assert "| a | b | 1.00 µs | 1.00 µs | 1.000 | ± 0.01 | ≤ 2 | held |" in text


def test_a_baseline_is_kept_without_the_details_and_compared(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(results, "BASELINE", tmp_path / "baseline.json")
    results.keep_baseline(_written(tmp_path / "then", monkeypatch, 1.0))
    before = results.read_baseline()
    assert before["one"].details is None
    (change,) = compare.changes(before, _written(tmp_path / "now", monkeypatch, 1.5))
    assert (change.verdict, round(change.share, 3)) == ("worse", 0.5)


def test_results_beside_the_files_of_profiles_are_read(tmp_path, monkeypatch) -> None:
    _written(tmp_path, monkeypatch, 1.0)
    (tmp_path / "profiles.json").write_text("{}", encoding="utf-8")
    assert list(results.read_results()) == ["one"]


RAW = """process 1:"python";run (asyncio/runners.py:5);serve (/x/server/hushtag_server/edge.py:10);<write> (a/b.py:1) 30
process 1:"python";run (asyncio/runners.py:5);serve (/x/server/hushtag_server/edge.py:12) 10
process 1:"python";run (asyncio/runners.py:6) 60
process 1:"python";watch (x.py:1);_leave_with_parent (worker.py:1) 500
"""


def test_stacks_are_counted_by_function_and_drawn_as_valid_svg(tmp_path) -> None:
    stacks = read_stacks(RAW)
    assert sum(stacks.values()) == 100
    assert hottest(stacks)[:2] == [("run (asyncio/runners.py)", 0.6), ("<write> (a/b.py)", 0.3)]
    draw_flames(stacks, tmp_path / "flame.svg", "a < b")
    drawn = ET.parse(tmp_path / "flame.svg").getroot()
    titles = [title.text for title in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == [
        "run (asyncio/runners.py) 100.0%",
        "serve (hushtag_server/edge.py) 40.0%",
        "<write> (a/b.py) 30.0%",
    ]


def test_frames_too_thin_to_read_are_left_out_and_the_file_stays_small(tmp_path) -> None:
    stacks = Counter({("root", f"leaf {number}"): 1 for number in range(5000)})
    draw_flames(stacks, tmp_path / "flame.svg", "thin")
    assert (tmp_path / "flame.svg").stat().st_size < 1000


def test_every_benchmark_of_the_registry_is_explained() -> None:
    source = (ROOT / "benchmarks/registry.py").read_text(encoding="utf-8")
    names = re.findall(r'^    "([a-z_]+)":', source, re.MULTILINE)
    explained = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8")
    assert len(names) >= 12
    assert [name for name in names if f"| `{name}` |" not in explained] == []


STARTS_A_DATABASE = """
import sys, time
from benchmarks.plain_stage import database
with database() as postgres:
    print(postgres.pid, postgres.data, flush=True)
    time.sleep(100)
"""


def test_benchmarks_load_nothing_that_watches_what_they_measure() -> None:
    # The tests' canaries wrap every secret that is made; what makes one would be measured with them.
    named = set(re.findall(r"^    (\w+),$", (ROOT / "benchmarks" / "registry.py").read_text(), re.MULTILINE))
    modules = ", ".join(sorted(named - {"peer_tools"}))  # that one needs what only `make bench` installs
    code = (
        f"import sys; from benchmarks import {modules}; print([n for n in sys.modules if n[:5] in ('tests', '_pyte')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['tests', 'tests.places']"


def test_a_database_of_a_benchmark_ends_with_it_at_sigterm() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_A_DATABASE], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        number, directory = running.stdout.readline().split()
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 128 + signal.SIGTERM
    assert not Path(f"/proc/{number}").exists()
    assert not Path(directory).exists()


def test_figures_survive_being_written() -> None:
    one = figure(1.5, limit=2.0, note="exponent +0.010")
    assert msgspec.json.decode(msgspec.json.encode(one), type=Figure) == one


def test_the_server_that_is_measured_has_its_instruments() -> None:
    with processes.running_server(1, "benchmarks.bench_server", BENCH_CALLBACKS="all") as (url, _):
        told = httpx.get(f"{url}/plain/callbacks")
    assert (told.status_code, type(told.json())) == (200, dict)
