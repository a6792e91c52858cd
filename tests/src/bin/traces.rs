//! A pipeline in which everything says what span it is in.

use bowline::prelude::*;

const SAY: &str = "env | grep ^TRACE | sort | tr '\\n' ' '";

fn busybox() -> Container {
    Container::from_image("busybox:1.35").env("NONCE", std::env::var("NONCE").unwrap_or_default())
}

fn speaker(service: Service) -> Service {
    service
        .env("NONCE", std::env::var("NONCE").unwrap_or_default())
        .run(["sh", "-c", &format!("{SAY} > /said; exec httpd -f -p 80")])
        .expose(80)
}

/// What the processes of a service find, and of commands in it.
async fn said_in(name: &str, service: &Service) -> Result<()> {
    println!("{name}: {}", service.exec(["cat", "/said"]).await?.stdout_text());
    println!("{name}-command: {}", service.exec(Exec::shell(SAY)).await?.stdout_text());
    let own = service.exec(Exec::shell(SAY)).env("TRACEPARENT", "mine").await?;
    println!("{name}-own-command: {}", own.stdout_text());
    Ok(())
}

#[bowline::main]
async fn says() -> Result<()> {
    let step = busybox().shell(SAY).named("step");
    println!("step: {}", step.stdout().await?);
    println!("own: {}", busybox().env("TRACEPARENT", "mine").shell(SAY).named("own").stdout().await?);
    said_in("service", &speaker(Service::from_image("busybox:1.35").named("service"))).await?;
    let own = Service::from_image("busybox:1.35").env("TRACEPARENT", "mine").named("own-service");
    said_in("own-service", &speaker(own)).await
}

/// A step that has run in a trace, and what comes after it.
#[bowline::main]
async fn leaves() -> Result<()> {
    let left = busybox().shell(SAY).named("left");
    println!("left: {}", left.stdout().await?);
    if let Some(image) = std::env::var_os("IMAGE") {
        left.export_image(&image).await?;
    }
    let after = Container::from_container(&left).env("AFTER", std::env::var("AFTER").unwrap_or_default());
    println!("after: {}", after.shell(SAY).named("after").stdout().await?);
    Ok(())
}

/// Everything that may become of an item, with a secret in it.
#[bowline::main]
async fn ends() -> Result<()> {
    let token = secret::value("token", "s3cr3t-of-the-trace");
    let found = busybox().shell("echo found").named("found");
    let earlier = Session::new();
    earlier.scope(found.sync()).await?;
    earlier.close().await?;
    found.sync().await?;
    let redis = Service::from_image("redis:7").env("NONCE", std::env::var("NONCE").unwrap_or_default());
    let redis = redis.expose(6379).named("redis");
    let test = busybox()
        .bind("db", &redis)
        .env("TOKEN", &token)
        .exec(["sh", "-c", "echo it goes wrong with $TOKEN; echo $0 >&2; exit 3", "s3cr3t-of-the-trace"])
        .named("test");
    let late = Container::from_container(&test).shell("true").named("late");
    late.sync().await.expect_err("a step of it fails");
    Ok(())
}

#[bowline::main]
async fn one() -> Result<()> {
    busybox().shell("true").named("one").sync().await
}

fn main() -> Result<()> {
    if std::env::var_os("EXPORT").is_some() {
        bowline::otel()?;
        bowline::otel()?;
    }
    match std::env::args().nth(1).as_deref() {
        Some("says") => says(),
        Some("leaves") => leaves(),
        Some("ends") => ends(),
        Some("one") => one(),
        other => panic!("{other:?}"),
    }
}
