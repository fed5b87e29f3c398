"""KFP pipelines built from `components`; each module's ``build(place)`` gives one."""

NAMES = ("reproduce", "train_evaluate", "evaluate_checkpoint", "ablations")
