"""What programs do with asyncpg. Argument: the pool mode; "session" is right for PostgreSQL itself."""

import asyncio
import os
import sys
import traceback

import asyncpg

MODE = sys.argv[1]


async def simple(connection):
    assert await connection.fetchval("SELECT 6 * 7") == 42
    assert await connection.execute("SELECT 1; SELECT 2") == "SELECT 1"


async def parameters(connection):
    row = await connection.fetchrow("SELECT $1::text, $2::int, $3::float8, $4::int[]", "ä'", None, 1.5, [1, 2])
    assert tuple(row) == ("ä'", None, 1.5, [1, 2]), row


async def prepared(connection):
    statement = await connection.prepare("SELECT $1::int + 1")
    for number in range(50):
        assert await statement.fetchval(number) == number + 1
    assert statement.get_parameters()[0].name == "int4"


async def statements_beyond_the_cache(connection):
    for turn in range(2):
        for number in range(150):
            assert await connection.fetchval(f"SELECT {number} + $1::int", turn) == number + turn


async def transaction(connection):
    await connection.execute("CREATE TABLE IF NOT EXISTS async_values (a int)")
    try:
        async with connection.transaction():
            await connection.execute("INSERT INTO async_values VALUES ($1)", 1)
            async with connection.transaction():
                await connection.execute("INSERT INTO async_values VALUES ($1)", 2)
            raise RuntimeError("the program changes its mind")
    except RuntimeError:
        pass
    assert await connection.fetchval("SELECT count(*) FROM async_values") == 0


async def many_values(connection):
    async with connection.transaction():
        await connection.execute("CREATE TEMPORARY TABLE many (a int) ON COMMIT DROP")
        await connection.executemany("INSERT INTO many VALUES ($1)", [(number,) for number in range(2000)])
        assert await connection.fetchval("SELECT count(DISTINCT a) FROM many") == 2000


async def cursor(connection):
    async with connection.transaction():
        total = 0
        async for row in connection.cursor("SELECT generate_series(1, $1::int)", 1000, prefetch=100):
            total += row[0]
        assert total == 500500


async def copy_in_and_out(connection):
    await connection.execute("CREATE TABLE IF NOT EXISTS async_copied (a int, b text)")
    await connection.execute("TRUNCATE async_copied")
    records = [(number, "x" * (number % 50)) for number in range(5000)]
    await connection.copy_records_to_table("async_copied", records=records)
    out = bytearray()

    async def take(data):
        out.extend(data)

    await connection.copy_from_query("SELECT * FROM async_copied ORDER BY a", output=take)
    assert out.count(b"\n") == 5000


async def error_then_go_on(connection):
    for statement, error in [
        ("SELECT 1/0", asyncpg.DivisionByZeroError),
        ("SELEC", asyncpg.PostgresSyntaxError),
        ("SELECT * FROM missing WHERE a = $1", asyncpg.UndefinedTableError),
    ]:
        try:
            await connection.fetch(statement, *([1] if "$1" in statement else []))
            raise AssertionError("an error was expected")
        except error:
            pass
        assert await connection.fetchval("SELECT 1") == 1


async def cancel(connection):
    try:
        await connection.fetchval("SELECT pg_sleep(20)", timeout=0.2)
        raise AssertionError("an error was expected")
    except asyncio.TimeoutError:
        pass
    assert await connection.fetchval("SELECT 1") == 1


async def listen(connection):
    heard = asyncio.get_running_loop().create_future()
    await connection.add_listener("async_news", lambda *news: heard.set_result(news))
    other = await connect()
    await other.execute("SELECT pg_notify('async_news', 'hello')")
    news = await asyncio.wait_for(heard, 10)
    assert news[2:] == ("async_news", "hello")
    await other.close()
    await connection.reset()


async def several_at_once(connection):
    # asyncpg's pool cleans a connection when it is given back.
    size = 3 if MODE == "session" else 10
    async with asyncpg.create_pool(min_size=1, max_size=size, ssl=False) as pool:

        async def work(number):
            async with pool.acquire() as mine:
                for turn in range(10):
                    assert await mine.fetchval("SELECT $1::int", number * 1000 + turn) == number * 1000 + turn

        await asyncio.gather(*(work(number) for number in range(30)))


def connect():
    return asyncpg.connect(ssl=False)


async def main():
    cases = [
        simple,
        parameters,
        prepared,
        statements_beyond_the_cache,
        transaction,
        many_values,
        cursor,
        copy_in_and_out,
        error_then_go_on,
        cancel,
        several_at_once,
    ]
    if MODE == "session":
        cases.append(listen)
    failed = 0
    for case in cases:
        try:
            connection = await connect()
            await asyncio.wait_for(case(connection), 30)
            await connection.close()
            print("ok", case.__name__)
        except BaseException:
            failed += 1
            print("FAILED", case.__name__, flush=True)
            traceback.print_exc()
    return failed


assert "PGPASSWORD" in os.environ
sys.exit(1 if asyncio.run(main()) else 0)
