//! Databases of test suites: the first connection to one, and one for each of fifty tests.

use std::time::{Duration, Instant};

use bowline::prelude::{Ready, Tunnel};
use bowline::{Service, Session};
use testcontainers::core::{ExecCommand, IntoContainerPort as _, WaitFor};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, GenericImage, ImageExt as _};
use tokio_postgres::{Client, NoTls};

use crate::raw::LABEL;
use crate::{Result, Run, say, this_run};

/// How many tests a suite has.
const TESTS: usize = 50;
/// How many statements migrate a database.
const MIGRATIONS: usize = 100;
/// How long a database may take to let somebody in.
const CONNECTED_WITHIN: Duration = Duration::from_mins(1);

/// Tables, columns, indices and rows, as migrations have them.
fn migration(number: usize) -> String {
    let table = number / 4;
    match number % 4 {
        0 => format!(
            "create table t{table} (id bigserial primary key, name text not null, at timestamptz default now())"
        ),
        1 => format!("alter table t{table} add column amount integer not null default 0"),
        2 => format!("create index t{table}_name on t{table} (name)"),
        _ => {
            format!("insert into t{table} (name, amount) select 'row ' || n, n from generate_series(1, 20) n")
        }
    }
}

async fn migrate(client: &Client) -> Result<()> {
    for number in 0..MIGRATIONS {
        client.batch_execute(&migration(number)).await?;
    }
    Ok(())
}

async fn connect(host: &str, port: u16, database: &str) -> Result<Client> {
    let url = format!("host={host} port={port} user=postgres password=x dbname={database}");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// As testcontainers' users do: a database may let nobody in for a moment after it has said that it does.
async fn connect_eventually(host: &str, port: u16, database: &str) -> Result<Client> {
    let began = Instant::now();
    loop {
        match connect(host, port, database).await {
            Err(error) if began.elapsed() > CONNECTED_WITHIN => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            connected => return connected,
        }
    }
}

/// What every test does.
async fn test(client: &Client) -> Result<()> {
    let row = client.query_one("select sum(amount)::bigint from t24", &[]).await?;
    let sum: i64 = row.get(0);
    client.batch_execute("insert into t24 (name, amount) values ('mine', 1)").await?;
    if sum == 210 { Ok(()) } else { Err(format!("another test's rows are there: {sum}").into()) }
}

/// Runs all tests, as many at once as the machine has processors: as test runners do.
async fn all<F: Future<Output = Result<()>> + Send + 'static>(test: impl Fn(usize) -> F) -> Result<()> {
    let at_once = std::thread::available_parallelism().map_or(1, Into::into);
    let mut tests = tokio::task::JoinSet::new();
    for number in 0..TESTS {
        if tests.len() >= at_once
            && let Some(done) = tests.join_next().await
        {
            done??;
        }
        tests.spawn(test(number));
    }
    while let Some(done) = tests.join_next().await {
        done??;
    }
    Ok(())
}

/// With a name for the engine's users, so that what is left of it is found.
fn empty(run: &Run) -> Service {
    Service::from_image("postgres:15")
        .env("POSTGRES_PASSWORD", "x")
        .env("RUN", &run.id)
        .expose(5432u16)
        .ready(Ready::exec(["pg_isready", "-q", "-h", "127.0.0.1"]))
        .named(format!("{}-postgres", run.id))
}

fn say_session(session: &Session) {
    say(&format!("owns {}", session.id()));
}

pub(crate) fn first(_: &Run) -> Result<()> {
    #[bowline::main]
    async fn main() -> Result<()> {
        say_session(&Session::current());
        let db = empty(&this_run()).tunnel().await?;
        connect("127.0.0.1", db.address().port(), "postgres").await?.query_one("select 1", &[]).await?;
        say("result kept");
        Ok(())
    }
    main()
}

