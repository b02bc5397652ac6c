"""What programs do with psycopg. Argument: the pool mode; "session" is right for PostgreSQL itself."""

import sys
import threading
import time
import traceback

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

MODE = sys.argv[1]


def simple(connection):
    assert connection.execute("SELECT 6 * 7").fetchone() == (42,)
    connection.commit()
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def parameters(connection):
    row = connection.execute("SELECT %s::text, %s::int, %s::jsonb, %s", ("ä'\"", None, '{"a": 1}', [1, 2])).fetchone()
    assert row == ("ä'\"", None, {"a": 1}, [1, 2]), row
    row = connection.cursor(binary=True, row_factory=dict_row).execute("SELECT %b::float8 AS x", (1.5,)).fetchone()
    assert row == {"x": 1.5}


def prepared(connection):
    connection.autocommit = True
    connection.prepare_threshold = 0
    connection.prepared_max = 3
    for turn in range(3):
        for number in range(8):
            row = connection.execute(f"SELECT {number} + %s", (turn,)).fetchone()
            assert row == (number + turn,), row


def prepared_in_transactions(connection):
    for turn in range(20):
        with connection.transaction():
            assert connection.execute("SELECT %s::int + 1", (turn,), prepare=True).fetchone() == (turn + 1,)
            assert connection.execute("SELECT %s::text", (str(turn),), prepare=True).fetchone() == (str(turn),)


def prepared_after_a_change_of_the_table(connection):
    connection.autocommit = True
    connection.execute("DROP TABLE IF EXISTS changes")
    connection.execute("CREATE TABLE changes (a int)")
    connection.execute("INSERT INTO changes VALUES (1)")
    assert connection.execute("SELECT a FROM changes", prepare=True).fetchone() == (1,)
    connection.execute("DROP TABLE changes")
    try:
        connection.execute("SELECT a FROM changes", prepare=True)
        raise AssertionError("the table is gone")
    except psycopg.errors.UndefinedTable:
        pass
    connection.execute("CREATE TABLE changes (a int)")
    assert connection.execute("SELECT a FROM changes", prepare=True).fetchone() is None


def pipeline(connection):
    connection.autocommit = True
    with connection.pipeline() as pipeline:
        cursors = [connection.execute("SELECT %s::int", (number,)) for number in range(100)]
        pipeline.sync()
        assert [cursor.fetchone()[0] for cursor in cursors] == list(range(100))


def pipeline_with_an_error(connection):
    connection.autocommit = True
    try:
        with connection.pipeline() as pipeline:
            good = connection.execute("SELECT 1")
            pipeline.sync()
            connection.execute("SELECT 1/%s::int", (0,))
            connection.execute("SELECT 2")
            pipeline.sync()
            connection.execute("SELECT 3")
        raise AssertionError("an error was expected")
    except psycopg.errors.DivisionByZero:
        assert good.fetchone() == (1,)
    assert connection.execute("SELECT 4").fetchone() == (4,)


def copy_in_and_out(connection):
    connection.execute("CREATE TABLE IF NOT EXISTS copied (a int, b text)")
    connection.execute("TRUNCATE copied")
    with connection.cursor().copy("COPY copied FROM STDIN") as copy:
        for number in range(5000):
            copy.write_row((number, "x" * (number % 50)))
    connection.commit()
    with connection.cursor().copy("COPY (SELECT * FROM copied ORDER BY a) TO STDOUT") as copy:
        copy.set_types(["int4", "text"])
        rows = list(copy.rows())
    assert rows == [(number, "x" * (number % 50)) for number in range(5000)]


def copy_that_fails(connection):
    connection.autocommit = True
    connection.execute("CREATE TABLE IF NOT EXISTS numbers (a int)")
    try:
        with connection.cursor().copy("COPY numbers FROM STDIN") as copy:
            copy.write("1\nnot a number\n")
        raise AssertionError("an error was expected")
    except psycopg.errors.InvalidTextRepresentation:
        pass
    try:
        with connection.cursor().copy("COPY numbers FROM STDIN") as copy:
            copy.write("1\n")
            raise RuntimeError("the program changes its mind")
    except RuntimeError:
        pass
    assert connection.execute("SELECT count(*) FROM numbers").fetchone() == (0,)


