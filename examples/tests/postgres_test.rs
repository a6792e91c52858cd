//! Tests of a Rust program against a real Postgres: each test starts one of its own, and connects to it with the client
//! that the program uses.
//!
//! Run it with `cargo test -p bowline-examples --test postgres_test`, where an engine has the image.

use bowline::prelude::*;
use tokio_postgres::{Client, NoTls};

fn postgres() -> Service {
    Service::from_image("postgres:15")
        .env("POSTGRES_PASSWORD", "secret")
        .expose(5432)
        // Its port is open a moment before it takes connections.
        .ready(Ready::exec(["pg_isready", "-q", "-h", "127.0.0.1"]))
        .named("db")
}

/// A client of a database that is ready.
async fn connect(db: &Tunnel) -> Result<Client> {
    let url = format!("postgres://postgres:secret@{}/postgres", db.address());
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.map_err(Error::other)?;
    tokio::spawn(connection);
    Ok(client)
}

/// What is tested: the code of the program.
async fn add_user(client: &Client, name: &str) -> std::result::Result<u64, tokio_postgres::Error> {
    client.batch_execute("create table if not exists users (name text primary key)").await?;
    client.execute("insert into users values ($1)", &[&name]).await
}

#[bowline::test]
async fn a_user_is_added() -> Result<()> {
    let db = postgres().tunnel().await?;
    let client = connect(&db).await?;
    assert_eq!(add_user(&client, "alice").await.map_err(Error::other)?, 1);
    Ok(())
}

#[bowline::test]
async fn a_user_is_added_once() -> Result<()> {
    let db = postgres().tunnel().await?;
    let client = connect(&db).await?;
    assert!(add_user(&client, "alice").await.is_ok());
    let again = add_user(&client, "alice").await.unwrap_err();
    assert_eq!(again.code(), Some(&tokio_postgres::error::SqlState::UNIQUE_VIOLATION));
    Ok(())
}

/// The other tests have databases of their own: here is no `alice`.
#[bowline::test]
async fn nobody_is_there_at_first() -> Result<()> {
    let db = postgres().tunnel().await?;
    let client = connect(&db).await?;
    add_user(&client, "bob").await.map_err(Error::other)?;
    let names = client.query("select name from users", &[]).await.map_err(Error::other)?;
    assert_eq!(names.len(), 1);
    Ok(())
}
