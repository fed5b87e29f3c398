"""A training step over several nodes, its volume and a stand-in for the Kubernetes API."""

import pytest
from kfp import dsl

from dgunet.kubeflow.trainer.api import TrainJobs
from dgunet.kubeflow.trainer.multi_node import NodeSettings, NodeTraining, train_on_nodes
from dgunet.kubeflow.trainer.shared_volume import SharedFolders
from dgunet.kubeflow.trainer.trainjob import job_name
from dgunet.system.errors import DgunetError

KEY = "derain-DGUNet"


class Step:
    """A pipeline step with its volume, the settings of its task and the stand-in."""

    def __init__(self, cluster, folder, store):
        self.cluster, self.store = cluster, store
        self.volume, self.out = folder / "volume", folder / "out" / "model"
        self.volume.mkdir()
        self.shared = self.volume / "shared"
        self.name = job_name("run-1", KEY)
        self.folders = SharedFolders(self.shared, self.name)
        self.nodes = NodeSettings(
            2, "dgunet-torch", str(self.shared), "i@sha256:0", poll=0.01, restarts=2, patience=0.1
        )
        claim = {"name": "v", "persistentVolumeClaim": {"claimName": "v"}}
        self.config = dsl.TaskConfig(
            volumes=[claim],
            volume_mounts=[{"name": "v", "mountPath": str(self.volume)}],
            env=[{"name": "DGUNET_TRACKING", "value": "off"}],
            resources={"limits": {"cpu": "1"}},
        )

    def run(self, **changes):
        return train_on_nodes(
            self.training,
            self.nodes,
            changes.pop("config", self.config),
            TrainJobs(self.cluster.api(), "runs", patience=changes.pop("patience", 0.1)),
        )

    @property
    def training(self):
        """The training of the step."""
        return NodeTraining(
            "text: of params\n", "derain", "DGUNet", None, store=self.store, out=self.out
        )

    def trains(self, job):
        """The moment in which the nodes write their network."""
        self.folders.model.mkdir(parents=True)
        (self.folders.model / "network.safetensors").write_bytes(b"weights")
        (self.folders.model / "loss.csv").write_text("step,loss\n")
        (self.folders.model / "training.json").write_text('{"selection": "last", "loss_last": 0.5}')

    def fails(self, match, **changes):
        with pytest.raises(DgunetError, match=match) as failure:
            self.run(**changes)
        assert len(str(failure.value).splitlines()) == 1
        assert self.name not in self.cluster.jobs
        return str(failure.value)
