"""The last step of every pipeline; it also runs after a failure."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def finish(status: dsl.PipelineTaskFinalStatus):
    """Close the campaign in MLflow and report what failed.

    Args:
        status: final state of the pipeline, set by Kubeflow.
    """
    from dgunet.kubeflow.steps.close_campaign import close_campaign

    print(close_campaign(status.state, status.pipeline_task_name, status.error_message or ""))
