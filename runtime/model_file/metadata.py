"""What a model file says of itself: its environment and where it comes from. Nothing is run."""

from __future__ import annotations

import os
from pathlib import Path

from envs.errors import InputError, ModelError
from envs.files import read_regular
from envs.kinds import MODEL, WHENCE, instead, is_other, kind_of_bytes, unlike
from envs.types import CONTRACT_VERSION, MAX_MAP_BYTES, OLD_BATTLEFIELD, EnvSpec
from protos import onnx_subset_pb2 as onnx_subset
from runtime.model_file.contract import METADATA_CONTRACT_VERSION, METADATA_MAP, METADATA_SPEC
from runtime.model_file.operators import GraphError
from runtime.model_file.wire import WireError, read_model

MAX_MODEL_BYTES = 4_000_000
MAX_SPEC_CHARS = 4096


def environment_in(path: Path) -> tuple[EnvSpec, str | None]:
    """The environment that a model file was made for, and the text of its map if that is one of one's own.

    ModelError where it is no model file. The graph is not looked at.
    """
    data = read_model_file(path)
    try:
        metadata = read_metadata(read_model(data))
        return read_spec(metadata), metadata.get(METADATA_MAP)
    except (WireError, GraphError) as error:
        raise refusal(str(path), error) from None


def refusal(source: str, reason: Exception) -> ModelError:
    """The error for a model file that cannot be used for this `reason`."""
    return ModelError(f"model file {source} is refused: {reason}; {WHENCE[MODEL]}")


def read_model_file(path: Path) -> bytes:
    """The bytes of a regular file of at most 4 MB; ModelError otherwise, and where it is a checkpoint."""
    try:
        data = read_regular(path, MAX_MODEL_BYTES)
    except OSError as error:
        hint = "" if os.path.lexists(path) else f"; {WHENCE[MODEL]}"
        raise ModelError(f"model file {path} cannot be read: {error.strerror}{hint}") from None
    except InputError as error:
        raise ModelError(unlike(path, MODEL) if path.is_dir() else f"model file {error}") from None
    if is_other(found := kind_of_bytes(data), MODEL):
        raise ModelError(f"{path} is {instead(found, MODEL)}")
    return data


def read_metadata(file: onnx_subset.Model) -> dict[str, str]:
    """The file's metadata; GraphError when a key stands twice or the map is too long."""
    metadata = {entry.key: entry.value for entry in file.metadata_props}
    if len(metadata) != len(file.metadata_props):
        raise GraphError("a metadata key stands twice")
    if len(metadata.get(METADATA_MAP, "").encode()) > MAX_MAP_BYTES:
        raise GraphError(f"its map is longer than {MAX_MAP_BYTES} bytes")
    return metadata


def read_spec(metadata: dict[str, str]) -> EnvSpec:
    """The environment that the model was trained for; GraphError when missing or of another contract."""
    version = metadata.get(METADATA_CONTRACT_VERSION)
    if version is None or METADATA_SPEC not in metadata:
        raise GraphError("it was not exported by this project (no contract version or spec in its metadata)")
    if version == "1":
        raise GraphError(f"it is of {OLD_BATTLEFIELD}")
    if version != str(CONTRACT_VERSION):
        raise GraphError(f"it is of contract version {version[:20]!r}; this runtime knows {CONTRACT_VERSION}")
    if len(metadata[METADATA_SPEC]) > MAX_SPEC_CHARS:
        raise GraphError(f"its spec is longer than {MAX_SPEC_CHARS} characters")
    try:
        spec = EnvSpec.from_json(metadata[METADATA_SPEC])
    except ValueError as error:
        raise GraphError(str(error)) from None
    except RecursionError:
        raise GraphError("its spec is nested too deeply") from None
    if spec.contract_version != CONTRACT_VERSION:
        raise GraphError(f"its spec is of contract version {spec.contract_version}, not {CONTRACT_VERSION}")
    dims = (spec.n_agents, spec.n_actions, spec.obs_dim, spec.state_dim, spec.unit_dim, spec.episode_limit)
    if not all(0 < dim < 1 << 31 for dim in dims):
        raise GraphError("its spec has a dimension that is not positive")
    return spec
