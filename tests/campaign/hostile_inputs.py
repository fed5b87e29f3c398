"""Mutations of the project's files for the campaign of hostile inputs."""

import io
import re
import tarfile
import zipfile

from tests import mutations
from tests.mutations import mutate_bytes

VALUES = (
    *(
        None,
        True,
        False,
        0,
        -1,
        99,
        1e308,
        10**9,
        10**400,
        "",
        "x" * 5000,
        "../../x",
        "/etc/passwd",
    ),
    *([], {}, [[]], {"a": {"b": []}}, "\\input{x}", "\0", "NaN", float("nan"), float("inf"), "ü\n"),
)
NAMES = (
    *("../../../../params.yaml", "/etc/x", "a/../../../../x", "C:\\x.png", "x" * 300, "..", "\x01"),
    *("../../../../../.git/hooks/pre-commit", "a\\..\\..\\x.png", "", "./././x", "²5.png", "a\0b"),
)


def mutate_json(content, chance):
    """Mutate a value or a key of a JSON text; sometimes its bytes instead."""
    if chance.random() < 0.3:
        return mutate_bytes(content, chance)
    return mutations.mutate_json(content, chance, values=VALUES, keys=NAMES)


def mutate_lines(content, chance):
    """Change, repeat or empty a line of a log, or a setting of a text."""
    lines = content.split(b"\n")
    place = chance.randrange(len(lines))
    way = chance.randrange(6)
    if way == 0:
        lines[place] = mutate_json(lines[place], chance)
    elif way == 1:
        lines[place] = b""
    elif way == 2:
        lines.insert(place, lines[chance.randrange(len(lines))])
    elif way == 3:
        value = repr(chance.choice(VALUES)).encode(errors="replace")
        lines[place] = re.sub(rb":.*", lambda _: b": " + value, lines[place], count=1)
    elif way == 4:
        lines[place] = re.sub(rb"\d+", str(10 ** chance.randrange(20)).encode(), lines[place])
    else:
        lines[place] = mutate_bytes(lines[place], chance)
    return b"\n".join(lines)


def realblur(chance, image_bytes):
    """Create a RealBlur archive with names that lead elsewhere; a valid one without ``chance``."""
    prefix = chance.choice(("RealBlur", "a/b/c/RealBlur")) if chance else "RealBlur"
    image = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene001/{0}/{0}_1.png"
    files = {
        f"{prefix}/{image.format('gt')}": image_bytes,
        f"{prefix}/{image.format('blur')}": image_bytes,
        "x/y/gt.png": image_bytes,
        "x/y/hook.png": b"P3\n1 1\n255\n0 0 0\n",
    }
    lines = [f"{image.format('gt')} {image.format('blur')}"]
    listing = f"{prefix}/RealBlur_J_test_list.txt"
    if chance is None:
        return packed(files | {listing: lines[0].encode()}, chance)
    up = "../" * (prefix.count("/") + 1)
    name = chance.choice((*NAMES, f"{up}x/y/gt.png", f"{up}x/y/hook.png"))
    way = chance.randrange(4)
    if way == 0:
        lines.insert(chance.randrange(2), f"{name} {name}")
    elif way == 1:
        lines[0] = chance.choice(
            (f"{lines[0]} x", "a" * 5000, f"{image.format('gt')} {name}", name)
        )
    elif way == 2:
        files[name] = chance.choice((image_bytes, b"P3\n1 1\n255\n0 0 0\n"))
    else:
        files[f"{prefix}/{image.format('gt')}"] = chance.choice(
            (b"#!/bin/sh\n", mutate_bytes(image_bytes, chance))
        )
    content = "\n".join(lines).encode(errors="surrogateescape")
    return packed(files | {listing: mutate_some(content, chance)}, chance)


def mutate_some(content, chance):
    return mutate_bytes(content, chance) if chance.random() < 0.2 else content


def packed(files, chance):
    """Pack ``files`` as zip or tar with any names; sometimes mutate its bytes."""
    buffer = io.BytesIO()
    if chance is None:
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return buffer.getvalue()
    if chance.random() < 0.5:
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in files.items():
                info = zipfile.ZipInfo("x")
                info.filename = name or "x"
                info.external_attr = chance.choice((0o644, 0o755, 0o120777)) << 16
                archive.writestr(info, content)
    else:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name or "x")
                info.size, info.mode = len(content), chance.choice((0o644, 0o777))
                if chance.random() < 0.1:
                    info.type = chance.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE))
                    info.linkname, info.size, content = "../../../params.yaml", 0, b""
                archive.addfile(info, io.BytesIO(content))
    return mutate_some(buffer.getvalue(), chance)
