"""The only loader of model files, for agents, evaluations and the exporter's own check alike."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.errors import ModelError
from envs.types import HIDDEN_DIM, BoolArray, EnvSpec, FloatArray, IntArray
from protos import onnx_subset_pb2 as onnx_subset
from runtime.model_file.contract import (
    BATCH,
    DTYPES,
    NO_ACTION,
    OPSET,
    OUTPUTS,
    Interface,
    inputs_of,
    outputs_of,
)
from runtime.model_file.graph_checks import check_graph
from runtime.model_file.metadata import read_metadata, read_model_file, read_spec, refusal
from runtime.model_file.operators import GraphError
from runtime.model_file.wire import WireError, read_model

WARM_UP_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Model:
    """A checked policy: a function of what one agent sees and of the memory it is handed."""

    spec: EnvSpec
    metadata: dict[str, str]
    digest: str
    """SHA-256 of the file, in hexadecimal."""
    session: Any

    def step(
        self,
        obs: FloatArray,
        last_action: IntArray,
        agent_id: IntArray,
        avail_actions: BoolArray,
        hidden: FloatArray,
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """One step for B rows: greedy actions [B], advantages [B, A], next memory [B, H].

        obs [B, O] f32, last_action [B] i64 (-1: none yet), agent_id [B] i64, avail_actions [B, A] bool,
        hidden [B, H] f32. Nothing is kept between calls; contents are not checked here.
        """
        feeds = {
            "obs": obs,
            "last_action": last_action,
            "agent_id": agent_id,
            "avail_actions": avail_actions,
            "hidden": hidden,
        }
        action, advantages, next_hidden = self.session.run(OUTPUTS, feeds)
        return action, advantages, next_hidden

    def initial_hidden(self, n_rows: int) -> FloatArray:
        """The memory that an episode starts with: zeros [n_rows, H]."""
        return np.zeros((n_rows, HIDDEN_DIM), np.float32)


def zero_feeds(spec: EnvSpec) -> dict[str, npt.NDArray[Any]]:
    """Inputs for one row: agent 0 at the start of an episode, seeing zeros, every action available."""
    feeds = zeros(inputs_of(spec))
    feeds["last_action"][:] = NO_ACTION
    feeds["avail_actions"][:] = True
    return feeds


def zeros(values: Interface) -> dict[str, npt.NDArray[Any]]:
    """Arrays of zeros for one row."""
    return {
        name: np.zeros([1 if dim == BATCH else int(dim) for dim in shape], DTYPES[dtype])
        for name, (dtype, shape) in values.items()
    }


def load_model(path: Path | str, sha256: str | None = None) -> Model:
    """Read, check and warm up a model file; ModelError saying what is wrong with it.

    `sha256`: the digest that the file must have, in hexadecimal. The file is read once; onnxruntime is given
    those bytes and never the path, so it can follow no reference out of them.
    """
    return load_model_bytes(read_model_file(Path(path)), str(path), sha256)


def load_model_bytes(data: bytes, source: str, sha256: str | None = None) -> Model:
    """`load_model` for bytes that are here already; `source` names them in errors."""
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None:
        check_digest(digest, sha256, source)
    try:
        file = read_model(data)
        metadata = read_metadata(file)
        spec = read_spec(metadata)
        check_header(file)
        check_graph(file.graph, spec)
    except (WireError, GraphError) as error:
        raise refusal(source, error) from None
    model = Model(spec, metadata, digest, make_session(data, source))
    warm_up(model, source)
    return model


def check_digest(digest: str, wanted: str, source: str) -> None:
    """ModelError unless `wanted` is a SHA-256 and the file's own."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", wanted):
        raise ModelError(f"{wanted!r} is no SHA-256: 64 hexadecimal digits are needed")
    if digest != wanted.lower():
        raise ModelError(f"model file {source} has the SHA-256 {digest}, not {wanted.lower()}")


def check_header(file: onnx_subset.Model) -> None:
    """GraphError unless the file uses ONNX's own operators, in the version they were checked in."""
    opsets = [(opset.domain, opset.version) for opset in file.opset_import]
    if opsets != [("", OPSET)]:
        raise GraphError(f"it imports the operator sets {opsets}; ONNX's own, version {OPSET}, is allowed")


def import_onnxruntime() -> Any:
    """onnxruntime, kept from reporting to its makers: an agent talks to its host and to nobody else."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def make_session(data: bytes, source: str) -> Any:
    """An onnxruntime session on one thread, without an arena: agents are small and many."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 4  # what fails is raised; nothing is printed beside it
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base of their own
        raise ModelError(f"model file {source} is refused by onnxruntime: {error}") from None


def warm_up(model: Model, source: str) -> None:
    """Run the model once on zeros under a watchdog; ModelError unless the outputs are the contract's."""
    onnxruntime = import_onnxruntime()
    A = model.spec.n_actions
    options = onnxruntime.RunOptions()
    watchdog = threading.Timer(WARM_UP_TIMEOUT_S, setattr, (options, "terminate", True))
    watchdog.daemon = True
    try:
        watchdog.start()
    except RuntimeError as error:  # the system allows no further thread
        raise ModelError(f"model file {source} cannot be tried: {error}") from None
    try:
        outputs = model.session.run(OUTPUTS, zero_feeds(model.spec), options)
    except Exception as error:
        raise ModelError(f"model file {source} fails in a first run: {error}") from None
    finally:
        watchdog.cancel()
        watchdog.join()
    shapes = [(output.dtype, output.shape) for output in outputs]
    if shapes != [(wanted.dtype, wanted.shape) for wanted in zeros(outputs_of(model.spec)).values()]:
        raise ModelError(f"model file {source} gives outputs of wrong types or shapes: {shapes}")
    if not 0 <= outputs[0][0] < A:
        raise ModelError(f"model file {source} chooses action {outputs[0][0]} of {A}")
