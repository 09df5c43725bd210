"""Stands before every handler: the caller is checked, peers have deadlines, and errors reveal nothing.

By itself grpc.aio calls the handler of a single message only once that is there, waits for it for ever, and
answers a malformed one, and every error, with the exception's own text. So every method is given to it as one
of streams, which is the same to the client, and called at once.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from envs.text import one_line
from protos.contract import ERROR_DOMAIN, SERVICE_NAME, STATUS_DETAILS_KEY
from runtime.agent.calls import CURRENT, PEER_S, Call, Calls
from runtime.agent.episodes import RequestError
from runtime.identity.tls import HOST_URI

log = logging.getLogger("lan.agent")

URI_TAG = 0x86
"""Before a certificate's URI stands this byte, then the length (RFC 5280, GeneralName)."""

EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]


@dataclass(frozen=True)
class GuardedHandler:
    """A method's handler as grpc.aio reads it, and the method's kind by the names of gRPC's metrics."""

    kind: str
    request_deserializer: Callable[[bytes], Any] | None
    response_serializer: Callable[[Any], bytes] | None
    stream_unary: Callable[[Any, Any], Awaitable[Any]] | None
    stream_stream: Callable[[Any, Any], Awaitable[Any]] | None
    request_streaming: bool = True

    @property
    def response_streaming(self) -> bool:
        """Whether it answers with more than one message."""
        return self.stream_stream is not None


