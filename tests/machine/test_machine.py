"""A stateful machine: three devices, four phrases, two vaults, faults, and an adversary that restores old databases.

Model and real system never disagree on what can be opened. A short run belongs to the suite; `make machine` makes a
long one (HUSHTAG_MACHINE_EXAMPLES, HUSHTAG_MACHINE_STEPS).
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from hushtag_server.keyfile import KeyRing
from hushtag_server.settings import Settings
from tests.machine.machine import Machine
from tests.machine.past import Past
from tests.machine.world import Cut, World
from tests.stretching import remember_stretches

EXAMPLES = int(os.environ.get("HUSHTAG_MACHINE_EXAMPLES", "5"))
SHRINK = os.environ.get("HUSHTAG_MACHINE_SHRINK", "no") == "yes"
STEPS = int(os.environ.get("HUSHTAG_MACHINE_STEPS", "25"))


@pytest.fixture
def world(database: Any, settings: Settings, keys: KeyRing) -> Iterator[World]:
    generous = replace(
        settings,
        guess_capacity=10_000,
        guess_lockout=timedelta(0),
        login_attempts_per_account=100_000,
        login_attempts_per_address=1_000_000,
    )
    with start_blocking_portal() as portal, pytest.MonkeyPatch.context() as patch:
        remember_stretches(patch)
        made = World(portal, generous, keys)
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture
def past(database: Any) -> Iterator[Past]:
    made = Past(database.admin_url)
    yield made
    made.close()


def test_model_and_real_system_never_disagree(world: World, past: Past, data_directory: Path) -> None:
    profile = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if SHRINK else [Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    run_state_machine_as_test(lambda: Machine(world, past, data_directory), settings=profile)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_session_goes_on_wherever_the_change_of_its_own_phrase_was_cut_off(
    world: World, past: Past, data_directory: Path, when: str
) -> None:
    for left in range(6):
        machine = Machine(world, past, data_directory)
        machine.settle_in(3, 3)
        machine.change_phrase(device=2, going_wrong=Cut(left, when, lasting=True), phrase=1, which=1)
        machine.nothing_changes_by_itself()
        if machine.any_open():
            machine.put(device=1, body=b"afterwards", going_wrong=None)
        machine.teardown()
