"""The documentation site builds without a warning, and its navigation has every page."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GENERATED = {"cli.md", "several-nodes.md"}


def pages(entries):
    """Yield the pages of a navigation in order."""
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from pages(value) if isinstance(value, list) else [value]


def navigation():
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]


def test_every_page_is_in_the_navigation():
    listed = list(pages(navigation()))
    docs = ROOT / "docs"
    existing = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    assert len(listed) == len(set(listed))
    assert set(listed) == existing | GENERATED


def test_the_navigation_has_the_four_kinds_of_documentation():
    names = [name for entry in navigation() for name in entry]
    assert names == ["Home", "Tutorials", "How-to guides", "Reference", "Explanation"]


def test_every_package_has_a_page_of_the_api():
    packages = {
        path.stem if path.is_file() else path.name
        for path in (ROOT / "dgunet").iterdir()
        if (path / "__init__.py").is_file() or (path.suffix == ".py" and path.stem[0] != "_")
    }
    documented = {path.stem for path in (ROOT / "docs" / "reference").glob("*.md")}
    assert documented - {"index"} == packages - {"cli"}  # the command line has a page of its own


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a warning fails the build."""
    for module in ("mkdocs", "material", "mkdocstrings", "mkdocstrings_handlers"):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed: pip install '.[docs]'")
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.parametrize(
    ("page", "anchor"),
    [
        ("reference/network.html", "dgunet.network.dgunet.DGUNet.forward"),
        ("reference/terms.html", "dgunet.terms.RunTags"),
        ("reference/evaluation.html", "dgunet.evaluation.metric_protocol.Protocol.score"),
        ("cli.html", "dgunet-data-prepare"),
        ("several-nodes.html", "kueue"),
    ],
)
def test_the_reference_has_the_anchor(site, page, anchor):
    assert f'id="{anchor}"' in (site / page).read_text(encoding="utf-8")


def test_the_cli_page_has_the_help_texts(site):
    text = (site / "cli.html").read_text(encoding="utf-8")
    assert re.search(r"Usage: dgunet tables \[OPTIONS\]", text)


def test_no_role_of_another_markup_is_shown(site):
    for page in site.rglob("*.html"):
        assert not re.search(r":(?:class|func|meth):<code>", page.read_text(encoding="utf-8")), page


def test_equations_are_typeset(site):
    text = (site / "design.html").read_text(encoding="utf-8")
    assert 'class="arithmatex"' in text
    assert "mathjax" in text


def test_links_to_the_manifests_point_to_their_page(site):
    text = (site / "kubeflow.html").read_text(encoding="utf-8")
    assert 'href="several-nodes.html"' in text
    assert "deploy/README.md)" not in text
