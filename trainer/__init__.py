"""Learning; torch is imported when training begins, not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envs.lazy import lazy_names

if TYPE_CHECKING:
    from trainer.config import TrainConfig
    from trainer.runs.training import Evaluation, TrainResult, resume, train

__all__ = ["Evaluation", "TrainConfig", "TrainResult", "resume", "train"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "TrainConfig": "trainer.config",
        **dict.fromkeys(["Evaluation", "TrainResult", "resume", "train"], "trainer.runs.training"),
    },
)
