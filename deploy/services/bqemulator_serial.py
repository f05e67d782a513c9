"""Starts bqemulator with its appends and its queries one after another.

bqemulator 1.4.0 serves REST on its event loop and appends on threads, both over one DuckDB connection. An append
beside a query or a statement that makes a table stops it for good (each waits for a lock that the other holds) or
mixes up their results. Here the rows of an append go into their table on the event loop, as everything else does.
"""

import asyncio

from bqemulator.cli import main
from bqemulator.grpc_api.write_servicer import BigQueryWriteHandler
from bqemulator.server import EmulatorServer

start = EmulatorServer.start
flush = BigQueryWriteHandler._flush_to_target
loops = []


async def start_and_remember_the_loop(self):
    loops.append(asyncio.get_running_loop())
    await start(self)


def flush_on_the_loop(self, stream, rows):
    async def run():
        async with self._ctx.engine.write_lock():
            flush(self, stream, rows)

    asyncio.run_coroutine_threadsafe(run(), loops[-1]).result()


EmulatorServer.start = start_and_remember_the_loop
BigQueryWriteHandler._flush_to_target = flush_on_the_loop

if __name__ == "__main__":
    main()
