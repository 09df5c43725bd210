"""Learning: the only place with torch, which is imported when training begins.

from trainer import TrainConfig, train

result = train(TrainConfig(map="3m", steps=20_000), on_evaluation=print)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.config import TrainConfig
    from trainer.runs.training import Evaluation, TrainResult, train

__all__ = ["Evaluation", "TrainConfig", "TrainResult", "train"]

HOMES = {
    "TrainConfig": "trainer.config",
    "Evaluation": "trainer.runs.training",
    "TrainResult": "trainer.runs.training",
    "train": "trainer.runs.training",
}


def __getattr__(name: str) -> object:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(HOMES[name]), name)
