//! What programs do with tokio-postgres.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{SinkExt, TryStreamExt};
use pgweir_tests::{Scene, Target, Way, cases};
use tokio::runtime::Builder;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error, NoTls};

cases! {
    queries: direct session transaction;
    prepared: direct session transaction;
    pipelined: direct session transaction;
    transactions: direct session transaction;
    portals: direct session transaction;
    copy: direct session transaction;
    errors_then_go_on: direct session transaction;
    cancel: direct session transaction;
    several_at_once: direct session transaction;
}

async fn connect(target: &Target) -> Client {
    let (client, connection) = Config::new()
        .host(&target.host)
        .port(target.port)
        .dbname(&target.database)
        .user(&target.user)
        .password(&target.password)
        .connect(NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

fn run(scene: &Scene, test: impl AsyncFnOnce(Client) -> Result<(), Error>) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = connect(&scene.target()).await;
        timeout(Duration::from_secs(60), test(client))
            .await
            .expect("no answer within a minute")
            .unwrap();
    });
}

fn queries(scene: &Scene) {
    run(scene, async |client| {
        let row = client
            .query_one("SELECT $1::int4 + 1, $2::text, NULL::int4", &[&41, &"ä"])
            .await?;
        assert_eq!(
            (
                row.get::<_, i32>(0),
                row.get::<_, &str>(1),
                row.get::<_, Option<i32>>(2)
            ),
            (42, "ä", None)
        );
        assert_eq!(client.simple_query("SELECT 1; SELECT 2").await?.len(), 6);
        assert!(client.query("SELECT 1 WHERE false", &[]).await?.is_empty());
        Ok(())
    });
}

fn prepared(scene: &Scene) {
    run(scene, async |client| {
        let sum = client.prepare("SELECT $1::int4 + $2::int4").await?;
        let text = client.prepare("SELECT $1::text || 'x'").await?;
        for turn in 0..50 {
            assert_eq!(
                client.query_one(&sum, &[&turn, &1]).await?.get::<_, i32>(0),
                turn + 1
            );
            let row = client.query_one(&text, &[&turn.to_string()]).await?;
            assert_eq!(row.get::<_, String>(0), format!("{turn}x"));
        }
        drop(sum);
        for number in 0..50 {
            let statement = client.prepare(&format!("SELECT {number}")).await?;
            assert_eq!(
                client.query_one(&statement, &[]).await?.get::<_, i32>(0),
                number
            );
        }
        Ok(())
    });
}

fn pipelined(scene: &Scene) {
    run(scene, async |client| {
        let queries: Vec<_> = (0..200)
            .map(|number| {
                let client = &client;
                async move {
                    Ok::<_, Error>(
                        client
                            .query_one("SELECT $1::int4", &[&number])
                            .await?
                            .get::<_, i32>(0),
                    )
                }
            })
            .collect();
        for (number, answer) in join_all(queries).await.into_iter().enumerate() {
            assert_eq!(answer?, i32::try_from(number).unwrap());
        }
        Ok(())
    });
}

fn transactions(scene: &Scene) {
    scene.admin("CREATE TABLE amounts (a int); GRANT ALL ON amounts TO app");
    run(scene, async |mut client| {
        let mut transaction = client.transaction().await?;
        transaction
            .execute("INSERT INTO amounts VALUES ($1)", &[&1])
            .await?;
        let savepoint = transaction.savepoint("nested").await?;
        savepoint
            .execute("INSERT INTO amounts VALUES ($1)", &[&2])
            .await?;
        savepoint.rollback().await?;
        transaction.commit().await?;
        let dropped = client.transaction().await?;
        dropped
            .execute("INSERT INTO amounts VALUES ($1)", &[&3])
            .await?;
        drop(dropped);
        assert_eq!(
            client
                .query_one("SELECT sum(a) FROM amounts", &[])
                .await?
                .get::<_, i64>(0),
            1
        );
        Ok(())
    });
}

fn portals(scene: &Scene) {
    run(scene, async |mut client| {
        let transaction = client.transaction().await?;
        let portal = transaction
            .bind("SELECT generate_series(1, $1::int4)", &[&10])
            .await?;
        let mut total = 0;
        loop {
            let rows = transaction.query_portal(&portal, 3).await?;
            if rows.is_empty() {
                break;
            }
            total += rows.iter().map(|row| row.get::<_, i32>(0)).sum::<i32>();
        }
        assert_eq!(total, 55);
        drop(portal);
        transaction.commit().await
    });
}

fn copy(scene: &Scene) {
    scene.admin("CREATE TABLE copied (a int); GRANT ALL ON copied TO app");
    run(scene, async |client| {
        for turn in 1..=3_i32 {
            let mut sink = pin!(client.copy_in::<_, Bytes>("COPY copied FROM STDIN").await?);
            for number in 0..100 {
                sink.send(Bytes::from(format!("{number}\n"))).await?;
            }
            assert_eq!(sink.finish().await?, 100);
            let parts: Vec<Bytes> = client
                .copy_out("COPY copied TO STDOUT")
                .await?
                .try_collect()
                .await?;
            assert_eq!(parts.len(), usize::try_from(turn).unwrap() * 100);
            // A sink that is dropped fails its COPY.
            let mut dropped = Box::pin(client.copy_in::<_, Bytes>("COPY copied FROM STDIN").await?);
            dropped.send(Bytes::from_static(b"1\n")).await?;
            drop(dropped);
        }
        Ok(())
    });
}

fn errors_then_go_on(scene: &Scene) {
    run(scene, async |client| {
        for (sql, state) in [
            ("SELECT 1/0", SqlState::DIVISION_BY_ZERO),
            ("SELEC", SqlState::SYNTAX_ERROR),
            ("SELECT * FROM missing", SqlState::UNDEFINED_TABLE),
        ] {
            assert_eq!(
                client.query(sql, &[]).await.unwrap_err().code(),
                Some(&state)
            );
            assert_eq!(
                client.simple_query(sql).await.unwrap_err().code(),
                Some(&state)
            );
            assert_eq!(client.query_one("SELECT 1", &[]).await?.get::<_, i32>(0), 1);
        }
        Ok(())
    });
}

fn cancel(scene: &Scene) {
    run(scene, async |client| {
        let token = client.cancel_token();
        let cancelling = async {
            let other = connect(&scene.direct()).await;
            let sql = "SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)' AND state = 'active'";
            while other.query(sql, &[]).await?.is_empty() {}
            token.cancel_query(NoTls).await
        };
        let query = client.batch_execute("SELECT pg_sleep(30)");
        let (error, cancelled) = tokio::join!(query, cancelling);
        cancelled?;
        assert_eq!(error.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
        assert_eq!(client.query_one("SELECT 1", &[]).await?.get::<_, i32>(0), 1);
        Ok(())
    });
}

fn several_at_once(scene: &Scene) {
    let clients = if scene.way == Way::Transaction { 16 } else { 3 };
    run(scene, async |client| {
        drop(client);
        let tasks: Vec<_> = (0..clients)
            .map(|number| {
                let target = scene.target();
                tokio::spawn(async move {
                    let client = connect(&target).await;
                    let statement = client.prepare("SELECT $1::int4 * $2::int4").await.unwrap();
                    for turn in 0..50 {
                        let row = client
                            .query_one(&statement, &[&number, &turn])
                            .await
                            .unwrap();
                        assert_eq!(row.get::<_, i32>(0), number * turn);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("it does not panic");
        }
        Ok(())
    });
}
