"""P1: no stored or transmitted value lets anyone test a phrase guess for less than the OPRF key and both stretches.

Covered: every field of every message of an enrolment, an unlock and an open vault; every column these fill; the
ceremony states and the vault token. Method: with all chance fixed, a field is a function of the phrase, the OPRF key,
the outer stretch and OPAQUE's own. A field that differs between two phrases must differ as well when only one of the
three is exchanged, for then no formula for it can do without. Blinded elements are uniform whatever the phrase is.
`test_p1_naive_hashes` searches the same fields for what a hurried implementer would have stored.

Not covered here: a server that holds database and OPRF key (SECURITY.md says what it can do), timing, and whether
Argon2id, the OPRF and HKDF are as hard as their specifications say.
"""

import hashlib
import hmac
import re
from pathlib import Path

import msgspec
import pytest

from fuzz.wire_modules import WIRE_MODULES
from hushtag import (
    _opaque,
    messages,
)
from hushtag.phrase import canonicalize
from hushtag.types import OpaquePassword
from tests.promises.p1_ceremony import CREDENTIAL_ID, Price, Trace, chance, run, scalar
from tests.promises.p1_fields import APART, CEREMONY, COLUMNS, COLUMNS_APART, NESTED, STATES
from tests.promises.p1_measure import fields, of_kind, unchanged
from tests.reference import key_schedule, oprf
from tests.reference.opaque import derive_oprf_key
from tests.reference.ristretto import GENERATOR, IDENTITY, ORDER, Element, decode_scalar

MIGRATIONS = Path(__file__).parents[2] / "server" / "hushtag_server" / "migrations"
TRANSCRIPT, OTHER = "Twenty-One Pelicans sing at dawn!", "Twenty-Two Pelicans sing at dawn!"
CHEAPER = {
    "another OPRF key": Price(oprf_seed=chance("other oprf seed", 64)),
    "a weaker stretch": Price(stretch_passes=1),
    "no stretch in OPAQUE": Price(ksf=key_schedule.identity_ksf),
}


@pytest.fixture(scope="module")
def trace() -> Trace:
    return run(TRANSCRIPT, Price())


@pytest.fixture(scope="module")
def other() -> Trace:
    return run(OTHER, Price())


def message_types() -> dict[str, type[msgspec.Struct]]:
    """Every message of the wire."""
    found = {name: value for module in WIRE_MODULES for name, value in vars(module).items() if isinstance(value, type)}
    structs_only = {name: value for name, value in found.items() if issubclass(value, msgspec.Struct)}
    return {name: value for name, value in structs_only.items() if value not in {msgspec.Struct, messages.Message}}


