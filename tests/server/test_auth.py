"""Who may: the gate, credentials, the key file."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from server.auth import ADMIN, Credentials, Gate, bearer, digest_of, is_token, key_of, new_token, read_key
from server.codes import Fault
from server.config import ConfigError, Settings, load


def settings(**flags: Any) -> Settings:
    return load(flags, file=None)


def passes(gate: Gate, **headers: str) -> bool:
    try:
        gate.check(CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}))
    except Fault as fault:
        return fault.name != "forbidden"
    return True


@pytest.mark.parametrize(
    "host, is_known",
    [
        ("127.0.0.1", True),
        ("localhost:8080", True),
        ("LOCALHOST.", True),
        ("[::1]:8080", True),
        ("names.example", True),
        ("", False),
        ("names.example.evil.example", False),
        ("evil.example/names.example", False),
        ("user@127.0.0.1", False),
        ("127.0.0.1:port", False),
        ("[::1", False),
        ("0.0.0.0", False),
    ],
)
def test_a_host_is_known_or_it_is_not(host: str, is_known: bool) -> None:
    """A foreign name that resolves to this machine would make its page same-origin with us."""
    assert passes(Gate(settings(allowed_hosts=["Names.example"])), Host=host) is is_known


def test_a_request_without_host_or_with_two_is_refused() -> None:
    """Two readers could each believe another one."""
    gate = Gate(settings())
    assert not passes(gate)
    twice = CIMultiDict([("Host", "localhost"), ("Host", "localhost")])
    with pytest.raises(Fault):
        gate.check(twice)


@given(st.text())
def test_any_host_and_origin_is_answered_and_never_an_error(text: str) -> None:
    """They come from outside."""
    gate = Gate(settings())
    assert passes(gate, Host="localhost", Origin=text) in (True, False)
    assert passes(gate, Host=text) in (True, False)


def test_every_origin_has_to_be_known() -> None:
    """The second one counts as well."""
    gate = Gate(settings())
    headers = CIMultiDict([("Host", "localhost"), ("Origin", "http://localhost"), ("Origin", "http://evil.example")])
    with pytest.raises(Fault):
        gate.check(headers)


async def test_api_keys_say_who_somebody_is() -> None:
    """By their hash; the key is nowhere."""
    keys = [
        {"user": "ann", "sha256": hashlib.sha256(b"key of ann").hexdigest(), "roles": ["supervisor"]},
        {"user": "bob", "sha256": hashlib.sha256(b"key of bob").hexdigest()},
    ]
    credentials = Credentials(settings(api_keys=keys, host="0.0.0.0"), None)
    ann, bob = await credentials.caller("key of ann"), await credentials.caller("key of bob")
    assert ann is not None
    assert (ann.user, ann.roles) == ("ann", {"supervisor"})
    assert bob is not None
    assert (bob.user, bob.roles) == ("bob", frozenset())
    assert await credentials.caller("key of eve") is None
    assert await credentials.caller("") is None
    assert await credentials.caller(None) is None


async def test_the_key_is_the_administrators_and_open_has_none() -> None:
    """--open drops the key and switches administration off."""
    owner = await Credentials(settings(), "k" * 43).caller("k" * 43)
    assert owner is not None
    assert owner.roles == {ADMIN}
    anybody = await Credentials(settings(open=True), None).caller("whatever")
    assert anybody is not None
    assert anybody.roles == frozenset()


@pytest.mark.parametrize(
    "flags",
    [{"host": "0.0.0.0"}, {"host": "::"}, {"host": "192.0.2.1"}, {"host": "example.org"}, {"open": True, "host": "::"}],
)
def test_without_credentials_only_this_machine_is_served(flags: dict[str, Any]) -> None:
    """Rule 9."""
    with pytest.raises(ConfigError, match="api_keys"):
        settings(**flags)


def test_the_key_is_kept_and_private(tmp_path: Path) -> None:
    """The same one after a restart, so that pages and scripts go on."""
    path = tmp_path / "key"
    key = key_of(path)
    assert is_token(key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key_of(path) == key
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("spoil", ["others may read it", "it is a link", "it is no key"])
def test_a_key_that_cannot_be_trusted_is_made_anew(tmp_path: Path, spoil: str) -> None:
    """Somebody else may know it, or have put it there."""
    path = tmp_path / "key"
    old = new_token()
    path.write_text(old + "\n" if spoil != "it is no key" else "short\n")
    path.chmod(0o644 if spoil == "others may read it" else 0o600)
    if spoil == "it is a link":
        target = path.rename(tmp_path / "elsewhere")
        path.symlink_to(target)
    assert read_key(path) is None
    key = key_of(path)
    assert key != old
    assert not path.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_uid == os.geteuid()


def test_tokens_have_256_bits_and_are_not_what_is_stored() -> None:
    """Rule 8."""
    token = new_token()
    assert is_token(token)
    assert len(digest_of(token)) == 32
    assert token.encode() not in digest_of(token)
    assert new_token() != token


@pytest.mark.parametrize(
    "header, secret",
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic abc", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("", None),
    ],
)
def test_only_bearer_secrets_are_read(header: str, secret: str | None) -> None:
    """Nothing else is meant by it here."""
    assert bearer({"Authorization": header}) == secret
