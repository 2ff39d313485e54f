"""Connections between the processes of a run, by which each learns that another one ended.

JAX itself notices some ends only after minutes. When process 0 ends, it crashes instead: the
connection to JAX's coordinator breaks, and JAX's C++ client aborts its process. So process 0 runs a
server of our own at the coordinator's address. Every other process keeps a connection to it, on
which both send a sign of life every few seconds. It reaches JAX's coordinator through the same
server, by a relay that keeps JAX's side of a broken connection open until this process has ended
with a message.

When a process ends, its connection closes. A process that is stopped (SIGSTOP, a suspended machine,
a cut network) keeps its connection open and is noticed by its silence.
"""

import asyncio
import concurrent.futures
import contextlib
import os
import socket
import sys
import threading
from typing import NoReturn

from stiid.errors import first_line
from stiid.training import signals
from stiid.training.relay import Connection, relay

_HERE = "127.0.0.1"
_EVERY = 4.0  # seconds between signs of life
_PATIENCE = 10  # signs of life that a process may miss in a row
_GRACE = 2.0  # seconds in which this process may end with an error of its own, which says more
_GREETING = 10.0  # seconds in which a new connection must say what it is for


class Partners:
    """The other processes of a run, seen from one of them.

    Attributes:
      coordinator: where this process reaches JAX's coordinator, once all have met.
    """

    def __init__(self, own: int, count: int, address: str) -> None:
        self._own, self._count = own, count
        host, _, port = address.rpartition(":")
        self._address = host.strip("[]"), int(port)
        self._met: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._lines: dict[int, asyncio.StreamWriter] = {}
        self._parted: set[int] = set()  # those that end as planned
        self._leaving = False
        self._stopped = asyncio.Event()
        with socket.socket() as free:
            free.bind((_HERE, 0))
            self._port = free.getsockname()[1]  # process 0: of JAX's coordinator; else of the relay
        self.coordinator = f"{_HERE}:{self._port}"

    def start(self) -> None:
        """Connect to the others, and watch them from then on, in a thread.

        When one of them is lost, this process ends with a line on standard error and exit status 1.
        """
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._serve, name="partners", daemon=True).start()

    def stop(self) -> None:
        """Close the connections. To the others, this process has then ended."""
        self._loop.call_soon_threadsafe(self._stopped.set)

    def wait(self, timeout: float) -> bool:
        """Whether all have met, after ``timeout`` seconds at most.

        Raises:
          ValueError: the address cannot be used, or process 0 refused this one.
        """
        try:
            self._met.result(timeout)
        except concurrent.futures.TimeoutError:
            return False
        return True

    def awaited(self) -> str:
        """The processes that have not connected yet, as far as this one knows."""
        if self._own == 0:
            return f"{self._missing()} of {self._count} processes"
        return "the other processes" if self._lines else "process 0"

    def part(self) -> None:
        """Tell the others that this process ends as planned, so that they do not end as well."""
        told = asyncio.run_coroutine_threadsafe(self._tell("bye"), self._loop)
        with contextlib.suppress(concurrent.futures.TimeoutError):
            told.result(1.0)

    def _missing(self) -> int:
        return self._count - 1 - len(self._lines)

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        try:
            if self._own == 0:
                where = os.environ.get("JAX_COORDINATOR_BIND_ADDRESS", "").rpartition(":")[0]
                host, port = where.strip("[]") or None, self._address[1]
                server = await asyncio.start_server(self._greet, host, port)
            else:
                host, port = _HERE, self._port
                server = await asyncio.start_server(self._reach_coordinator, host, port)
        except OSError as error:
            self._met.set_exception(
                ValueError(
                    f"process {self._own} cannot listen at port {port} ({first_line(error)}): end "
                    "the program that uses it, or choose another port (--coordinator)"
                )
            )
            return
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._stay_alive())]
            if self._own:
                running.append(tasks.create_task(self._reach_process_0()))
            await self._stopped.wait()
            for task in running:
                task.cancel()
        server.close()
        for writer in self._lines.values():
            writer.close()
        await asyncio.sleep(0)  # for the connections to close

    async def _stay_alive(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            await self._tell("alive")

    async def _tell(self, text: str) -> None:
        for writer in [w for w in self._lines.values() if not w.is_closing()]:
            with contextlib.suppress(OSError):
                writer.write(f"{text}\n".encode())
                await asyncio.wait_for(writer.drain(), _EVERY)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Process 0: what a new connection is for."""
        try:
            words = (await asyncio.wait_for(reader.readline(), _GREETING)).decode().split()
            if words == ["relay"]:
                await relay((reader, writer), await _connect(_HERE, self._port))
                return
            name, number, count = words
            if name != "line":
                raise ValueError
            partner, others = int(number), int(count)
        except (OSError, ValueError):  # something else that tries ports
            writer.close()
            return
        if others != self._count or partner in self._lines or not 0 < partner < self._count:
            writer.write(f"no {self._count}\n".encode())
            writer.close()
            return
        self._lines[partner] = writer
        if not self._missing():
            await self._tell("begin")
            self._met.set_result(None)
        await self._listen(partner, reader)

    async def _reach_process_0(self) -> None:
        reader, writer = await _connect(*self._address)
        writer.write(f"line {self._own} {self._count}\n".encode())
        self._lines[0] = writer
        await self._listen(0, reader)

    async def _reach_coordinator(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Other processes: connect JAX's client with the coordinator."""
        coordinator = await _connect(*self._address)
        coordinator[1].write(b"relay\n")
        await relay((reader, writer), coordinator, delay=3 * _GRACE)

    async def _listen(self, partner: int, reader: asyncio.StreamReader) -> None:
        """Follow a line until its other end is lost.

        Looks are counted, not seconds: this process may have been stopped as well.
        """
        missed = 0
        while missed < _PATIENCE:
            try:
                line = await asyncio.wait_for(reader.readline(), _EVERY)
            except TimeoutError:
                missed += 1
                continue
            except (OSError, ValueError):
                line = b""
            missed = 0
            match line.decode(errors="replace").split():
                case ["begin"]:
                    self._met.set_result(None)
                case ["no", count]:
                    self._met.set_exception(ValueError(self._refusal(int(count))))
                    return
                case ["bye"]:
                    self._parted.add(partner)
                case ["lost", number, how]:
                    await self._leave(int(number), how)
                case ["alive"]:
                    pass
                case _:
                    break
        if partner not in self._parted:
            await self._leave(partner, "silent" if missed else "ended")
        elif partner == 0:  # nothing more can be agreed on
            await asyncio.sleep(_EVERY * _PATIENCE)
            await self._leave(0, "ended")

    def _refusal(self, count: int) -> str:
        if count != self._count:
            return (
                f"process 0 waits for {count} processes, process {self._own} is one of "
                f"{self._count}: start all of them with the same --num_processes"
            )
        return (
            f"process 0 has met a process {self._own} already: give each its own --process_id, and "
            "end those of an earlier run"
        )

    async def _leave(self, number: int, how: str) -> NoReturn:
        while self._leaving:  # for another reason
            await asyncio.sleep(_EVERY)
        self._leaving = True
        await self._tell(f"lost {number} {how}")
        await asyncio.sleep(_GRACE)
        print(f"error: {self._told(number, how)}", file=sys.stderr)
        signals.leave(1)

    def _told(self, number: int, how: str) -> str:
        if number == self._own:
            return (
                "this process was stopped for a while, and the others ended meanwhile: start all "
                "of them again: training resumes"
            )
        if how == "ended":
            return (
                f"process {number} of this run ended: see what it says, and start all of them "
                "again: training resumes"
            )
        return (
            f"process {number} of this run has not responded for {_EVERY * _PATIENCE:.0f} s: end "
            "it if it is stopped, check that its machine can be reached, and start all of them "
            "again: training resumes"
        )


async def _connect(host: str, port: int) -> Connection:
    while True:
        with contextlib.suppress(OSError):  # nobody listens there yet, or the host has no name yet
            return await asyncio.open_connection(host, port)
        await asyncio.sleep(0.3)
