"""An address in front of a server, which can be cut off and restored."""

import asyncio
import socket
import threading


class Proxy:
    """Cut off at first: nothing listens at its address."""

    def __init__(self, target):
        self.host, self.port = target.rsplit(":", 1)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.own = listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.own}"
        self.server, self.writers = None, set()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def restore(self):
        asyncio.run_coroutine_threadsafe(self._listen(), self.loop).result()

    def cut(self):
        """Ends all connections, and takes no other."""
        asyncio.run_coroutine_threadsafe(self._cut(), self.loop).result()

    async def _listen(self):
        self.server = await asyncio.start_server(self._forward, "127.0.0.1", self.own)

    async def _cut(self):
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()

    async def _forward(self, reader, writer):
        back_reader, back_writer = await asyncio.open_connection(self.host, self.port)
        both = {writer, back_writer}
        self.writers |= both
        try:
            await asyncio.gather(pump(reader, back_writer), pump(back_reader, writer), return_exceptions=True)
        finally:
            self.writers -= both


async def pump(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()
