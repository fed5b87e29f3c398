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


def mutate_json(content, rng):
    """Mutate a value or a key of a JSON text; sometimes its bytes instead."""
    if rng.random() < 0.3:
        return mutate_bytes(content, rng)
    return mutations.mutate_json(content, rng, values=VALUES, keys=NAMES)


def mutate_lines(content, rng):
    """Change, repeat or empty a line of a log, or a setting of a text."""
    lines = content.split(b"\n")
    index = rng.randrange(len(lines))
    kind = rng.randrange(6)
    if kind == 0:
        lines[index] = mutate_json(lines[index], rng)
    elif kind == 1:
        lines[index] = b""
    elif kind == 2:
        lines.insert(index, lines[rng.randrange(len(lines))])
    elif kind == 3:
        value = repr(rng.choice(VALUES)).encode(errors="replace")
        lines[index] = re.sub(rb":.*", lambda _: b": " + value, lines[index], count=1)
    elif kind == 4:
        lines[index] = re.sub(rb"\d+", str(10 ** rng.randrange(20)).encode(), lines[index])
    else:
        lines[index] = mutate_bytes(lines[index], rng)
    return b"\n".join(lines)


def realblur(rng, image_bytes):
    """Create a RealBlur archive with hostile names; a valid one if ``rng`` is None."""
    prefix = rng.choice(("RealBlur", "a/b/c/RealBlur")) if rng else "RealBlur"
    image = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene001/{0}/{0}_1.png"
    files = {
        f"{prefix}/{image.format('gt')}": image_bytes,
        f"{prefix}/{image.format('blur')}": image_bytes,
        "x/y/gt.png": image_bytes,
        "x/y/hook.png": b"P3\n1 1\n255\n0 0 0\n",
    }
    lines = [f"{image.format('gt')} {image.format('blur')}"]
    listing = f"{prefix}/RealBlur_J_test_list.txt"
    if rng is None:
        return packed(files | {listing: lines[0].encode()}, rng)
    up = "../" * (prefix.count("/") + 1)
    name = rng.choice((*NAMES, f"{up}x/y/gt.png", f"{up}x/y/hook.png"))
    kind = rng.randrange(4)
    if kind == 0:
        lines.insert(rng.randrange(2), f"{name} {name}")
    elif kind == 1:
        lines[0] = rng.choice((f"{lines[0]} x", "a" * 5000, f"{image.format('gt')} {name}", name))
    elif kind == 2:
        files[name] = rng.choice((image_bytes, b"P3\n1 1\n255\n0 0 0\n"))
    else:
        files[f"{prefix}/{image.format('gt')}"] = rng.choice(
            (b"#!/bin/sh\n", mutate_bytes(image_bytes, rng))
        )
    content = "\n".join(lines).encode(errors="surrogateescape")
    return packed(files | {listing: mutate_some(content, rng)}, rng)


def mutate_some(content, rng):
    return mutate_bytes(content, rng) if rng.random() < 0.2 else content


def packed(files, rng):
    """Pack ``files`` as zip or tar with any names; sometimes mutate its bytes."""
    buffer = io.BytesIO()
    if rng is None:
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return buffer.getvalue()
    if rng.random() < 0.5:
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in files.items():
                info = zipfile.ZipInfo("x")
                info.filename = name or "x"
                info.external_attr = rng.choice((0o644, 0o755, 0o120777)) << 16
                archive.writestr(info, content)
    else:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name or "x")
                info.size, info.mode = len(content), rng.choice((0o644, 0o777))
                if rng.random() < 0.1:
                    info.type = rng.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE))
                    info.linkname, info.size, content = "../../../params.yaml", 0, b""
                archive.addfile(info, io.BytesIO(content))
    return mutate_some(buffer.getvalue(), rng)
