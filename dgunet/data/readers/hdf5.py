"""HDF5 files of strangers: their links and values may name any other file of the machine."""

from __future__ import annotations

from typing import Any


def own(group: Any, name: str) -> Any:
    """A part of an HDF5 file that lies in this file: a link may name another one.

    Raises:
        KeyError: if there is none.
        ValueError: if it, or its values, lie in another file.
    """
    import h5py

    link = group.get(name, getlink=True)
    if link is not None and not isinstance(link, h5py.HardLink):
        raise ValueError(f"{name} is a link")
    found = group[name]
    return own_data(found) if isinstance(found, h5py.Dataset) else found


def own_data(data: Any) -> Any:
    """A dataset whose values lie in this file.

    Raises:
        ValueError: if they lie in another one.
    """
    if data.external or data.is_virtual:
        raise ValueError(f"{data.name} takes its values from another file")
    return data
