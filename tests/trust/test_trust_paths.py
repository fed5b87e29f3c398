"""An untrusted name never leads out of its folder."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgunet.system.errors import ConfigError, DataError
from dgunet.system.safe_paths import inside, safe_file_name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../x", "leads out of its folder"),
        ("a/../../x", "leads out of its folder"),
        ("a/../x", "leads out of its folder"),
        ("..", "names no file"),
        (".", "names no file"),
        ("", "names no file"),
        ("/etc/passwd", "is absolute"),
        ("C:/x", "drive letter"),
        ("C:x", "drive letter"),
        ("a\\..\\x", "backslash"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("a/" + "x" * 300, "too long"),
        ("/".join(["deep"] * 400), "too long"),
        ("\udcff.png", "not UTF-8"),
    ],
)
def test_unsafe_names_are_refused(tmp_path, name, message):
    with pytest.raises(DataError, match=f"list.txt, line 3 names .*{message}"):
        inside(tmp_path, name, origin="list.txt, line 3")


@pytest.mark.parametrize("name", ["a.png", "a/b/c.png", "./a.png", "..a/b", "a..b", "ä ö.png"])
def test_safe_names_are_joined_to_the_folder(tmp_path, name):
    path = inside(tmp_path, name, origin="x")
    assert path == tmp_path / name


def test_a_link_that_leads_outside_is_refused(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").mkdir()
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "within").symlink_to(root)
    (root / "loop").symlink_to("loop")
    with pytest.raises(DataError, match="through a link"):
        inside(root, "out/x", origin="x")
    with pytest.raises(DataError):
        inside(root, "loop/x", origin="x")
    assert inside(root, "within/x", origin="x") == root / "within" / "x"
    with pytest.raises(ConfigError, match="is a link"):
        inside(root, "within/x", origin="x", kind=ConfigError, links=False)


@given(st.text(max_size=40) | st.text(alphabet="./\\:aC\0~ ", max_size=20))
def test_any_name_stays_inside_or_is_refused(tmp_path_factory, name):
    root = tmp_path_factory.getbasetemp()
    try:
        path = inside(root, name, origin="x")
    except DataError as error:
        assert "\n" not in str(error)
        return
    assert path.resolve().is_relative_to(root.resolve())
    assert path != root


@pytest.mark.parametrize("name", [".hidden", "a/b", "..", "", "a\0"])
def test_a_safe_file_name_has_no_folder_and_is_not_hidden(name):
    with pytest.raises(DataError):
        safe_file_name(name, origin="x")
    assert safe_file_name("pairs-00000.arrow", origin="x") == "pairs-00000.arrow"
