//! The same with bowline.

use bowline::{Container, Service, Session};

use crate::{Result, Run, raw, raw_chain, say, say_result, this_run};

/// Tells the parent what the session's things in the engine are labelled with.
fn say_session() {
    say(&format!("owns {}", Session::current().id()));
}

fn service(run: &Run) -> Service {
    Service::from_image("redis:7").expose(6379u16).named(format!("{}-redis", run.id))
}

/// The client; two with the same nonce are one.
fn client(run: &Run, nonce: &str, redis: &Service) -> Container {
    Container::from_image("redis:7")
        .env("NONCE", nonce)
        .bind("redis-srv", redis)
        .exec(raw::PING)
        .named(format!("{}-client", run.id))
}

pub(crate) fn redis(_: &Run) -> Result<()> {
    #[bowline::main]
    async fn main() -> Result<()> {
        say_session();
        let run = this_run();
        say_result(&client(&run, &run.id, &service(&run)).stdout().await?)
    }
    main()
}

/// What the first round left is found by all others.
pub(crate) fn redis_cached(_: &Run) -> Result<()> {
    #[bowline::main]
    async fn main() -> Result<()> {
        say_session();
        let run = this_run();
        say_result(&client(&run, &run.batch, &service(&run)).stdout().await?)
    }
    main()
}

pub(crate) fn second(_: &Run) -> Result<()> {
    #[bowline::main]
    async fn main() -> Result<()> {
        say_session();
        let run = this_run();
        let redis = service(&run);
        client(&run, &format!("{}-first", run.id), &redis).stdout().await?;
        say("begin");
        say_result(&client(&run, &run.id, &redis).stdout().await?)
    }
    main()
}

fn steps(run: &Run, nonce: &str) -> Container {
    let base = Container::from_image(raw_chain::IMAGE).env("NONCE", nonce);
    (0..raw_chain::STEPS)
        .fold(base, |container, step| container.shell(raw_chain::command(step)))
        .named(format!("{}-chain", run.id))
}

pub(crate) fn chain(_: &Run) -> Result<()> {
    #[bowline::main]
    async fn main() -> Result<()> {
        say_session();
        let run = this_run();
        steps(&run, &run.id).sync().await?;
        say("result kept");
        Ok(())
    }
    main()
}

pub(crate) fn chain_cached(_: &Run) -> Result<()> {
    #[bowline::main]
    async fn main() -> Result<()> {
        say_session();
        let run = this_run();
        steps(&run, &run.batch).sync().await?;
        say("result kept");
        Ok(())
    }
    main()
}

pub(crate) const NOTHING: &str = "true";
pub(crate) const BYTES: &str = "head -c 200000000 /dev/zero >/big";
pub(crate) const FILES: &str = "mkdir /d; i=0; while [ $i -lt 10000 ]; do : >/d/$i; i=$((i+1)); done";

/// Steps side by side, after one that has everything in place.
async fn steps_of(number: usize, command: &str) -> Result<()> {
    say_session();
    let run = this_run();
    let base = || Container::from_image(raw_chain::IMAGE).env("NONCE", &run.id);
    base().shell("true # the first").sync().await?;
    say("begin");
    let steps = (0..number).map(|step| base().shell(format!("{command} # {step}")).sync());
    futures_util::future::try_join_all(steps).await?;
    say("result kept");
    Ok(())
}

pub(crate) fn step(_: &Run) -> Result<()> {
    #[bowline::main]
    async fn main() -> Result<()> {
        steps_of(1, NOTHING).await
    }
    main()
}

pub(crate) fn hundred(_: &Run) -> Result<()> {
    #[bowline::main]
    async fn main() -> Result<()> {
        steps_of(100, NOTHING).await
    }
    main()
}

pub(crate) fn bytes(_: &Run) -> Result<()> {
    #[bowline::main]
    async fn main() -> Result<()> {
        steps_of(1, BYTES).await
    }
    main()
}

pub(crate) fn files(_: &Run) -> Result<()> {
    #[bowline::main]
    async fn main() -> Result<()> {
        steps_of(1, FILES).await
    }
    main()
}
