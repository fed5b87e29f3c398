"""The kustomizations of ``deploy``: read as they are, or built with kubectl."""

import functools
import shutil
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILE = "kustomization.yaml"
KUBECTL = shutil.which("kubectl")

KINDS = {"Kustomization": "v1beta1", "Component": "v1alpha1"}
FIELDS = {"apiVersion", "kind", "namespace", "resources", "components", "patches", "images",
          "configMapGenerator"}  # fmt: skip


def folders():
    """The folders with a kustomization, relative to ``deploy``."""
    return sorted(path.parent.relative_to(DEPLOY).as_posix() for path in DEPLOY.rglob(FILE))


def applied():
    """Those that are applied by themselves; the others are parts of them."""
    return [name for name in folders() if name.startswith(("cluster", "overlays"))]


def kustomization(folder):
    """The content of a kustomization, whose fields and paths are checked."""
    content = yaml.safe_load((folder / FILE).read_text())
    assert set(content) <= FIELDS, folder
    version = f"kustomize.config.k8s.io/{KINDS[content['kind']]}"
    assert content["apiVersion"] == version, folder
    for name in parts(content):
        assert (folder / name).exists(), f"{folder / FILE} lists {name}, which does not exist"
    for name in content.get("components", ()):
        assert kustomization((folder / name).resolve())["kind"] == "Component"
    return content


def parts(content):
    """The paths of a kustomization."""
    return [*content.get("resources", ()), *content.get("components", ())]


def sources(folder):
    """The files with the objects of ``folder``, with those of its parts."""
    for name in parts(kustomization(folder)):
        path = (folder / name).resolve()
        if path.is_dir():
            yield from sources(path)
        else:
            yield path


def objects(folder):
    """The objects of ``folder`` and its parts, before they are patched."""
    return [each for path in sources(folder) for each in yaml.safe_load_all(path.read_text())]


@functools.cache
def built(name):
    """The objects that ``kubectl kustomize`` makes of a folder of ``deploy``."""
    command = [KUBECTL, "kustomize", str(DEPLOY / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def identity(thing):
    """Kind, namespace and name of an object."""
    metadata = thing["metadata"]
    return thing["apiVersion"], thing["kind"], metadata.get("namespace"), metadata["name"]
