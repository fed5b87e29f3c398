"""Overlaps of training and test sets as data: which test images a training set has seen.

A record states what one check of two sets found; no image in common is a finding too. Pairs of sets
without a record were not checked.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dgunet.data.catalogue.entries import dataset
from dgunet.system.errors import DataError
from dgunet.system.files import write_json
from dgunet.system.reading import read_mapping, shorten

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

AGAIN = "Write it again with `dgunet data check --overlaps FILE`."


class OverlapRecord(BaseModel):
    """The test images whose photographs a training set has.

    Attributes:
        train, test: catalogue names of the sets.
        train_digest, test_digest: SHA-256 of their prepared stores; the record holds for these
            pixels and names only.
        train_pairs: number of pairs of the training set that were compared.
        complete: whether these are the whole published training set. A part cannot show that a
            test image was not seen.
        images: ids of the shared test images, sorted; empty if none is shared.
        found: how the images were compared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    train: str = Field(min_length=1)
    train_digest: Digest
    test: str = Field(min_length=1)
    test_digest: Digest
    train_pairs: int = Field(gt=0)
    complete: bool
    images: list[Annotated[str, Field(min_length=1)]]
    found: str = Field(min_length=1)


def read_overlaps(path: Path) -> list[OverlapRecord]:
    """Read the records that `write_overlaps` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        DataError: naming the file, the record and the field that is missing or wrong.
    """
    content = read_mapping(path)
    if set(content) != {"overlaps"} or not isinstance(content["overlaps"], list):
        raise DataError(f"{path} is not a file of overlaps.", AGAIN)
    return check_records(content["overlaps"], str(path), hint=AGAIN)


def check_records(content: Iterable[Any], origin: str, *, hint: str) -> list[OverlapRecord]:
    """The records in ``content``: fields of the right type, known sets, no id twice.

    Raises:
        DataError: naming ``origin``, the record's number and the fault.
    """
    records = []
    for number, entry in enumerate(content, start=1):
        where = f"{origin}, record {number}"
        try:
            record = OverlapRecord.model_validate(entry)
        except ValidationError as error:
            fault = error.errors()[0]
            field = ".".join(map(str, fault["loc"])) or "record"
            raise DataError(
                f"{where}: {field} is {shorten(fault['input'])} ({fault['msg']}).", hint
            ) from None
        for name, role in ((record.train, "train"), (record.test, "test")):
            if dataset(name).role != role:
                raise DataError(f"{where}: {name} is not a {role} set.", hint)
        if record.images != sorted(set(record.images)):
            raise DataError(f"{where}: images are not sorted, or one occurs twice.", hint)
        records.append(record)
    return records


def write_overlaps(records: Iterable[OverlapRecord], path: Path) -> None:
    """Write records as JSON, sorted; records of the same two sets and digests replace older ones.

    The records of other sets that are already in the file are kept.

    Raises:
        DataError: if ``path`` exists and is not such a file.
    """
    kept = read_overlaps(path) if path.is_file() else []
    found = {_key(record): record for record in (*kept, *records)}
    content = [found[key].model_dump() for key in sorted(found)]
    write_json(path, {"overlaps": content})


def _key(record: OverlapRecord) -> tuple[str, str, str, str]:
    return record.train, record.train_digest, record.test, record.test_digest
