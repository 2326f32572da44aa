"""TensorFlow checkpoints in the layout of the published training code, for tests."""

from tests.checkpoints.published import (
    ATTRIBUTE,
    CELL,
    INPUT_LAYER,
    Variables,
    model_variables,
    optimizer_variables,
    save,
    save_trained,
    tensorflow,
)

__all__ = [
    "ATTRIBUTE",
    "CELL",
    "INPUT_LAYER",
    "Variables",
    "model_variables",
    "optimizer_variables",
    "save",
    "save_trained",
    "tensorflow",
]
