"""Prepared statements and transactions of asyncpg, each where it may run: says where."""

import asyncio

import asyncpg


async def main():
    connection = await asyncpg.connect()
    read = await connection.prepare("SELECT current_setting('port') || $1::text")
    print(*{await read.fetchval("") for _ in range(5)})
    await connection.execute("CREATE TABLE t (v int)")
    write = await connection.prepare("INSERT INTO t VALUES ($1) RETURNING current_setting('port')")
    print(*{await write.fetchval(number) for number in range(5)})
    print(await connection.fetchval("SELECT count(*) FROM t"))
    async with connection.transaction(readonly=True):
        print(await connection.fetchval("SELECT count(*) FROM t"))
    async with connection.transaction():
        await connection.fetchval("SELECT count(*) FROM t")
        await connection.execute("INSERT INTO t VALUES (7)")
    print(await connection.fetchval("SELECT count(*) FROM t"))
    await connection.close()


asyncio.run(main())
