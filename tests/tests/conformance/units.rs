//! Steps that share a service and depend on each other see what the others did to it.

use bowline::{Container, Service, Session};
use bowline_tests::{nonce, server};

fn redis() -> Service {
    Service::from_image("redis:7").env("NONCE", nonce()).expose(6379).named("redis")
}

fn cli(redis: &Service) -> Container {
    Container::from_image("redis:7").bind("db", redis)
}

#[bowline::test]
async fn a_chain_meets_one_instance_whatever_lies_between() {
    // Without a pin the service would be gone between the two: it does not linger, and the pause needs no service.
    let redis = redis().linger("0s");
    let set = cli(&redis).exec(["redis-cli", "-h", "db", "incr", "n"]).named("set");
    let pause = Container::from_container(&set).exec(["sleep", "1"]).named("pause");
    let get = Container::from_container(&pause)
        .bind("db", &redis)
        .exec(["redis-cli", "-h", "db", "get", "n"])
        .named("get");
    assert_eq!(get.stdout().await.unwrap(), "1\n");
}

#[bowline::test]
async fn after_copy_and_mount_join_steps_into_units() {
    if !bowline_tests::has_time() {
        return;
    }
    let redis = redis().linger("0s");
    let migrate = cli(&redis).shell("redis-cli -h db set a 1 && echo done > /marker").named("migrate");
    let after = cli(&redis).after(&migrate).exec(["redis-cli", "-h", "db", "get", "a"]);
    assert_eq!(after.stdout().await.unwrap(), "1\n");
    let mounted =
        cli(&redis).mount("/marker", migrate.file("/marker")).exec(["redis-cli", "-h", "db", "get", "a"]);
    let mounted = mounted.env("NONCE", nonce()).exec(["redis-cli", "-h", "db", "get", "a"]);
    assert_eq!(mounted.stdout().await.unwrap(), "1\n");
}

#[bowline::test]
async fn an_edited_step_replays_the_cached_ones_before_it() {
    let redis = redis();
    let set = cli(&redis).exec(["redis-cli", "-h", "db", "incr", "n"]).named("set");
    let unrelated = Container::from_container(&set).shell("date +%s%N > /stamp").named("unrelated");
    let get = |edit: &str| {
        Container::from_container(&unrelated)
            .bind("db", &redis)
            .env("EDIT", edit)
            .shell("redis-cli -h db get n; cat /stamp")
            .named("get")
    };
    let first = Session::new();
    let before = first.scope(get("one").stdout()).await.unwrap();
    assert!(before.starts_with("1\n"), "{before}");
    first.close().await.unwrap();

    // The service and its state are gone; `set` is cached, the edited `get` is not.
    let second = Session::new();
    let after = second.scope(get("two").stdout()).await.unwrap();
    assert_eq!(
        after, before,
        "never a test against an empty database; what lies between comes from the cache"
    );
    // Once replayed, it is not replayed again against the same instance.
    assert_eq!(second.scope(get("three").stdout()).await.unwrap(), before);
    second.close().await.unwrap();
}

#[bowline::test]
async fn a_unit_through_another_service_is_replayed_too() {
    if !bowline_tests::has_time() {
        return;
    }
    // The client is bound to `app` only; what matters is in `db`, which `app` is bound to.
    let db = redis();
    let app = server("app").bind("db", &db);
    let migrate = cli(&db).exec(["redis-cli", "-h", "db", "incr", "n"]).named("migrate");
    let ask = |edit: &str| {
        cli(&db).bind("app", &app).after(&migrate).env("EDIT", edit).exec([
            "redis-cli",
            "-h",
            "db",
            "get",
            "n",
        ])
    };
    for edit in ["one", "two"] {
        let session = Session::new();
        assert_eq!(session.scope(ask(edit).stdout()).await.unwrap(), "1\n");
        session.close().await.unwrap();
    }
}

#[bowline::test]
async fn concurrent_steps_share_one_replay() {
    if !bowline_tests::has_time() {
        return;
    }
    let redis = redis();
    let set = cli(&redis).exec(["redis-cli", "-h", "db", "incr", "n"]).named("set");
    let first = Session::new();
    first.scope(set.sync()).await.unwrap();
    first.close().await.unwrap();
    let gets: Vec<_> = (0..3)
        .map(|n| cli(&redis).after(&set).env("N", n).exec(["redis-cli", "-h", "db", "get", "n"]))
        .collect();
    let all = futures_util::future::try_join_all(gets.iter().map(Container::stdout)).await.unwrap();
    assert_eq!(all, ["1\n", "1\n", "1\n"]);
}
