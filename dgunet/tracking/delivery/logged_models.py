"""A trained network as an MLflow model for images of any size."""

from __future__ import annotations

import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dgunet.system import leftovers
from dgunet.tracking.delivery.answers import checked_id
from dgunet.tracking.delivery.arrived_files import settle_artifacts
from dgunet.tracking.journal.cursor import Cursor
from dgunet.tracking.journal.events import Event
from dgunet.tracking.journal.reading import JournalReader
from dgunet.tracking.serving import ENCODED

LOADER = "dgunet.tracking.serving"
REQUIRED = ("torch", "numpy", "safetensors", "filelock")
"""Requirements of `LOADER` and the network; MLflow adds itself to the list."""

FOR_FILES = ("pillow", "opencv-python-headless", "psutil")
"""Further requirements for restoring an image given by its path."""

EXAMPLE_SIDE = 16
"""Side of the input example in pixels; small, because MLflow stores it as text."""


def log_model(
    client: Any, uri: object, reader: JournalReader, cursor: Cursor, event: Event
) -> None:
    """Deliver one ``network`` event: create the logged model, upload it, link it to its run.

    The id of the model is saved in the cursor as soon as it is known. If the answer or the cursor
    is lost, a second attempt finds the same model by its tag ``dgunet.event``, which is set in the
    call that creates the model.

    Raises:
        NotMlflowError: if the answer contains no usable id.
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
    cursor.models[number] = checked_id(model.model_id, cursor.models.get(number) or None, uri)
    reader.save(cursor)
    if model.status != LoggedModelStatus.READY:
        # In the journal's folder, so that leftovers of a kill are removed with it.
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
    """The newest finished model of the store whose weights have this SHA-256, or None.

    Raises:
        ValueError: if ``checkpoint`` is not a hexadecimal digest.
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

    Input and output are float32 (N, ``channels``, H, W) in [0, 1], with any N, H and W. MLflow's
    check of the signature also accepts an object array of paths or images. The folder contains a
    copy of this package, so that the model keeps the code it was made with.
    """
    import mlflow.pyfunc
    import numpy as np
    from mlflow.models import Model
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    images = TensorSpec(np.dtype(np.float32), (-1, channels, -1, -1))
    # Text is not a tensor, so images in files are a parameter of the request.
    encoded = ParamSchema([ParamSpec(ENCODED, "string", [], shape=(-1,))])
    ramp = np.linspace(0, 1, EXAMPLE_SIDE, dtype=np.float32)
    example = np.broadcast_to(ramp, (1, channels, EXAMPLE_SIDE, EXAMPLE_SIDE)).round(3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(input|type) hint.*", UserWarning)
        mlflow.pyfunc.save_model(
            path,
            loader_module=LOADER,
            data_path=str(weights),
            code_paths=[str(Path(__file__).resolve().parents[2])],
            signature=ModelSignature(Schema([images]), Schema([images]), encoded),
            input_example=np.ascontiguousarray(example),
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIRED + FOR_FILES],
            mlflow_model=Model(
                artifact_path=logged.artifact_location,
                model_uuid=logged.model_id,
                run_id=logged.source_run_id,
                model_id=logged.model_id,
            ),
        )
