"""Safe access to untrusted HDF5 files, whose links and values may refer to any other file."""

from __future__ import annotations

from typing import Any


def own_item(group: Any, name: str) -> Any:
    """Group or dataset ``name`` of ``group``, which must be stored in the same file.

    Raises:
        KeyError: if it does not exist.
        ValueError: if it is a link, or its values are stored in another file.
    """
    import h5py  # here, because only the MATLAB datasets need it

    link = group.get(name, getlink=True)
    if link is not None and not isinstance(link, h5py.HardLink):
        raise ValueError(f"{name} is a link")
    found = group[name]
    return own_data(found) if isinstance(found, h5py.Dataset) else found


def own_data(data: Any) -> Any:
    """Return ``data``, an HDF5 dataset, if its values are stored in the same file.

    Raises:
        ValueError: if they are stored elsewhere.
    """
    if data.external or data.is_virtual:
        raise ValueError(f"{data.name} takes its values from another file")
    return data
