//! The CI of a project, as a program: lint, unit tests, integration tests and an image, with flags and a command line.
//!
//! `examples/run ci` runs all of it, `examples/run ci run 'test-*'` a part, and `examples/run ci --help` says what else there
//! is. `examples/run ci publish image registry.example/team/visits:1.2` publishes the image.

use bowline::prelude::*;

/// The project's directory, wherever the program is started.
const PROJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/visits");

pipeline! {
    /// The CI of the page that counts its visits.
    fn ci(
        /// Versions of Redis to test with; by default 7
        #[flag(value = "VERSION")]
        redis: Vec<&str>,
        /// The version of Postgres that reports are kept in
        #[flag(default = 15)]
        postgres: u8,
        /// What the image is labelled with
        #[flag(default = "dev", short = 'r')]
        revision: &str,
        /// Ask the running page often, too
        load: bool,
    ) -> Ci;

    let versions = if redis.is_empty() { vec!["7"] } else { redis };

    /// The page's source, without what Python leaves beside it.
    dir source = host(PROJECT).exclude(["**/__pycache__"]);

    container python {
        image "python:3.11";
        workdir "/app";
        env PYTHONDONTWRITEBYTECODE = 1;
        copy source to "/app";
    }

    /// Every file is Python, indented without a mix of tabs and spaces.
    container lint {
        from python;
        exec ["python3", "-m", "tabnanny", "-v", "."];
        shell "for file in *.py; do python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' $file; done";
    }

    for version in versions {
        /// The store that the page counts in.
        service store {
            image format!("redis:{version}");
            name format!("redis-{version}");
            expose 6379;
        }
        /// Unit tests, with each version of Redis.
        container test {
            from python;
            name format!("test-redis-{version}");
            bind store;
            env REDIS_HOST = "store";
            exec ["python3", "-m", "unittest"];
        }
    }

    /// The page, as it is deployed.
    service app {
        from image;
        bind counts;
        env REDIS_HOST = "counts";
        run ["python3", "-u", "server.py"];
        expose 8000 as http;
        ready http "/ready";
    }
    /// The store of the deployed page.
    service counts { image "redis:7"; expose 6379; }

    /// The running page answers, and counts.
    container integration {
        image "python:3.11";
        bind app;
        file "/ask.py" = "from urllib.request import urlopen
for expected in range(1, 4):
    answer = urlopen('http://app:8000/home').read().decode()
    assert answer == f'visits of /home: {expected}\\n', answer
print(answer, end='')
";
        exec ["python3", "/ask.py"];
        export "/ask.py" as script;
    }
    if load {
        /// A hundred visits at once are a hundred visits.
        container load_test {
            image "python:3.11";
            bind app;
            file "/load.py" = "from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen
def ask(_):
    return int(urlopen('http://app:8000/load').read().split()[-1])
with ThreadPoolExecutor(20) as pool:
    assert sorted(pool.map(ask, range(100))) == list(range(1, 101))
";
            exec ["python3", "/load.py"];
        }
    }

    /// Reports of the tests, for SQL.
    service reports {
        image format!("postgres:{postgres}");
        env POSTGRES_HOST_AUTH_METHOD = "trust";
        expose 5432 on host 15432;
        ready exec ["pg_isready", "-q", "-h", "127.0.0.1"];
    }
    /// The schema of the reports fits the database.
    container schema {
        image format!("postgres:{postgres}");
        bind reports;
        env PGHOST = "reports";
        env PGUSER = "postgres";
        exec ["psql", "-qc", "create table run (at timestamptz primary key, passed int, failed int)"];
        exec ["psql", "-qtAc", "insert into run values (now(), 2, 0) returning passed"];
    }

    /// The page as an image; tests of it come before it is published.
    container image {
        from python;
        entrypoint ["python3", "-u", "server.py"];
        label "org.opencontainers.image.revision" = revision;
        exec ["python3", "-c", "import visits"];
    }
}

bowline::cli!(ci);
