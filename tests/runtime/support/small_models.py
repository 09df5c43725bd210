"""Model files with random weights, as the exporter writes them."""

from __future__ import annotations

import numpy as np

from envs.types import EnvSpec
from exporters.model import build_model
from runtime.model_file.contract import METADATA_CONTRACT_VERSION, METADATA_SPEC
from tests.runtime.support.tag_env import SPEC


def random_weights(spec: EnvSpec, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    H = 64
    shapes = {
        "fc1.weight": (H, spec.obs_dim + spec.n_actions + spec.n_agents),
        "fc1.bias": (H,),
        "gru.weight_ih": (3 * H, H),
        "gru.weight_hh": (3 * H, H),
        "gru.bias_ih": (3 * H,),
        "gru.bias_hh": (3 * H,),
        "fc2.weight": (spec.n_actions, H),
        "fc2.bias": (spec.n_actions,),
    }
    return {name: (0.4 * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}


def model_bytes(spec: EnvSpec = SPEC, seed: int = 1, weights: dict[str, np.ndarray] | None = None) -> bytes:
    metadata = {
        METADATA_CONTRACT_VERSION: str(spec.contract_version),
        METADATA_SPEC: spec.to_json(),
    }
    return build_model(weights or random_weights(spec, seed), spec, metadata)
