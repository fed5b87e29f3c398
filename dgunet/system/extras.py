"""The packages that only some commands need, and the extra of `dgunet` that installs each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

EXTRAS: Mapping[str, str] = MappingProxyType(
    {
        "mlflow": "tracking",
        "dvc": "dvc",
        "boto3": "s3",
        "botocore": "s3",
        "kfp": "pipeline",
        "kfp_server_api": "pipeline",
        "kubernetes": "pipeline",
        "kubeflow_trainer_api": "pipeline",
        "docker": "pipeline",
        "skimage": "sample",
        "onnx": "export",
        "onnxscript": "export",
        "onnxruntime": "export",
        "openvino": "openvino",
        "ncnn": "ncnn",
        "gradio": "demo",
    }
)
"""The extra by the name that is imported."""


def missing_extra(error: BaseException) -> str:
    """What to install after the failed import of a package of `EXTRAS`; "" for any other error."""
    name = (getattr(error, "name", None) or "").partition(".")[0]
    extra = EXTRAS.get(name)
    if not isinstance(error, ModuleNotFoundError) or extra is None:
        return ""
    return f"the package {name} is not installed. Install it with: pip install 'dgunet[{extra}]'"
