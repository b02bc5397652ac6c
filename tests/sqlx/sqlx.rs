//! What programs do with sqlx.

use std::time::Duration;

use pgweir_tests::{Scene, Target, Way, cases};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, Row};

cases! {
    queries: direct session transaction;
    statements_beyond_the_cache: direct session transaction;
    transactions: direct session transaction;
    errors_then_go_on: direct session transaction;
    copy: direct session transaction;
    a_pool: direct session transaction;
    listen: direct session;
}

fn options(target: &Target) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host(&target.host)
        .port(target.port)
        .database(&target.database)
        .username(&target.user)
        .password(&target.password)
        .ssl_mode(PgSslMode::Disable)
}

fn run(scene: &Scene, test: impl AsyncFnOnce(PgConnection) -> sqlx::Result<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let connection = options(&scene.target()).connect().await.unwrap();
        let limit = Duration::from_secs(60);
        tokio::time::timeout(limit, test(connection))
            .await
            .expect("no answer within a minute")
            .unwrap();
    });
}

fn queries(scene: &Scene) {
    run(scene, async |mut connection| {
        for turn in 0..20_i32 {
            let row = sqlx::query("SELECT $1 + 1, $2::text, NULL::int4")
                .bind(turn)
                .bind("ä")
                .fetch_one(&mut connection)
                .await?;
            assert_eq!(row.get::<i32, _>(0), turn + 1);
            assert_eq!(row.get::<&str, _>(1), "ä");
            assert_eq!(row.get::<Option<i32>, _>(2), None);
        }
        let unprepared = sqlx::raw_sql("SELECT 1; SELECT 2")
            .fetch_all(&mut connection)
            .await?;
        assert_eq!(unprepared.len(), 2);
        let not_kept = sqlx::query_scalar::<_, i64>("SELECT $1")
            .bind(7_i64)
            .persistent(false);
        assert_eq!(not_kept.fetch_one(&mut connection).await?, 7);
        connection.close().await
    });
}

fn statements_beyond_the_cache(scene: &Scene) {
    run(scene, async |mut connection| {
        for turn in 0..2_i32 {
            for number in 0..150_i32 {
                let sql = sqlx::AssertSqlSafe(format!("SELECT $1 + {number}"));
                let sum: i32 = sqlx::query_scalar(sql)
                    .bind(turn)
                    .fetch_one(&mut connection)
                    .await?;
                assert_eq!(sum, turn + number);
            }
        }
        connection.clear_cached_statements().await?;
        assert_eq!(
            sqlx::query_scalar::<_, i32>("SELECT 1")
                .fetch_one(&mut connection)
                .await?,
            1
        );
        connection.close().await
    });
}

fn transactions(scene: &Scene) {
    scene.admin("CREATE TABLE amounts (a int); GRANT ALL ON amounts TO app");
    run(scene, async |mut connection| {
        let mut transaction = connection.begin().await?;
        sqlx::query("INSERT INTO amounts VALUES ($1)")
            .bind(1)
            .execute(&mut *transaction)
            .await?;
        let mut inner = transaction.begin().await?;
        sqlx::query("INSERT INTO amounts VALUES ($1)")
            .bind(2)
            .execute(&mut *inner)
            .await?;
        inner.rollback().await?;
        transaction.commit().await?;
        // One that is dropped is rolled back with the next statement.
        let mut dropped = connection.begin().await?;
        sqlx::query("INSERT INTO amounts VALUES ($1)")
            .bind(3)
            .execute(&mut *dropped)
            .await?;
        drop(dropped);
        let sum: i64 = sqlx::query_scalar("SELECT sum(a) FROM amounts")
            .fetch_one(&mut connection)
            .await?;
        assert_eq!(sum, 1);
        connection.close().await
    });
}

fn errors_then_go_on(scene: &Scene) {
    run(scene, async |mut connection| {
        for (sql, sqlstate) in [
            ("SELECT 1/0", "22012"),
            ("SELEC", "42601"),
            ("SELECT * FROM missing", "42P01"),
        ] {
            let error = sqlx::query(sql).execute(&mut connection).await.unwrap_err();
            assert_eq!(error.as_database_error().unwrap().code().unwrap(), sqlstate);
            assert_eq!(
                sqlx::query_scalar::<_, i32>("SELECT 1")
                    .fetch_one(&mut connection)
                    .await?,
                1
            );
        }
        // A statement whose table changes is prepared again by sqlx, or by pgweir.
        connection.execute("CREATE TABLE changing (a int)").await?;
        connection
            .execute("INSERT INTO changing VALUES (1)")
            .await?;
        for _ in 0..3 {
            sqlx::query("SELECT a FROM changing WHERE a = $1")
                .bind(1)
                .fetch_one(&mut connection)
                .await?;
        }
        connection.close().await
    });
}

fn copy(scene: &Scene) {
    scene.admin("CREATE TABLE copied (a int); GRANT ALL ON copied TO app");
    run(scene, async |mut connection| {
        let mut copy = connection.copy_in_raw("COPY copied FROM STDIN").await?;
        for number in 0..1000 {
            copy.send(format!("{number}\n").into_bytes()).await?;
        }
        assert_eq!(copy.finish().await?, 1000);
        let copy = connection.copy_in_raw("COPY copied FROM STDIN").await?;
        copy.abort("no longer wanted").await?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM copied")
            .fetch_one(&mut connection)
            .await?;
        assert_eq!(count, 1000);
        connection.close().await
    });
}

fn a_pool(scene: &Scene) {
    run(scene, async |connection| {
        connection.close().await?;
        // In session mode, as many as pgweir has connections to the server.
        let size = if scene.way == Way::Transaction { 12 } else { 3 };
        let pool = PgPoolOptions::new()
            .max_connections(size)
            .connect_with(options(&scene.target()))
            .await?;
        let tasks: Vec<_> = (0..40_i32)
            .map(|number| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    for turn in 0..10_i32 {
                        let sum: i32 = sqlx::query_scalar("SELECT $1 + $2")
                            .bind(number)
                            .bind(turn)
                            .fetch_one(&pool)
                            .await?;
                        assert_eq!(sum, number + turn);
                    }
                    Ok::<_, sqlx::Error>(())
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("it does not panic")?;
        }
        pool.close().await;
        Ok(())
    });
}

fn listen(scene: &Scene) {
    run(scene, async |mut connection| {
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect_with(options(&scene.target()))
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen("news").await?;
        sqlx::query("SELECT pg_notify('news', 'hello')")
            .execute(&mut connection)
            .await?;
        assert_eq!(listener.recv().await?.payload(), "hello");
        drop(listener);
        pool.close().await;
        connection.close().await
    });
}
