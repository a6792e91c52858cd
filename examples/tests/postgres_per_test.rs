//! A migrated Postgres for every test, without the time that it takes to set one up: the database is prepared once, by the
//! program's own migrations, and each test starts from a copy of it.
//!
//! Run it with `cargo test -p bowline-examples --test postgres_per_test`, where an engine has the image. The second time
//! nothing is prepared any more.

use bowline::prelude::*;
use tokio_postgres::{Client, NoTls};

const MIGRATIONS: &[&str] = &[
    "create table account (name text primary key, balance integer not null check (balance >= 0))",
    "insert into account select 'customer ' || n, 100 from generate_series(1, 1000) as n",
    "create index on account (balance)",
];

/// A database with the schema and data. The key changes with the migrations, as code has no identity of its own.
fn database() -> Service {
    let empty = Service::from_image("postgres:15")
        .env("POSTGRES_PASSWORD", "secret")
        .expose(5432)
        // Its port is open a moment before it takes connections.
        .ready(Ready::exec(["pg_isready", "-q", "-h", "127.0.0.1"]))
        .named("db");
    empty.prepared(MIGRATIONS.join(";"), |db: Tunnel| async move {
        let client = connect(&db).await?;
        for migration in MIGRATIONS {
            client.batch_execute(migration).await.map_err(Error::other)?;
        }
        Ok::<_, Error>(())
    })
}

async fn connect(db: &Tunnel) -> Result<Client> {
    let url = format!("postgres://postgres:secret@{}/postgres", db.address());
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.map_err(Error::other)?;
    tokio::spawn(connection);
    Ok(client)
}

async fn total(client: &Client) -> Result<i64> {
    let row = client.query_one("select sum(balance) from account", &[]).await.map_err(Error::other)?;
    Ok(row.get(0))
}

#[bowline::test]
async fn everybody_has_a_hundred() -> Result<()> {
    let db = database().tunnel().await?;
    assert_eq!(total(&connect(&db).await?).await?, 100_000);
    Ok(())
}

#[bowline::test]
async fn an_account_cannot_be_overdrawn() -> Result<()> {
    let db = database().tunnel().await?;
    let client = connect(&db).await?;
    let overdrawn = client.execute("update account set balance = balance - 101", &[]).await;
    assert!(overdrawn.is_err());
    assert_eq!(total(&client).await?, 100_000);
    Ok(())
}

/// Whatever a test does, the others do not see it.
#[bowline::test]
async fn accounts_can_be_closed() -> Result<()> {
    let db = database().tunnel().await?;
    let client = connect(&db).await?;
    assert_eq!(client.execute("delete from account", &[]).await.map_err(Error::other)?, 1000);
    Ok(())
}