/// The migrations are the program's own, run once.
fn prepared(run: &Run) -> Service {
    empty(run).prepared(format!("{MIGRATIONS} {}", run.id), |db: Tunnel| async move {
        let client =
            connect("127.0.0.1", db.address().port(), "postgres").await.map_err(|e| e.to_string())?;
        migrate(&client).await.map_err(|error| error.to_string())
    })
}

/// Each in a session of its own, as `#[bowline::test]` has it.
async fn fifty_copies() -> Result<()> {
    let db = prepared(&this_run());
    all(move |_| {
        let db = db.clone();
        async move {
            let session = Session::new();
            say_session(&session);
            let tested = session.scope(async {
                let db = db.tunnel().await?;
                test(&connect("127.0.0.1", db.address().port(), "postgres").await?).await
            });
            let tested = tested.await;
            session.close().await?;
            tested
        }
    })
    .await
}

pub(crate) fn fifty(_: &Run) -> Result<()> {
    #[bowline::main]
    async fn main() -> Result<()> {
        fifty_copies().await?;
        say("result kept");
        Ok(())
    }
    main()
}

/// The same once the database was prepared, as in every run of the tests but the first.
pub(crate) fn fifty_again(_: &Run) -> Result<()> {
    #[bowline::main]
    async fn main() -> Result<()> {
        say_session(&Session::current());
        drop(prepared(&this_run()).tunnel().await?);
        Session::current().close().await?;
        say("begin");
        fifty_copies().await?;
        say("result kept");
        Ok(())
    }
    main()
}

async fn container() -> Result<ContainerAsync<GenericImage>> {
    let ready = "database system is ready to accept connections";
    let container = GenericImage::new("postgres", "15")
        .with_exposed_port(5432.tcp())
        // The server that sets the database up says it too.
        .with_wait_for(WaitFor::message_on_stderr(ready))
        .with_wait_for(WaitFor::message_on_stderr(ready))
        .with_env_var("POSTGRES_PASSWORD", "x")
        .with_label(LABEL, this_run().id);
    Ok(container.start().await?)
}

async fn connect_to(container: &ContainerAsync<GenericImage>, database: &str) -> Result<Client> {
    let (host, port) = (container.get_host().await?.to_string(), container.get_host_port_ipv4(5432).await?);
    connect_eventually(&host, port, database).await
}

fn run<F: Future<Output = Result<()>>>(work: F) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

pub(crate) fn testcontainers_first(_: &Run) -> Result<()> {
    run(async {
        let container = container().await?;
        connect_to(&container, "postgres").await?.query_one("select 1", &[]).await?;
        say("result kept");
        container.rm().await?;
        Ok(())
    })
}

/// A container for each test, as the documentation shows.
pub(crate) fn testcontainers_fifty(_: &Run) -> Result<()> {
    run(async {
        all(|_| async {
            let container = container().await?;
            let client = connect_to(&container, "postgres").await?;
            migrate(&client).await?;
            test(&client).await?;
            container.rm().await?;
            Ok(())
        })
        .await?;
        say("result kept");
        Ok(())
    })
}

/// One container, migrated once, and a database for each test that is made of that one.
pub(crate) fn testcontainers_databases(_: &Run) -> Result<()> {
    run(async {
        let container = std::sync::Arc::new(container().await?);
        let client = connect_to(&container, "postgres").await?;
        client.batch_execute("create database template").await?;
        migrate(&connect_to(&container, "template").await?).await?;
        // A template must have no clients, and a client is gone a moment after it was dropped.
        container.exec(ExecCommand::new(["sleep", "0.05"])).await?;
        let of_tests = container.clone();
        all(move |number| {
            let container = of_tests.clone();
            async move {
                let name = format!("test{number}");
                let client = connect_to(&container, "postgres").await?;
                let create = format!("create database {name} template template");
                while client.batch_execute(&create).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                test(&connect_to(&container, &name).await?).await
            }
        })
        .await?;
        say("result kept");
        if let Some(container) = std::sync::Arc::into_inner(container) {
            container.rm().await?;
        }
        Ok(())
    })
}
