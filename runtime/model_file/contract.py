"""What the exporter writes and the runtime requires: the graph's interface, versions and metadata keys."""

from __future__ import annotations

import numpy as np

from envs.types import HIDDEN_DIM, EnvSpec

OPSET = 17
IR_VERSION = 8
"""The file format that opset 17 came with; a newer one would only shut out older runtimes."""

# Keys of the file's metadata. The first two are required, the others are provenance.
METADATA_CONTRACT_VERSION = "lan.contract_version"
METADATA_SPEC = "lan.spec"
METADATA_ALGORITHM = "lan.algorithm"
METADATA_SHARING = "lan.sharing"
METADATA_BACKEND = "lan.backend"
METADATA_ENV_STEPS = "lan.env_steps"
METADATA_WIN_RATE = "lan.win_rate"
METADATA_CONFIG_SHA256 = "lan.config_sha256"
METADATA_PROJECT_VERSION = "lan.project_version"
METADATA_MAP = "lan.map"
"""The map of one's own that it was trained on, as JSON; missing for other environments and in older files."""

NO_ACTION = -1
"""`last_action` before the first step of an episode."""

FLOAT, INT64, BOOL = 1, 7, 9  # TensorProto.DataType
DTYPES: dict[int, type[np.generic]] = {FLOAT: np.float32, INT64: np.int64, BOOL: np.bool_}
BATCH = "batch"

Dim = int | str
Interface = dict[str, tuple[int, tuple[Dim, ...]]]
"""Type and shape of values by name, in the order of the file."""

OUTPUTS = ["action", "advantages", "next_hidden"]


def inputs_of(spec: EnvSpec) -> Interface:
    """The graph's inputs: what one agent sees and remembers, for each row of the batch."""
    O, A, H = spec.obs_dim, spec.n_actions, HIDDEN_DIM
    return {
        "obs": (FLOAT, (BATCH, O)),
        "last_action": (INT64, (BATCH,)),
        "agent_id": (INT64, (BATCH,)),
        "avail_actions": (BOOL, (BATCH, A)),
        "hidden": (FLOAT, (BATCH, H)),
    }


def outputs_of(spec: EnvSpec) -> Interface:
    """The graph's outputs: the greedy action, the advantages behind it and the next memory."""
    A, H = spec.n_actions, HIDDEN_DIM
    values = (INT64, (BATCH,)), (FLOAT, (BATCH, A)), (FLOAT, (BATCH, H))
    return dict(zip(OUTPUTS, values, strict=True))
