//! Services: reached by containers that are linked to them, and by no others.

use super::*;
use crate::lock::lock;

const SERVER: &str = "mkdir -p /www; echo page > /www/index.html; exec httpd -f -p 80 -h /www";

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_reached_by_its_names_and_only_by_those_linked() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let web = engine.start(service(&base, HOST, &["sh", "-c", SERVER]), nothing()).await.unwrap();
    let progress = ProbeProgress::default();
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, web.wait_ports(&[Port::tcp(80)], &progress)).await.unwrap().unwrap();
    tokio::time::timeout(limit, web.wait_http(80, "/", &progress)).await.unwrap().unwrap();
    let mut client =
        script(&base, &format!("wget -qO- http://www/; wget -qO- http://{HOST}/; cat /etc/hostname"));
    client.links = vec![link(HOST, "www")];
    let (_, output) = run(&*engine, client).await;
    assert_eq!(
        (text(&output.stdout).as_str(), output.exit_code),
        ("page\npage\nbowline\n", 0),
        "{}",
        text(&output.stderr)
    );
    // A container that is not linked does not reach it, even if it knows the address.
    let try_to_reach = |seconds: u32| {
        let reach = format!("nc -w {seconds} 10.205.0.2 80 </dev/null && echo reached");
        script(&base, &format!("{reach}; wget -qO- http://www/ || echo unknown"))
    };
    // A busy machine takes its time.
    let (stranger, mut known) = (try_to_reach(1), try_to_reach(20));
    known.links = vec![link(HOST, "www")];
    assert_eq!(text(&run(&*engine, known).await.1.stdout), "reached\npage\n");
    let (_, output) = run(&*engine, stranger).await;
    assert_eq!(text(&output.stdout), "unknown\n");
    web.remove().await.unwrap();
    assert_eq!(web.wait().await.unwrap().code, 137);
    let mut late = script(&base, "true");
    late.links = vec![link(HOST, "www")];
    let error = engine.prepare(late).await.unwrap().run(nothing()).await.err().unwrap().to_string();
    assert!(error.contains("does not run"), "{error}");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_takes_signals_and_commands() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let program = "trap 'echo bye; exit 5' TERM; echo up; while true; do sleep 0.05; done";
    let (sink, heard) = crate::engine::testing::recorder();
    let service = engine.start(service(&base, HOST, &["sh", "-c", program]), sink).await.unwrap();
    assert!(soon(|| text(&lock(&heard).stdout) == "up\n"));
    let inside = ["sh", "-c", "hostname; echo x > /made; exit 4"].map(str::to_owned);
    let output = service.exec(&inside).await.unwrap();
    assert_eq!((text(&output.stdout), output.exit_code), (format!("{HOST}\n"), 4));
    let output = service.exec(&["cat", "/made"].map(str::to_owned)).await.unwrap();
    assert_eq!(text(&output.stdout), "x\n");
    let error = service.exec(&["no-such-command".to_owned()]).await.err().unwrap().to_string();
    assert!(error.contains("there is no command"), "{error}");
    service.signal("SIGTERM").await.unwrap();
    assert_eq!(service.wait().await.unwrap().code, 5);
    assert_eq!(text(&lock(&heard).stdout), "up\nbye\n");
    service.signal("SIGTERM").await.unwrap();
    service.remove().await.unwrap();
    engine.close().await.unwrap();
}

/// A port that is closed at first, and a service that ends with its session.
#[tokio::test(flavor = "multi_thread")]
async fn ports_are_waited_for_and_nothing_is_left() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let mark = SessionId::random().to_string();
    let program = ["sh", "-c", "sleep 0.3; httpd -f -p 80 -h /; true", &mark];
    let started = Instant::now();
    let web = engine.start(service(&base, HOST, &program), nothing()).await.unwrap();
    let (waits, progress) = (Arc::clone(&web), ProbeProgress::default());
    waits.wait_ports(&[Port::tcp(80)], &progress).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(250), "{:?}", started.elapsed());
    let sleeps = ["sh", "-c", "sleep 62; true", &mark];
    let other = engine.start(service(&base, "other", &sleeps), nothing()).await.unwrap();
    assert!(soon(|| processes_with(&mark) > 0));
    engine.close().await.unwrap();
    assert!(soon(|| processes_with(&mark) == 0));
    drop((web, other));
}
