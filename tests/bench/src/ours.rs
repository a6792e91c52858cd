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
