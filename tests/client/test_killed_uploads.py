"""A few rounds of `make kill-uploads`: large uploads whose client is killed, or whose network is cut."""

from collections.abc import Iterator

import pytest

from tests.client.killed_uploads import Uploads, uploads


@pytest.fixture(scope="module")
def made() -> Iterator[Uploads]:
    with uploads(24) as running:
        yield running


@pytest.mark.parametrize("number", range(3))
def test_a_killed_client_leaves_nothing_half_and_goes_on(made: Uploads, number: int) -> None:
    print(number, made.kill_client())


@pytest.mark.parametrize("number", range(2))
def test_a_network_that_is_cut_is_waited_for(made: Uploads, number: int) -> None:
    print(number, made.cut_network())
