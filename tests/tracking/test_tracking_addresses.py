"""Addresses and messages are shown without user names, passwords and tokens."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dgunet.system import address
from dgunet.system.address import Address, redact

# Clients refuse spaces and control characters in an address.
typed_words = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_categories=("Cc", "Zs", "Zl")),
    min_size=6,
    max_size=20,
)
hosts = st.sampled_from(["h", "h.example", "127.0.0.1", "[::1]", "h:5432", "[::1]:5432"])
schemes = st.sampled_from(
    ["http", "https", "postgresql", "postgresql+psycopg2", "mysql+pymysql", "mssql", "ssh", "s3"]
)


@pytest.fixture(autouse=True)
def no_known_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the secrets of addresses in earlier tests."""
    monkeypatch.setattr(address, "_known", set())


def escaped(word: str) -> str:
    return quote(word, safe="")


@settings(max_examples=400, deadline=None)
@given(user=typed_words, word=typed_words, host=hosts, scheme=schemes, escape=st.booleans())
def test_redaction_removes_any_password(
    user: str, word: str, host: str, scheme: str, escape: bool
) -> None:
    given = f"{escaped(user)}:{escaped(word)}" if escape else f"{user}:{word}"
    secrets = {word, escaped(word)} | ({user, escaped(user)} if escape else set())
    assume(
        not any(s in f'no answer from {scheme}://{host}/path: refused {{"uri"}}' for s in secrets)
    )
    for whole in (f"{scheme}://{given}@{host}/path", f"{given}@{host}/path"):
        for text in (whole, f"no answer from {whole}: refused", f'{{"uri": "{whole}"}}'):
            redacted = redact(text)
            shown = str(Address(whole))
            assert not any(secret in redacted or secret in shown for secret in secrets)


@settings(max_examples=200, deadline=None)
@given(word=typed_words)
def test_the_password_of_an_address_is_redacted_in_any_text(word: str) -> None:
    Address(f"postgresql://someone:{escaped(word)}@h/db")
    login = base64.b64encode(f"someone:{word}".encode()).decode()
    for text in (f"connection with [{word}] refused", f"sent {login}", f"dsn {escaped(word)} bad"):
        assert word not in redact(text) and login not in redact(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:secret@host:5000/x?token=1#y", "https://host:5000/x"),
        ("https://ghp_token@github.com/lab/x.git", "https://github.com/lab/x.git"),
        ("http://me:pw@[::1]:50/x", "http://[::1]:50/x"),
        ("me:pw@host/db is away", "host/db is away"),
        ("http://a:b@h1/x,https://c:d@h2/y and mysql://u@h3/z", "http://h1/x,https://h2/y and "
         "mysql://h3/z"),
        ("https://b.s3.amazonaws.com/k?X-Amz-Credential=a&X-Amz-Signature=b",
         "https://b.s3.amazonaws.com/k"),
        ("host=db user=me password=secret dbname=x", "host=db user=me password=*** dbname=x"),
        ("{'passwd': 'secret', \"api_key\": \"secret\"}", "{'passwd': ***, \"api_key\": ***}"),
        ("Authorization: Basic c2VjcmV0", "Authorization: ***"),
        ("refused (Bearer abcdefgh.ijk)", "refused (Bearer ***"),
        ("postgresql://me:pw@h1:5432,h2:5432/db?sslmode=x", "postgresql://h1:5432,h2:5432/db"),
        ("postgresql+psycopg2://me:p/w@h:5432/db", "postgresql+psycopg2://h:5432/db"),
        # texts without secrets are unchanged
        ("sqlite:////home/me@work/a b/mlflow.db", "sqlite:////home/me@work/a b/mlflow.db"),
        ("git@example.org:lab/dgunet.git", "git@example.org:lab/dgunet.git"),
        ("localhost:5000/dgunet@sha256:abc", "localhost:5000/dgunet@sha256:abc"),
        ("see a@b.org; 12:30, key:value, s3://bucket/prefix",
         "see a@b.org; 12:30, key:value, s3://bucket/prefix"),
        ("(using password: YES), page_tokens, secretly", "(using password: YES), page_tokens, "
         "secretly"),
    ],
)  # fmt: skip
def test_redacted_form_of_an_address_or_message(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown, "redaction is idempotent"


def test_the_string_forms_of_an_address_contain_no_secret() -> None:
    made = Address("https://me:secret@host/x?token=word")
    text = f"{made} {made!r} {made:>40} {[made]}"
    assert "secret" not in text and "word" not in text and "me:" not in text
    assert made.reveal() == "https://me:secret@host/x?token=word"


def test_redacting_long_texts_takes_bounded_time() -> None:
    for part in (
        "a",
        "a.a-",
        "://",
        "http://",
        "a:b@",
        "x@",
        "'",
        "http://x:1/@",
        "token",
        "'a:",
        "=a:b",
    ):
        redact(part * (200_000 // len(part)))


def test_secrets_in_environment_variables_are_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "the-token")
    assert redact("it said the-token is old") == "it said *** is old"
