"""Every open call, from its headers to its last byte: which ones count, and how long a peer may take.

grpc.aio waits for ever for a peer that sends no message or takes no answer; and since 1.84 (grpc/grpc#41796)
the loop that accepts its calls decodes each path, and ends for good at one that is no UTF-8. So the calls are
accepted here, with grpcio's own parts, and each one's task is known.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from typing import Any

import grpc
from grpc._cython import cygrpc
from grpc.aio import _server

from envs.errors import InputError
from runtime.agent.episodes import RequestError

PEER_S = 5.0
"""How long a peer may take to send a call's first message, and to take an answer."""
END_S = 3.0
"""How long a peer may take to take the status of a call that was ended here."""
SIDE_CALLS = 8
"""Calls of other services, such as health, that may be open beside those of the policy."""
UNADMITTED_CALLS = 256
"""Calls that may be open without a message, or refused and not yet gone."""
NO_MESSAGE = RequestError("DEADLINE_EXCEEDED", "NO_MESSAGE", f"no message came within {PEER_S:g} s")


class Call:
    """An open call: its tasks, and until when its peer must do what it is waited for."""

    __slots__ = ("ending", "handler", "is_admitted", "is_writing", "overdue", "task", "until_s")

    def __init__(self, task: asyncio.Task[Any], until_s: float) -> None:
        self.task = task
        """The whole call."""
        self.handler: asyncio.Task[Any] | None = None
        """The part in which a status can be sent."""
        self.until_s = until_s
        self.overdue = NO_MESSAGE
        """What the peer is told when it is late."""
        self.is_admitted: bool | None = None
        """True as a call of the policy, False as another one."""
        self.is_writing = False
        """Whether a message is on its way; gRPC takes no status before that has left."""
        self.ending: RequestError | None = None
        """What the handler is to tell the peer when it is cancelled."""

    def end(self, why: RequestError, now_s: float) -> bool:
        """End the call with a status; cut it off where none can be sent, and return whether that was so."""
        is_running = self.handler is not None and not self.handler.done()
        can_tell = is_running and not self.is_writing and self.ending is None
        self.ending, self.until_s = (why if can_tell else None), now_s + END_S
        if self.handler is not None:
            self.handler.cancel()
        if not can_tell:
            self.task.cancel()
        return not can_tell


CURRENT: contextvars.ContextVar[Call] = contextvars.ContextVar("call")
"""The call that a handler runs for."""


class Calls:
    """The open calls of one server. They count from their message on: at most `most` of the policy's.

    `side`: how many of other services there may be.
    """

    def __init__(self, most: int, side: int = SIDE_CALLS) -> None:
        self._most = {True: most, False: side}
        self._admitted = {True: 0, False: 0}
        self._open: dict[Call, None] = {}  # in the order of their arrival
        self._cut_off = 0

    def __len__(self) -> int:
        return len(self._open)

    def open(self, task: asyncio.Task[Any]) -> Call:
        """A new call; the oldest that does not count makes room where there are too many."""
        now_s = time.monotonic()
        if len(self._open) - sum(self._admitted.values()) >= UNADMITTED_CALLS:
            oldest = next(call for call in self._open if call.is_admitted is None)
            oldest.is_writing = True  # no time for a status
            self._cut_off += oldest.end(oldest.overdue, now_s)
        call = Call(task, now_s + PEER_S)
        self._open[call] = None
        return call

    def admit(self, call: Call, is_policy: bool) -> None:
        """Count the call; RequestError when as many as may be are open."""
        if self._admitted[is_policy] >= self._most[is_policy]:
            what = f"{self._most[is_policy]} calls are open"
            raise RequestError("RESOURCE_EXHAUSTED", "TOO_MANY_CALLS", f"{what}; end one of them first")
        self._admitted[is_policy] += 1
        call.is_admitted = is_policy

    def close(self, call: Call) -> None:
        """Forget a call that has ended."""
        del self._open[call]
        if call.is_admitted is not None:
            self._admitted[call.is_admitted] -= 1

    def end_overdue(self, now_s: float) -> tuple[int, int]:
        """End the calls whose peer is late; how many were told, and how many cut off since the last time."""
        overdue = [call for call in self._open if now_s > call.until_s]
        cut_off = sum([call.end(call.overdue, now_s) for call in overdue])
        before, self._cut_off = self._cut_off, 0
        return len(overdue) - cut_off, cut_off + before

    def end_waiting(self, why: RequestError) -> None:
        """End the calls that wait for their peer's first or next message."""
        for call in list(self._open):
            waits = call.is_admitted is None or call.overdue is not NO_MESSAGE
            if waits and call.handler is not None and not call.handler.done():
                self._cut_off += call.end(why, time.monotonic())


def without_trace(record: logging.LogRecord) -> bool:
    """A filter: one line, without a traceback, says that a client's metadata is no UTF-8."""
    if record.msg == "Invalid encoding on %s":
        record.exc_info = None
    return True


class CallServer(_server.Server):
    """A grpc.aio server whose calls are all in `calls`."""

    def __init__(
        self, calls: Calls, interceptors: tuple[Any, ...], options: tuple[tuple[str, Any], ...]
    ) -> None:
        """InputError with a version of grpcio that accepts calls in another way."""
        if not hasattr(cygrpc.AioServer, "_make_request_call_future"):
            raise InputError(f"grpcio {grpc.__version__} cannot be used here: 1.84 or 1.85 is needed")
        logging.getLogger("grpc._cython.cygrpc").addFilter(without_trace)
        self._loop = asyncio.get_running_loop()
        self._server = AcceptingServer(calls, self._loop, interceptors, options)


class AcceptingServer(cygrpc.AioServer):  # type: ignore[misc]
    """Accepts the calls of each method in one task, where grpcio would start a task for each call."""

    def __init__(
        self,
        calls: Calls,
        loop: asyncio.AbstractEventLoop,
        interceptors: tuple[Any, ...],
        options: tuple[tuple[str, Any], ...],
    ) -> None:
        super().__init__(loop, None, (), interceptors, options, None)
        self._calls = calls
        self._event_loop = loop
        self._chain = interceptors
        self._handlers: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def add_registered_method_handlers(self, method_handlers: dict[str, Any]) -> None:
        """Serve these methods, named `/service/method`."""
        super().add_registered_method_handlers(method_handlers)
        self._handlers.update(method_handlers)

    def _make_request_call_future(self, method: bytes | None) -> asyncio.Task[None]:
        """What grpcio waits for to get a method's next call; here it ends only when the server does."""
        return self._event_loop.create_task(self._accept(method))

    async def _accept(self, method: bytes | None) -> None:
        """Answer the calls of one method, or with None those of all that are not known, for ever."""
        known = cygrpc._MethodResolver([], self._handlers if method else {})
        name = method.decode() if method else "/unknown/unknown"  # the true one may be no text
        while True:
            rpc = await (self._request_registered_call(method) if method else self._request_call())
            task = self._event_loop.create_task(self._answer(name, known, rpc))
            self._tasks.add(task)  # the event loop itself may lose it
            task.add_done_callback(self._tasks.discard)
            del rpc, task

    async def _answer(self, name: str, known: Any, rpc: Any) -> None:
        """One call, from its headers until it is gone."""
        task = asyncio.current_task()
        assert task is not None
        call = self._calls.open(task)
        CURRENT.set(call)
        try:
            handled = cygrpc._handle_rpc(name, known, self._chain, rpc, self._event_loop, False)
            await cygrpc._schedule_rpc_coro(handled, rpc, self._event_loop, name)
        finally:
            self._calls.close(call)
