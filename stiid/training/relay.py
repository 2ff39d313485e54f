"""Copies bytes between two connections, until one of them is closed."""

import asyncio
import contextlib

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def relay(near: Connection, far: Connection, *, delay: float = 0.0) -> None:
    """Let the two ends talk to each other; returns when both directions are closed.

    Args:
      near: a connection that stays open for a while when the far one is closed.
      far: another one.
      delay: seconds for which it stays open. What comes from it is dropped then.
    """
    await asyncio.gather(_copy(near[0], far[1], 0.0), _copy(far[0], near[1], delay))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            if not writer.is_closing():
                writer.write(data)
                await writer.drain()
    await asyncio.sleep(delay)
    writer.close()
