"""What is said of every error: it is of one tree, and it can go to another process."""

import copy
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest

from hushtag.client import (
    AmbiguousNameError,
    BudgetError,
    EpochError,
    IntegrityError,
    ServerError,
    StoredNotPinnedError,
    UnavailableError,
    VaultRolledBackError,
)
from hushtag.epoch import Verdict
from hushtag.errors import AuthenticationError, HushtagError, ListedWordError

ID = UUID(int=7)
ERRORS = [
    AmbiguousNameError((ID, UUID(int=8))),
    AuthenticationError("that opens nothing"),
    BudgetError("no guesses are left", code="budget_exhausted", status=429, request_id=ID, retry_after=60),
    EpochError(Verdict.FORKED),
    IntegrityError("object row"),
    ListedWordError({}),
    ServerError("refused", code="conflict", status=409, request_id=ID),
    StoredNotPinnedError("the object is stored", "the disk is full", object_id=ID, revision=2),
    UnavailableError("away", status=503, retry_after=5),
    VaultRolledBackError(
        ID,
        "older",
        pinned_generation=3,
        served_generation=2,
        pinned_objects=1,
        served_objects=0,
        pinned_at=datetime(2026, 1, 1, tzinfo=UTC),
    ),
]


def kinds(root: type[HushtagError]) -> Iterator[type[HushtagError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from kinds(kind)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_in_another_process_and_as_a_copy(error: HushtagError) -> None:
    """A pool of processes waits for ever, or breaks, if the error of a call cannot be made anew."""
    for made in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(made) is type(error)
        assert (str(made), made.args, vars(made)) == (str(error), error.args, vars(error))


def test_words_that_may_be_meant_are_in_no_pickle_and_no_copy() -> None:
    error = ListedWordError({1: ("able", "about")})
    assert b"about" not in pickle.dumps(error)
    for made in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (str(made), made.near) == ("not in the word list: word 1", {})
    assert error.near == {1: ("able", "about")}


def test_no_error_that_is_made_in_a_way_of_its_own_is_left_out() -> None:
    own = {kind for kind in kinds(HushtagError) if "__init__" in vars(kind) and kind.__module__.startswith("hushtag.")}
    assert own <= {type(error) for error in ERRORS}
