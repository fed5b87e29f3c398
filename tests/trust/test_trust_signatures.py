"""Ed25519 in pure Python: the vectors of RFC 8032, Section 7.1, and wrong signatures."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from made_bundles import write_keys

from dgunet.system.errors import ConfigError
from dgunet.tools.bundles import signing
from dgunet.tools.bundles.standalone import (
    ORDER,
    BundleError,
    ed25519_verify,
    pre_authentication_encoding,
    read_key,
)

VECTORS = {
    "TEST 1": (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    "TEST 2": (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    "TEST 3": (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
    "TEST SHA(abc)": (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e030"
        "3dca179c138ac17ad9bef1177331a704",
    ),
}
"""Public key, message and signature."""


def of(name):
    return tuple(map(bytes.fromhex, VECTORS[name]))


@pytest.mark.parametrize("name", VECTORS)
def test_the_signatures_of_the_rfc_are_right(name):
    assert ed25519_verify(*of(name))


@pytest.mark.parametrize("name", VECTORS)
def test_a_changed_bit_makes_them_wrong(name):
    key, message, signature = of(name)
    assert not ed25519_verify(key, message + b"x", signature)
    for place in (0, 31, 32, 62):
        changed = bytearray(signature)
        changed[place] ^= 1
        assert not ed25519_verify(key, message, bytes(changed)), place
    other = of("TEST 2" if name != "TEST 2" else "TEST 1")[0]
    assert not ed25519_verify(other, message, signature)


def test_a_second_form_of_a_signature_is_refused():
    """S + L gives the same point: RFC 8032 requires S < L."""
    key, message, signature = of("TEST 3")
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    assert not ed25519_verify(key, message, signature[:32] + scalar.to_bytes(32, "little"))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_keys_and_signatures_of_other_lengths_are_refused(length):
    key, message, signature = of("TEST 1")
    assert not ed25519_verify(bytes(length), message, signature)
    assert not ed25519_verify(key, message, signature[:length])


def test_random_keys_agree_with_another_implementation():
    for number in range(5):
        key = Ed25519PrivateKey.generate()
        message = bytes(range(number * 40))
        public = key.public_key().public_bytes_raw()
        assert ed25519_verify(public, message, key.sign(message))
        assert not ed25519_verify(public, message + b"0", key.sign(message))


def test_the_encoding_that_is_signed_is_that_of_dsse():
    """The example of the DSSE specification, protocol.md."""
    encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_keys_are_read_in_both_forms_and_others_are_refused(tmp_path):
    private, public = write_keys(tmp_path, "key")
    raw = read_key(public)
    (tmp_path / "digits").write_text(raw.hex() + "\n")
    assert read_key(tmp_path / "digits") == raw
    assert signing.load_key(private).public_key().public_bytes_raw() == raw
    with pytest.raises(BundleError, match="is no"):
        read_key(private)
    with pytest.raises(ConfigError, match="no private key"):
        signing.load_key(public)
    with pytest.raises(ConfigError, match="does not exist"):
        signing.load_key(tmp_path / "absent")
