"""Wraps every handler so that malformed messages and unexpected errors reveal nothing to the client.

By itself grpc.aio answers both with the exception's own text, and logs a traceback for every malformed one.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from protos.contract import ERROR_DOMAIN, STATUS_DETAILS_KEY
from runtime.agent.episodes import RequestError
from runtime.identity.tls import HOST_URI

log = logging.getLogger("lan.agent")


class Guard(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Wraps every handler: the caller is checked, messages are decoded with care, errors become statuses.

    `check_caller(context)` raises RequestError for a caller that may not call; `on_refusal` is called with
    every error that a client is sent.
    """

    def __init__(
        self,
        check_caller: Callable[[Any], None] | None = None,
        on_refusal: Callable[[RequestError], None] | None = None,
    ) -> None:
        self._check_caller = check_caller
        self._on_refusal = on_refusal

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """The handler of a call, wrapped; None where there is none."""
        handler = await continuation(details)
        if handler is None:
            return None
        decode = guarded_decoder(handler.request_deserializer)
        if (
            handler.request_streaming
        ):  # the handler reads its messages itself, so that it meets decode's errors
            guarded = self._guarded(handler.stream_stream)
            return handler._replace(request_deserializer=decode, stream_stream=guarded)
        # grpc.aio decodes a single message before it calls the handler, and answers an error of that by
        # itself. Without a deserializer it hands over the bytes, and the handler decodes them.
        kind = "unary_unary" if handler.unary_unary is not None else "unary_stream"
        behavior = getattr(handler, kind)
        guarded = self._guarded(lambda data, context: behavior(decode(data), context))
        return handler._replace(request_deserializer=None, **{kind: guarded})

    def _guarded(self, behavior: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Awaitable[Any]]:
        """A handler, written as a coroutine or as an async generator, whose failures end in `_refuse`."""

        async def call(request: Any, context: Any) -> Any:
            try:
                self._check(context)
                reply = behavior(request, context)
                if inspect.isawaitable(reply):
                    return await reply
                async for message in reply:
                    await context.write(message)
            except grpc.aio.AbortError:
                raise
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
            facts = {"code": error.code, "reason": error.reason, "field": error.field}
            log.log(level, "refused: %s (%s)", error.message, error.reason, extra=facts)
        if self._on_refusal is not None:
            self._on_refusal(error)
        trailers = ((STATUS_DETAILS_KEY, status_details(error)),)
        await context.abort(grpc.StatusCode[error.code], error.message, trailers)
        raise AssertionError("abort returned")

    def _check(self, context: Any) -> None:
        if self._check_caller is not None:
            self._check_caller(context)


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
    shown = [name.decode(errors="replace") for name in context.auth_context().get("peer_spiffe_id", ())]
    if shown != [HOST_URI]:
        who = ", ".join(shown) or "a certificate without a name"
        raise RequestError("PERMISSION_DENIED", "NOT_THE_HOST", f"only the host may call, not {who}")


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
