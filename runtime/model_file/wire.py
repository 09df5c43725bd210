"""Reading an ONNX file strictly: only bytes that can be read in one way, and no field without a use.

The file is parsed with a schema of the few fields that an exported policy uses (protos/onnx_subset.proto)
and written again. Equal bytes prove that no field is unknown, given twice, out of order or encoded in another
way; so onnxruntime's parser sees exactly what is checked here.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from envs.errors import LanError
from protos.onnx_subset_pb2 import Model, Outline

MAX_REPEATED = 1024
"""Entries in one repeated field; the largest real one, the nodes of a graph, has at most 64."""
MAX_TEXT_BYTES = 64 * 1024
MAX_STRUCTURE_BYTES = 1 << 20
"""Bytes that are not initializers: parsed, a megabyte of empty messages takes 50 MB of memory."""


class WireError(LanError):
    """The bytes are no ONNX file of the accepted form; the text says where and why."""


def read_model(data: bytes) -> Model:
    """The file as a message; WireError unless it holds known fields only, written as protobuf writes them."""
    try:
        check_structure(data)
        model = Model.FromString(data)
    except (DecodeError, UnicodeDecodeError) as error:  # the second from protobuf without its C part
        raise WireError("it is damaged, cut off or no ONNX file") from error
    check_message(model, "model")
    model.DiscardUnknownFields()  # there are none left; if there were, the bytes would now differ
    again = model.SerializeToString(deterministic=True)
    if again != data:
        at = next((i for i, (a, b) in enumerate(zip(data, again, strict=False)) if a != b), len(again))
        raise WireError(
            f"from byte {at} on it is not as protobuf writes it: a field is given twice, out of order or "
            "packed, or a number is overlong"
        )
    return model


def check_structure(data: bytes) -> None:
    """WireError when so much of the file is not weights that parsing it could exhaust the memory."""
    initializers = Outline.FromString(data).graph.initializer
    if len(initializers) > MAX_REPEATED:
        raise WireError(f"model.graph.initializer has more than {MAX_REPEATED} entries")
    n_bytes = len(data) - sum(map(len, initializers))
    if n_bytes > MAX_STRUCTURE_BYTES:
        raise WireError(f"{n_bytes} of its bytes are not weights; at most {MAX_STRUCTURE_BYTES} are allowed")


def check_message(message: Message, where: str) -> None:
    """WireError that names the first unknown field, long list or long text of a message or one inside it."""
    unknown = UnknownFieldSet(message)
    if len(unknown) > 0:
        field = f"field {unknown[0].field_number} of wire type {unknown[0].wire_type}"
        raise WireError(f"{where} has {field}, which a policy file has no use for")
    for descriptor, value in message.ListFields():
        here = f"{where}.{descriptor.name}"
        entries = value if descriptor.is_repeated else [value]
        if len(entries) > MAX_REPEATED:
            raise WireError(f"{here} has more than {MAX_REPEATED} entries")
        for entry in entries:
            if isinstance(entry, Message):
                check_message(entry, here)
            elif isinstance(entry, str) and len(entry.encode()) > MAX_TEXT_BYTES:
                raise WireError(f"{here} is longer than {MAX_TEXT_BYTES} bytes")
