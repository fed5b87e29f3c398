"""Signing of a bundle: an in-toto statement in a DSSE envelope, with the user's Ed25519 key.

The statement names the bundle's seal, which has the SHA-256 of all other files. Nothing leaves the
machine. The sources are DSSE (secure-systems-lab/dsse, protocol.md) and in-toto's Statement v1.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dgunet.system.errors import ConfigError
from dgunet.system.files import sha256_file, write_json
from dgunet.system.reading import read_bytes
from dgunet.tools.bundles.standalone import (
    PAYLOAD_TYPE,
    SEAL,
    SIGNATURE,
    STATEMENT,
    key_id,
    pre_authentication_encoding,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PREDICATE = "urn:dgunet:bundle:1"
KEY_BYTES = 1 << 16
MAKE_ONE = "Make one: openssl genpkey -algorithm ed25519 -out key.pem"


def load_key(path: Path) -> Ed25519PrivateKey:
    """The Ed25519 private key in a PEM file.

    Raises:
        ConfigError: if it is no such key, if it is encrypted, or the package `cryptography` is
            missing. The key's content is in no message.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ModuleNotFoundError as error:
        raise ConfigError(
            "the package cryptography is not installed; only signing needs it.",
            "Install it with: pip install 'dgunet[sign]'",
        ) from error
    try:
        key = load_pem_private_key(read_bytes(path, limit=KEY_BYTES), password=None)
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist.", MAKE_ONE) from None
    except TypeError:  # what cryptography raises for an encrypted key without a password
        raise ConfigError(f"{path} is encrypted.", "Decrypt it for the call.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{path} is no private key in PEM format.", MAKE_ONE) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} is no Ed25519 key.", MAKE_ONE)
    return key


def sign(folder: Path, key: Ed25519PrivateKey) -> None:
    """Write ``signature.dsse.json`` to the sealed bundle in ``folder``."""
    statement: dict[str, Any] = {
        "_type": STATEMENT,
        "subject": [{"name": SEAL, "digest": {"sha256": sha256_file(folder / SEAL)}}],
        "predicateType": PREDICATE,
        "predicate": {"seal": "SHA-256 of every other file of the bundle"},
    }
    payload = json.dumps(statement, sort_keys=True).encode()
    signature = key.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {
                "keyid": key_id(key.public_key().public_bytes_raw()),
                "sig": base64.b64encode(signature).decode(),
            }
        ],
    }
    write_json(folder / SIGNATURE, envelope)