class Idle:
    """How long a stream may be without a message, and what it is ended with after that."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.error = RequestError("UNAVAILABLE", "IDLE", f"the stream was idle for {limit_s:g} s")


class Guard(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Wraps every handler: the caller is checked, messages are decoded with care, errors become statuses.

    `check_caller(context)` raises RequestError for a caller that may not call; `on_refusal` is called with
    every error that a client is sent. A stream is ended after `idle_s` seconds without a message.
    """

    def __init__(
        self,
        calls: Calls,
        idle_s: float,
        check_caller: Callable[[Any], None] = lambda context: None,
        on_refusal: Callable[[RequestError], None] = lambda error: None,
    ) -> None:
        self._calls = calls
        self._idle = Idle(idle_s)
        self._check_caller = check_caller
        self._on_refusal = on_refusal
        self._handlers: dict[str, GuardedHandler] = {}

    async def intercept_service(  # type: ignore[override]
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> GuardedHandler:
        """The handler of a call, wrapped; one that refuses where there is none."""
        CURRENT.get().handler = asyncio.current_task()
        handler = self._handlers.get(details.method)
        if handler is None:
            handler = self._wrap(await continuation(details), details.method)
            self._handlers[details.method] = handler
        return handler

    def _wrap(self, handler: Any, method: str) -> GuardedHandler:
        if handler is None:
            return GuardedHandler("unary", None, None, self._guarded(no_such_method, True, False, Peer), None)
        takes_many, gives_many = handler.request_streaming, handler.response_streaming
        kind = {(False, False): "unary", (False, True): "server_stream", (True, True): "bidi_stream"}
        name = f"{'stream' if takes_many else 'unary'}_{'stream' if gives_many else 'unary'}"
        new_peer = Listener if gives_many and not takes_many else Peer
        is_policy = method.startswith(f"/{SERVICE_NAME}/")
        guarded = self._guarded(getattr(handler, name), takes_many, is_policy, new_peer)
        return GuardedHandler(
            kind[takes_many, gives_many],
            guarded_decoder(handler.request_deserializer),
            handler.response_serializer,
            None if gives_many else guarded,
            guarded if gives_many else None,
        )

    def _guarded(
        self,
        behavior: Callable[[Any, Any], Any],
        takes_many: bool,
        is_policy: bool,
        new_peer: type[Peer],
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        """A handler, written as a coroutine or as an async generator, whose failures end in `_refuse`."""

        async def call(requests: Any, context: Any) -> Any:
            open_call = CURRENT.get()
            peer = new_peer(context, open_call, self._calls, is_policy, self._idle)
            try:
                self._check_caller(context)
                reply = behavior(peer if takes_many else await peer.read_only(), peer)
                if inspect.isawaitable(reply):
                    return await reply
                async for message in reply:
                    await peer.write(message)
            except grpc.aio.AbortError:
                raise
            except grpc.aio.InternalError:  # what was to be sent could not be: the peer is gone
                raise asyncio.CancelledError from None
            except asyncio.CancelledError:
                if open_call.ending is None:
                    raise
                await self._refuse(context, open_call.ending)
            except Exception as error:
                await self._refuse(context, error)

        return call

    async def _refuse(self, context: Any, error: Exception) -> NoReturn:
        """End the call with the status of `error`; of an unexpected one the client learns nothing."""
        if not isinstance(error, RequestError):
            log.error("a request failed unexpectedly", exc_info=error)
            error = RequestError("INTERNAL", "INTERNAL", "internal error")
        else:
            level = logging.WARNING if error.code == "PERMISSION_DENIED" else logging.INFO
            peer = one_line(context.peer() or "an address that is closed already")
            facts = {"code": error.code, "reason": error.reason, "field": error.field, "peer": peer}
            log.log(level, "refused: %s (%s), from %s", error.message, error.reason, peer, extra=facts)
        self._on_refusal(error)
        trailers = ((STATUS_DETAILS_KEY, status_details(error)),)
        try:
            await context.abort(grpc.StatusCode[error.code], error.message, trailers)
        except grpc.aio.InternalError:
            raise asyncio.CancelledError from None
        raise AssertionError("abort returned")


class Peer:
    """A call's context whose messages have deadlines: each way of waiting says until when it may last.

    The call counts from its first message on. Iterating reads the messages. Reading and writing are no
    coroutines: they hand on grpcio's own, which is the way of every step.
    """

    def __init__(self, context: Any, call: Call, calls: Calls, is_policy: bool, idle: Idle) -> None:
        self._context = context
        self._call = call
        self._calls = calls
        self._is_policy = is_policy
        self._idle = idle

    def read(self) -> Awaitable[Any]:
        """The next message, or EOF; RequestError where it cannot be read, or too many calls are open."""
        if self._call.is_admitted is None:
            return self._read_first()
        self.rest()
        return self._context.read()  # type: ignore[no-any-return]

    def write(self, message: Any) -> Awaitable[None]:
        """Send a message."""
        self._call.until_s = time.monotonic() + PEER_S
        self._call.is_writing = True
        return self._context.write(message)  # type: ignore[no-any-return]

    def rest(self) -> None:
        """Let the call be quiet for as long as a stream may."""
        self._call.until_s = time.monotonic() + self._idle.limit_s
        self._call.overdue = self._idle.error
        self._call.is_writing = False

    async def read_only(self) -> Any:
        """The one message of a call that asks with no stream."""
        message = await self._read_first()
        if message is EOF:
            raise RequestError("INVALID_ARGUMENT", "NO_MESSAGE", "no message came, or one over 64 KB")
        return message

    async def _read_first(self) -> Any:
        message = await self._context.read()
        if message is not EOF:
            self._calls.admit(self._call, self._is_policy)
        return message

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (message := await self.read()) is not EOF:
            yield message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


class Listener(Peer):
    """The peer of a call that asks once and is answered again and again, when something happens."""

    async def write(self, message: Any) -> None:
        """Send a message; then the call may be quiet."""
        await super().write(message)
        self.rest()


async def no_such_method(requests: Any, context: Any) -> NoReturn:
    """The handler of every method that there is not."""
    raise RequestError("UNIMPLEMENTED", "UNKNOWN_METHOD", "there is no such method")


def guarded_decoder(deserializer: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """A deserializer that raises RequestError for what is no message."""

    def decode(data: bytes) -> Any:
        try:
            return deserializer(data)
        except DecodeError:
            raise RequestError("INVALID_ARGUMENT", "MALFORMED_MESSAGE", "the message is malformed") from None

    return decode


def check_caller_is_host(context: Any) -> None:
    """RequestError unless the certificate that the caller showed is the host's."""
    facts = context.auth_context()
    shown = [name.decode(errors="replace") for name in facts.get("peer_spiffe_id", ())]
    if shown != [HOST_URI] or not all(names_the_host(pem) for pem in facts.get("x509_pem_cert", [b""])):
        who = ", ".join(shown) or "a certificate without a name"
        raise RequestError("PERMISSION_DENIED", "NOT_THE_HOST", f"only the host may call, not {who}")


@functools.lru_cache(maxsize=64)
def names_the_host(pem: bytes) -> bool:
    """Whether a certificate holds the host's name whole; gRPC cuts a longer name at a zero byte."""
    try:
        der = ssl.PEM_cert_to_DER_cert(pem.decode("ascii"))
    except ValueError:
        return False
    name = HOST_URI.encode()
    return bytes([URI_TAG, len(name)]) + name in der


def status_details(error: RequestError) -> bytes:
    """A serialized google.rpc.Status with ErrorInfo, and with BadRequest where a field is to blame."""
    metadata = dict(error.metadata)
    if error.field:
        metadata["field"] = error.field
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=metadata)
    details = [any_pb2.Any()]
    details[0].Pack(info)
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message)
        details.append(any_pb2.Any())
        details[1].Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    status = status_pb2.Status(code=code_pb2.Code.Value(error.code), message=error.message, details=details)
    data: bytes = status.SerializeToString()
    return data
