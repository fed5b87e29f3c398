"""Conversion of text for display in a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return ``text`` with a question mark for each character that is not printable.

    Control characters, line breaks and the surrogates in names that are not UTF-8 are replaced.
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text)
