"""Mutations of valid files: bytes flipped, cut or repeated, and JSON values of other types.

The same seed gives the same bytes. Mutations of valid files reach more code of a reader than random
bytes, most of which fail at the first check.
"""

import copy
import json
from random import Random

VALUES = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 1.0, 0.5, -0.0, 1e308, float("nan")),
    *(float("inf"), "", "x", "x" * 5000, "../../x", "/etc/passwd", "a\0b", "\ud800", "caf\xe9"),
    *([], [[]], {}, {"": {}}, [1] * 100, "9" * 50, "1e400", "true", "null", "2001-01-01"),
)
"""Replacements of JSON values."""

NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
"""Replacements of lengths and offsets in binary files."""

TEXTS = (
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b"\n\n", b"\x1b[31m", b"../" * 20, b"[" * 2000),
    *(b'"' * 9, b"NaN", b"1e999", b"-1", b"{}", b"null", b"&a [*a]", b"!!int ''", b"<<: 1"),
)
"""Insertions into texts."""

KEYS = ("x", "", "__proto__", "sum")
"""Additional keys of JSON objects."""


def damaged(content: bytes, seed: int, *, as_json: bool = False) -> bytes:
    """Return ``content`` after mutations drawn from ``seed``.

    Args:
        as_json: in most cases apply `mutate_json` instead of `mutate_bytes`.
    """
    random = Random(seed)
    if as_json and random.random() < 0.6:
        return mutate_json(content, random)
    return mutate_bytes(content, random)


def mutate_bytes(content: bytes, random: Random) -> bytes:
    """Return ``content`` after one to four mutations of its bytes."""
    data = bytearray(content)
    for _ in range(random.randint(1, 4)):
        random.choice(_WAYS)(data, random)
    return bytes(data)


def _flip(data: bytearray, random: Random) -> None:
    for _ in range(random.choice((1, 1, 1, 8, 64))):
        if data:
            data[_place(data, random)] ^= 1 << random.randrange(8)


def _cut(data: bytearray, random: Random) -> None:
    del data[_place(data, random) :]


def _drop(data: bytearray, random: Random) -> None:
    start = _place(data, random)
    del data[start : start + random.choice((1, 2, 4, 8, 100, 4096))]


def _insert(data: bytearray, random: Random) -> None:
    start = _place(data, random)
    data[start:start] = random.choice(
        (random.choice(TEXTS), random.randbytes(random.randint(1, 64)))
    )


def _repeat(data: bytearray, random: Random) -> None:
    start = _place(data, random)
    piece = data[start : start + random.choice((1, 8, 64, 1024))]
    data[start:start] = piece * random.choice((1, 2, 10))


def _overwrite(data: bytearray, random: Random) -> None:
    start, width = _place(data, random), random.choice((1, 2, 4, 8))
    number = random.choice(NUMBERS) & (256**width - 1)
    data[start : start + width] = number.to_bytes(width, random.choice(("little", "big")))


def _blank(data: bytearray, random: Random) -> None:
    start = _place(data, random)
    length = min(len(data) - start, random.choice((4, 64, 4096)))
    data[start : start + length] = bytes(length)


_WAYS = (_flip, _flip, _flip, _cut, _drop, _insert, _repeat, _overwrite, _overwrite, _blank)


def _place(data: bytearray, random: Random) -> int:
    """Choose a position, preferably near the start or the end, where formats have their headers."""
    if not data:
        return 0
    kind = random.random()
    if kind < 0.4:
        return random.randrange(min(len(data), 200))
    if kind < 0.6:
        return len(data) - 1 - random.randrange(min(len(data), 200))
    return random.randrange(len(data))


def mutate_json(
    content: bytes, random: Random, *, values: tuple = VALUES, keys: tuple = KEYS
) -> bytes:
    """Replace, drop or repeat values of a JSON text, or of one line of JSON lines.

    The result is JSON, apart from repeated keys.

    Args:
        values: the replacements of values.
        keys: the additional keys.
    """
    lines = content.rstrip(b"\n").split(b"\n")
    try:
        whole = json.loads(content)
        return _changed(whole, random, values, keys)
    except ValueError:
        pass
    number = random.randrange(len(lines))
    try:
        lines[number] = _changed(json.loads(lines[number]), random, values, keys).replace(
            b"\n", b" "
        )
    except ValueError:
        lines[number] = random.choice(TEXTS)
    return b"\n".join(lines) + b"\n"


def _changed(value: object, random: Random, values: tuple, keys: tuple) -> bytes:
    value = copy.deepcopy(value)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        places = list(_places(value))
        if not places:
            return json.dumps(random.choice(values)).encode()
        holder, key = random.choice(places)
        if random.random() < 0.7:
            holder[key] = copy.deepcopy(random.choice(values))
        elif isinstance(holder, dict) and random.random() < 0.5:
            holder[random.choice(keys)] = holder[key]
        else:
            del holder[key]
    text = json.dumps(value)
    if random.random() < 0.1 and isinstance(value, dict) and value:
        first = json.dumps(next(iter(value)))
        text = text.replace("{", f"{{{first}: 1, ", 1)
    return text.encode()


def _places(value: object):
    """Yield (container, key) of every nested value."""
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield value, key
        yield from _places(value[key])
