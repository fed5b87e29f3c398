"""A trained network as an MLflow model whose height and width are free."""

from __future__ import annotations

import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dgunet.system import leftovers
from dgunet.tracking.delivery.answers import own
from dgunet.tracking.delivery.arrived_files import settle_artifacts
from dgunet.tracking.journal.cursor import Cursor
from dgunet.tracking.journal.events import Event
from dgunet.tracking.journal.reading import JournalReader

LOADER = "dgunet.tracking.serving"
REQUIRED = ("torch", "numpy", "safetensors", "filelock")
"""What `LOADER` and the network import; MLflow adds itself."""

FOR_FILES = ("pillow", "opencv-python-headless", "psutil")
"""What restoring a picture by its path needs besides."""

EXAMPLE_SIDE = 16
"""Pixels of the input example: small, because MLflow keeps it as text."""


def log_model(
    client: Any, uri: object, reader: JournalReader, cursor: Cursor, event: Event
) -> None:
    """Deliver one ``network`` event: make the logged model, fill it, tie it to its run.

    The model's id goes into the cursor as soon as it is known, and its tag ``dgunet.event``, set in
    the call that makes it, finds it when the answer or the cursor was lost, so that a second
    attempt goes on with the same model.

    Raises:
        NotMlflowError: if no usable id comes back.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    number = event["number"]
    mark = f"{reader.id}:{number}"
    model = _known(client, cursor, number, mark)
    if model is None:
        cursor.models[number] = ""
        reader.save(cursor)
        model = client.create_logged_model(
            cursor.experiment_id,
            name=event["name"],
            source_run_id=cursor.run_id,
            tags={"dgunet.event": mark} | event["tags"],
            params=event["params"],
            model_type="dgunet",
        )
    cursor.models[number] = own(model.model_id, cursor.models.get(number) or None, uri)
    reader.save(cursor)
    if model.status != LoggedModelStatus.READY:
        # Within the journal, so that what a kill leaves goes with it.
        folder = reader.folder / leftovers.partial_name("model")
        try:
            save_model(folder, reader.folder / event["file"], event["channels"], model)
            client.log_model_artifacts(model.model_id, str(folder))
        finally:
            leftovers.remove(folder)
        settle_artifacts(model.artifact_location)
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    outputs = client.get_run(cursor.run_id).outputs
    if not outputs or model.model_id not in {m.model_id for m in outputs.model_outputs}:
        client.log_outputs(cursor.run_id, [LoggedModelOutput(model.model_id, event["step"])])


def find_model(client: Any, checkpoint: str) -> Any:
    """The newest finished model of the store with the weights of SHA-256 ``checkpoint``, or None.

    Raises:
        ValueError: for something that is no hexadecimal digest.
    """
    from mlflow.entities import LoggedModelStatus

    if not checkpoint.isalnum():
        raise ValueError(f"{checkpoint!r} is not a hexadecimal digest.")
    experiments = [found.experiment_id for found in client.search_experiments()]
    models = client.search_logged_models(experiments, f"tags.`checkpoint.sha256` = '{checkpoint}'")
    return next((model for model in models if model.status == LoggedModelStatus.READY), None)


def _known(client: Any, cursor: Cursor, number: str, mark: str) -> Any:
    if cursor.models.get(number):
        return client.get_logged_model(cursor.models[number])
    found = client.search_logged_models([cursor.experiment_id], f"tags.`dgunet.event` = '{mark}'")
    return found[0] if found else None


def save_model(path: Path, weights: Path, channels: int, logged: Any) -> None:
    """Write the MLflow model folder of ``weights`` (safetensors) to ``path``.

    Input and output are float32 (N, ``channels``, H, W) in [0, 1] with N, H and W free; an
    object array of paths or pictures passes MLflow's check of the signature as well. The
    folder holds a copy of this package, so that the model keeps the code it was made with.
    """
    import mlflow.pyfunc
    import numpy as np
    from mlflow.models import Model
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    images = TensorSpec(np.dtype(np.float32), (-1, channels, -1, -1))
    ramp = np.linspace(0, 1, EXAMPLE_SIDE, dtype=np.float32)
    example = np.broadcast_to(ramp, (1, channels, EXAMPLE_SIDE, EXAMPLE_SIDE)).round(3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(input|type) hint.*", UserWarning)
        mlflow.pyfunc.save_model(
            path,
            loader_module=LOADER,
            data_path=str(weights),
            code_paths=[str(Path(__file__).resolve().parents[2])],
            signature=ModelSignature(Schema([images]), Schema([images])),
            input_example=np.ascontiguousarray(example),
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIRED + FOR_FILES],
            mlflow_model=Model(
                artifact_path=logged.artifact_location,
                model_uuid=logged.model_id,
                run_id=logged.source_run_id,
                model_id=logged.model_id,
            ),
        )