def columns() -> dict[str, set[str]]:
    """Every column of every table the migrations make."""
    tables: dict[str, set[str]] = {}
    for path in sorted(MIGRATIONS.glob("*.sql")):
        if path.name.endswith(".rollback.sql"):
            continue
        text = re.sub(r"--[^\n]*", "", path.read_text(encoding="utf-8"))
        for table in re.findall(r"^DROP TABLE (\w+);", text, re.MULTILINE):
            del tables[table]  # before whatever the same migration makes in its place
        for table, body in re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+) \(\n(.*?)\n\)", text, re.DOTALL):
            names = re.findall(r'^ {4}"?(\w+)"? ', body, re.MULTILINE)
            tables.setdefault(table, set()).update(name for name in names if name != "CONSTRAINT")
        for table, column in re.findall(r"ALTER TABLE (\w+)\s+ADD COLUMN (?:IF NOT EXISTS )?\"?(\w+)", text):
            tables.setdefault(table, set()).add(column)
        # a partition has the columns of its parent
        text = re.sub(
            r"CREATE TABLE \S+ (?:PARTITION OF|\(LIKE audit_logs\))", "", text
        )  # the same columns as its parent
        made = len(re.findall(r"CREATE TABLE|ADD COLUMN", text))
        assert made == len(re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?\w+ \(\n|ALTER TABLE \w+\s+ADD COLUMN", text))
    return tables


def test_every_field_of_every_message_is_classified() -> None:
    classified = {name: set(kinds) | NESTED.get(name, set()) for name, kinds in CEREMONY.items()} | APART
    assert classified == {name: set(struct.__struct_fields__) for name, struct in message_types().items()}


def test_every_column_of_every_table_is_classified() -> None:
    tables = COLUMNS.keys() | COLUMNS_APART.keys()
    classified = {table: set(COLUMNS.get(table, {})) | COLUMNS_APART.get(table, set()) for table in tables}
    assert classified == columns()
    assert not [table for table in COLUMNS if set(COLUMNS[table]) & COLUMNS_APART.get(table, set())]


def test_a_run_makes_every_classified_field(trace: Trace) -> None:
    made = fields(trace)
    expected = {
        path
        for name, kinds in CEREMONY.items()
        for field, kind in kinds.items()
        for path in (
            [f"{name}.{field}"] if isinstance(kind, str) else [f"{name}.{field}.{part}" for part, _, _ in kind]
        )
    }
    assert set(made) == expected | set(STATES)
    named = {path for table in COLUMNS.values() for paths in table.values() for path in paths.split()}
    assert named - set(made) == set()


def test_a_run_is_a_function_of_phrase_and_price(trace: Trace) -> None:
    assert fields(run(TRANSCRIPT, Price())) == fields(trace)


def test_free_fields_are_the_same_for_two_phrases(trace: Trace, other: Trace) -> None:
    assert unchanged(trace, other, "free") == of_kind(trace, "free")


def test_fields_that_depend_on_the_phrase_say_so(trace: Trace, other: Trace) -> None:
    assert unchanged(trace, other, "guess", "blinded") == set()


@pytest.mark.parametrize("price", CHEAPER)
def test_no_phrase_dependent_field_can_be_computed_without(price: str, trace: Trace) -> None:
    cheaper = run(TRANSCRIPT, CHEAPER[price])
    assert unchanged(trace, cheaper, "guess") == set()
    assert unchanged(trace, cheaper, "free") == of_kind(trace, "free")


@pytest.mark.parametrize("price", CHEAPER)
def test_the_method_sees_a_shortcut(price: str, trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    # A column that an implementer might well add: each formula does without one of the three.
    canonical = canonicalize(TRANSCRIPT).encode()
    cheaper = run(TRANSCRIPT, CHEAPER[price])

    def planted(made: Trace) -> Trace:
        formulas = {
            "another OPRF key": hashlib.blake2s(made.password.expose()).digest(),
            "a weaker stretch": hmac.digest(
                derive_oprf_key(CHEAPER[price].oprf_seed, b"").private_key, canonical, "sha512"
            ),
            "no stretch in OPAQUE": oprf.finalize(
                made.password.expose(),
                scalar("blind of the login"),
                fields(made)["Located.responses.evaluated_element"][1],
            ),
        }
        return Trace(made.messages, {**made.states, "state.shortcut": formulas[price]}, made.password, made.stretch)

    monkeypatch.setitem(STATES, "state.shortcut", "guess")
    assert unchanged(planted(trace), planted(cheaper), "guess") == {"state.shortcut"}


def test_a_blinded_field_is_another_with_every_blind(trace: Trace) -> None:
    blinded_anew = run(TRANSCRIPT, Price(blind="another blind"))
    assert unchanged(trace, blinded_anew, "blinded") == set()
    same = unchanged(trace, blinded_anew, "guess")
    assert {"EnrolTag.phrase_hash", "EnrolTag.record.masking_key", "EnrolTag.record.envelope_tag"} <= same


def test_every_phrase_explains_every_blinded_element(trace: Trace) -> None:
    # r -> r * P is a bijection from the scalars to the group as long as P is not the identity of a group of prime
    # order: for each phrase there is exactly one blind that gives the element that was sent.
    assert all(pow(base, ORDER - 1, ORDER) == 1 for base in (2, 3, 5, 7, 11)), "the order is prime"
    points = [oprf.hash_to_group(made.password.expose()) for made in (trace, run(OTHER, Price()))]
    for point in points:
        assert point != IDENTITY
        assert (ORDER - 1) * point + point == IDENTITY
    # With discrete logarithms that we know, the other phrase's blind can be written down.
    first, second, blind = (decode_scalar(scalar(name)) for name in ("first hash", "second hash", "blind"))
    explanation = blind * first * pow(second, -1, ORDER) % ORDER
    assert explanation != blind
    assert blind * (first * GENERATOR) == explanation * (second * GENERATOR)


def test_an_evaluated_element_says_nothing_that_its_blinded_element_does_not(trace: Trace) -> None:
    made = fields(trace)
    key = decode_scalar(derive_oprf_key(Price().oprf_seed, b"hushtag-v1/credential/" + CREDENTIAL_ID).private_key)
    pairs = [
        ("StartRegistration.registration_request", "RegistrationStarted.registration_response.evaluated_element"),
        ("StartRegistration.registration_request", "RegistrationStarted.earlier.evaluated_element"),
        ("Locate.elements", "Located.responses.evaluated_element"),
        ("Candidate.ke1.blinded_element", "UnlockStarted.ke2.evaluated_element"),
    ]
    for blinded, evaluated in pairs:
        assert key * Element.decode(made[blinded][1]) == Element.decode(made[evaluated][1])
    assert {path for pair in pairs for path in pair} | {"state.located"} == of_kind(trace, "blinded")
    assert made["state.located"][1] == made["Locate.elements"][1]


def test_the_library_draws_a_new_blind_each_time() -> None:
    password = OpaquePassword(b"a" * 64)
    elements = {bytes(_opaque.start_login(password)[1].blinded_element) for _ in range(8)}
    elements |= {bytes(_opaque.start_registration(password)[1]) for _ in range(8)}
    assert len(elements) == 16
