"""A project with made results, and honest bundles of them."""

import shutil
import zipfile
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization import PublicFormat as Public
from made_results import digest, write_result

from dgunet.project import ProjectFolders
from dgunet.system.seals import write_seal
from dgunet.tools.bundles.project_bundle import bundle_project

RESULTS = (("Test100", "DGUNet", None), ("Set11", "DGUNet", 10), ("Set11", "DGUNet+", 10))
RELEASE = {"Set11": "2a343dd8"}
"""Beginning of the digest of the published release, which complete results must have."""


def write_keys(folder, name):
    """Write a private and a public key in PEM files; return their paths."""
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, Public.SubjectPublicKeyInfo))
    return private, public


def made_bundles(project, home):
    """Make the results and their bundles in ``home``."""
    shutil.copyfile(project / "params.yaml", home / "params.yaml")
    for dataset, row, ratio in RESULTS:
        folder = home / "results" / f"{dataset}-{row}" / (f"r{ratio}" if ratio else "")
        known = RELEASE.get(dataset, "")
        data = known + digest("data", dataset)[len(known) :]
        write_result(folder, dataset, row, ratio, profile="paper", data_digest=data)
        (folder / "restored").mkdir()
        (folder / "restored" / "1.png").write_bytes(b"an image")
        (folder / "SHA256SUMS").unlink()
        write_seal(folder)
    private, public = write_keys(home, "key")
    results = [home / "results"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DGUNET_TRACKING", "off")
        here = ProjectFolders(home)
        bundle_project(here, home / "packed.zip", results, key=private)
    with zipfile.ZipFile(home / "packed.zip") as packed:
        packed.extractall(home / "signed")
    shutil.copytree(home / "signed", home / "folder")
    (home / "folder" / "signature.dsse.json").unlink()
    return SimpleNamespace(
        home=home,
        folder=home / "folder",
        signed=home / "signed",
        packed=home / "packed.zip",
        private=private,
        public=public,
    )