def error_then_go_on(connection):
    for statement, error in [
        ("SELECT 1/0", psycopg.errors.DivisionByZero),
        ("SELEC", psycopg.errors.SyntaxError),
        ("SELECT * FROM missing", psycopg.errors.UndefinedTable),
    ]:
        try:
            connection.execute(statement)
            raise AssertionError("an error was expected")
        except error:
            pass
        try:
            connection.execute("SELECT 1")
            raise AssertionError("the transaction has failed")
        except psycopg.errors.InFailedSqlTransaction:
            pass
        connection.rollback()
        assert connection.execute("SELECT 1").fetchone() == (1,)
        connection.rollback()


def savepoints(connection):
    with connection.transaction():
        try:
            with connection.transaction():
                connection.execute("SELECT 1/0")
        except psycopg.errors.DivisionByZero:
            pass
        assert connection.execute("SELECT 5").fetchone() == (5,)


def cancel(connection):
    timer = threading.Timer(0.1, connection.cancel_safe)
    timer.start()
    began = time.monotonic()
    try:
        connection.execute("SELECT pg_sleep(20)")
        raise AssertionError("an error was expected")
    except psycopg.errors.QueryCanceled:
        pass
    timer.join()
    assert time.monotonic() - began < 10
    connection.rollback()
    assert connection.execute("SELECT 1").fetchone() == (1,)


def cursor_of_the_server(connection):
    with connection.transaction():
        with connection.cursor(name="cursor") as cursor:
            cursor.execute("SELECT generate_series(1, 1000)")
            cursor.itersize = 100
            assert sum(row[0] for row in cursor) == 500500


def stream(connection):
    connection.autocommit = True
    total = sum(row[0] for row in connection.cursor().stream("SELECT generate_series(1, 5000)"))
    assert total == 12502500


def many_values(connection):
    connection.execute("CREATE TABLE IF NOT EXISTS many (a int)")
    connection.cursor().executemany("INSERT INTO many VALUES (%s)", [(number,) for number in range(500)])
    assert connection.execute("SELECT count(DISTINCT a) FROM many").fetchone() == (500,)
    connection.rollback()


def listen(connection):
    connection.autocommit = True
    connection.execute("LISTEN news")
    with psycopg.connect(autocommit=True) as other:
        other.execute("SELECT pg_notify('news', 'hello')")
    notice = next(connection.notifies(timeout=10))
    assert (notice.channel, notice.payload) == ("news", "hello")


def settings(connection):
    connection.autocommit = True
    for turn in range(10):
        connection.execute(sql.SQL("SET application_name = {}").format(f"name {turn}"))
        assert connection.execute("SHOW application_name").fetchone() == (f"name {turn}",)
        assert connection.info.parameter_status("application_name") == f"name {turn}"


def several_at_once(connection):
    failures = []

    def work(number):
        try:
            with psycopg.connect(prepare_threshold=1) as mine:
                for turn in range(30):
                    with mine.transaction():
                        row = mine.execute("SELECT %s::int, pg_backend_pid()", (number * 1000 + turn,)).fetchone()
                        assert row[0] == number * 1000 + turn, row
                        assert mine.execute("SELECT pg_backend_pid()").fetchone()[0] == row[1]
        except BaseException as error:
            failures.append(error)

    # In session mode four server connections serve as many clients, and one is taken.
    threads = [threading.Thread(target=work, args=(number,)) for number in range(3 if MODE == "session" else 12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


CASES = [
    simple,
    parameters,
    prepared,
    prepared_in_transactions,
    prepared_after_a_change_of_the_table,
    pipeline,
    pipeline_with_an_error,
    copy_in_and_out,
    copy_that_fails,
    error_then_go_on,
    savepoints,
    cancel,
    cursor_of_the_server,
    stream,
    many_values,
    settings,
    several_at_once,
]
if MODE == "session":
    CASES.append(listen)

failed = 0
for case in CASES:
    try:
        with psycopg.connect() as connection:
            case(connection)
        print("ok", case.__name__)
    except BaseException:
        failed += 1
        print("FAILED", case.__name__, flush=True)
        traceback.print_exc()
sys.exit(1 if failed else 0)
