"""`PairStore`: a prepared store, verified when it is opened.

`dgunet.data.store.prepare` writes stores in one of two layouts that hold the same pixels:

``raw``: a crop is a NumPy view of the mapped file; nothing is decoded and nothing is copied. It
takes about twice the disk space of the PNG files that the pixels come from.

``compact``: losslessly compressed tiles (`dgunet.data.store.tiles`); about the size of PNG files,
and a crop decodes only the tiles it touches.
"""

from __future__ import annotations

from pathlib import Path

from dgunet.data.store import verification
from dgunet.data.store.manifest import PREPARE_AGAIN, StoreManifest
from dgunet.data.store.store_reader import StoreReader
from dgunet.system.errors import DataError


class PairStore(StoreReader):
    """A verified store: ``len(store)``, ``store[i]``, ``store.manifest``; see `PairStore.open`."""

    @classmethod
    def open(cls, folder: Path | str, *, check: bool = True, sealed: bool = True) -> PairStore:
        """Open the store in ``folder`` and check its manifest and its files.

        On first use, and after a change of a file, all files are read once, see
        `dgunet.data.store.verification`. After that, the time to open a store does not depend on
        its number of pairs.

        Args:
            folder: folder of the store.
            check: verify the pixels on first use and after a change, not only the file sizes.
            sealed: check the seal of the manifest too.

        Raises:
            DataError: if there is no store, a file is missing or has another size, or its pixels
                or its manifest changed since the preparation, or it is not sealed.
        """
        folder = Path(folder)
        manifest = StoreManifest.read(folder, sealed=False)
        held = sum(shard.records for shard in manifest.shards)
        if held != manifest.count:
            raise DataError(
                f"{folder / 'manifest.json'} lists {manifest.count} records, its files {held}.",
                PREPARE_AGAIN,
            )
        for shard in manifest.shards:
            path = folder / shard.file
            size = path.stat().st_size if path.is_file() else None
            if size != shard.bytes:
                found = "is missing" if size is None else f"has {size} bytes"
                raise DataError(f"{path} {found}, expected {shard.bytes} bytes.", PREPARE_AGAIN)
        verification.check_manifest(manifest, folder)
        store = cls(folder, manifest)
        if check:
            verification.ensure_verified(store)
        if sealed:  # at the end, because the other checks name the field
            manifest.check_sealed(folder)
        return store

    def verify(self) -> None:
        """Read every file and compare its SHA-256 and the digest of the pixels with the manifest.

        Raises:
            DataError: as `dgunet.data.store.verification.verify`.
        """
        verification.verify(self)
