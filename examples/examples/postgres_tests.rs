//! Integration tests against a real Postgres: a database, a migration, and the tests that need both.
//!
//! The migration runs before the tests, against the same instance, because the tests come `after` it. A finished run is
//! cached; edit the query below, and the migration runs again with it: never a test against an empty database.

use bowline::prelude::*;

const SCHEMA: &str = "
create table account (name text primary key, balance integer not null check (balance >= 0));
insert into account values ('alice', 100), ('bob', 20);
";

const TESTS: &str = "
begin;
update account set balance = balance - 50 where name = 'alice';
update account set balance = balance + 50 where name = 'bob';
commit;
select name, balance from account order by name;
";

#[bowline::main]
async fn main() -> Result<()> {
    let p = pipeline! {
        service db {
            image "postgres:15";
            env POSTGRES_HOST_AUTH_METHOD = "trust";
            env POSTGRES_DB = "bank";
            expose 5432 as sql;
            // Ready by its port: while the image sets the database up, the server listens on no port at all.
        }
        container migrate {
            image "postgres:15";
            bind db;
            file "/sql/schema.sql" = SCHEMA;
            exec ["psql", "-v", "ON_ERROR_STOP=1", "-q", "-h", "db", "-U", "postgres", "bank", "-f", "/sql/schema.sql"];
        }
        container tests {
            image "postgres:15";
            after migrate;
            bind db;
            file "/sql/tests.sql" = TESTS;
            exec ["psql", "-v", "ON_ERROR_STOP=1", "-At", "-q", "-h", "db", "-U", "postgres", "bank", "-f", "/sql/tests.sql"];
        }
    };
    let result = p.tests.stdout().await?;
    print!("{result}");
    assert_eq!(result, "alice|50\nbob|70\n");
    Ok(())
}
