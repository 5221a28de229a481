"""Settings: read once, checked at once, shown without secrets."""

from dataclasses import fields
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from hushtag_server.settings import Settings, SettingsError, describe_settings, load_settings, to_environment


def test_defaults_are_the_documented_ones() -> None:
    settings = load_settings({})
    assert (settings.host, settings.port, settings.data) == ("127.0.0.1", 8787, Path("hushtag-data"))
    assert settings.session_lifetime == timedelta(days=30)
    assert settings.session_idle == timedelta(days=7)
    assert settings.vault_lifetime == timedelta(hours=12)
    assert settings.vault_idle == timedelta(minutes=15)
    assert settings.ceremony_lifetime == timedelta(seconds=120)
    assert (settings.guess_capacity, settings.guess_refill_per_day) == (20, 20)
    assert settings.max_object_bytes == 16 * 1024 * 1024
    assert settings.trusted_proxies == ()
    assert settings.key_path == Path("hushtag-data/keys.json")


def test_every_fault_is_reported_at_once() -> None:
    environment = {
        "HUSHTAG_PORT": "70000",
        "HUSHTAG_WORKERS": "many",
        "HUSHTAG_VAULT_IDLE": "13h",
        "HUSHTAG_TRUSTED_PROXIES": "not-a-network",
        "HUSHTAG_DATABASE_URL": "mysql://user:secret@host/db",
        "HUSHTAG_LOG_LEVEL": "loud",
    }
    with pytest.raises(SettingsError) as caught:
        load_settings(environment)
    message = str(caught.value)
    assert len(caught.value.faults) == 6
    assert all(name in message for name in environment)
    assert "secret" not in message


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("HUSHTAG_DATABSE_URL", "HUSHTAG_DATABASE_URL"),
        ("HUSHTAG_KEYFILE", "HUSHTAG_KEY_FILE"),
        ("HUSHTAG_ALLOWED_ORIGIN", "HUSHTAG_ALLOWED_ORIGINS"),
        ("HUSHTAG_METRIC_TOKEN", "HUSHTAG_METRICS_TOKEN"),
    ],
)
def test_a_misspelt_name_is_refused(given: str, meant: str) -> None:
    # Ignored, it would have the server do as if nothing had been said: begin an empty database of its own.
    with pytest.raises(SettingsError, match="did you mean") as caught:
        load_settings({given: "canary"})
    assert caught.value.faults == [f"{given} is no setting; did you mean {meant}?"]
    assert load_settings({given: ""}) == Settings()


def test_names_of_others_are_none_of_the_servers_business() -> None:
    # What the command reads, what our tests read, what Kubernetes sets for a service of that name.
    others = ("SERVER", "STATE", "TEST_POSTGRES", "KILL_ROUNDS", "SERVICE_HOST", "SERVICE_PORT", "PORT_8787_TCP")
    assert load_settings({f"HUSHTAG_{name}": "anything" for name in others}) == Settings()


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("12h", 43200), ("30d", 2592000)])
def test_durations_have_units(text: str, seconds: int) -> None:
    loaded = load_settings({"HUSHTAG_SESSION_LIFETIME": text, "HUSHTAG_SESSION_IDLE": "1"})
    assert loaded.session_lifetime == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1w", "m", "٣", "9" * 5000])
def test_other_durations_are_refused(text: str) -> None:
    if text == "":
        assert load_settings({"HUSHTAG_VAULT_IDLE": text}).vault_idle == timedelta(minutes=15)
        return
    with pytest.raises(SettingsError, match="HUSHTAG_VAULT_IDLE must be a duration"):
        load_settings({"HUSHTAG_VAULT_IDLE": text})


def test_settings_survive_the_way_to_a_worker() -> None:
    settings = load_settings(
        {
            "HUSHTAG_DATABASE_URL": "postgresql://u:p@h/d",
            "HUSHTAG_TRUSTED_PROXIES": "10.0.0.0/8, ::1",
            "HUSHTAG_VAULT_IDLE": "5m",
            "HUSHTAG_KEYS": "{}",
        }
    )
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert load_settings(to_environment(settings)) == settings


def test_networks_of_ipv4_that_are_written_as_ipv6_are_those_of_ipv4() -> None:
    text = "::ffff:10.0.0.0/104, ::ffff:192.0.2.1, ::/0"
    settings = load_settings({"HUSHTAG_TRUSTED_PROXIES": text})
    assert settings.trusted_proxies == tuple(map(ip_network, ("10.0.0.0/8", "192.0.2.1/32", "::/0")))


@pytest.mark.parametrize("user", ["u:c@nary", "u:ca/nary", "u@h:c@nary"])
def test_a_password_that_would_be_taken_for_a_host_is_refused_and_not_said(user: str) -> None:
    for begin in ("postgresql", "postgres"):
        with pytest.raises(SettingsError, match="must spell @ and / as %40 and %2F") as refused:
            load_settings({"HUSHTAG_DATABASE_URL": f"{begin}://{user}@h/d"})
        assert "nary" not in str(refused.value)
    for url in ("postgresql://u:p%40ss@h/d", "postgresql://h/d", "postgresql:///d?user=a@b", "postgresql://u@h"):
        assert load_settings({"HUSHTAG_DATABASE_URL": url}).database_url == url


def test_secrets_are_neither_shown_nor_in_the_repr() -> None:
    settings = load_settings({"HUSHTAG_DATABASE_URL": "postgresql://u:canary@h/d", "HUSHTAG_KEYS": "canary"})
    assert "canary" not in repr(settings)
    assert "canary" not in str(describe_settings(settings))
    assert ("HUSHTAG_KEYS", "(set, not shown)") in [row[:2] for row in describe_settings(settings)]


def test_every_setting_is_described() -> None:
    rows = describe_settings(Settings())
    assert [name for name, _, _ in rows] == [f"HUSHTAG_{entry.name.upper()}" for entry in fields(Settings)]
    assert all(about for _, _, about in rows)


def test_two_sources_of_keys_are_refused() -> None:
    with pytest.raises(SettingsError, match="keep one"):
        load_settings({"HUSHTAG_KEYS": "{}", "HUSHTAG_KEY_FILE": "/k"})
