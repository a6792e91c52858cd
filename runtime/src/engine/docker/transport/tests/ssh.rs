//! Tests of ssh: how often it is run, and what happens to its messages.

use super::*;

const COUNTS: &str = "echo >>runs; ";

fn runs(directory: &Path) -> usize {
    std::fs::read_to_string(directory.join("runs")).unwrap_or_default().lines().count()
}

async fn fails(script: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    message(&behind_ssh(directory.path(), script).ping().await.unwrap_err())
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let directory = tempfile::tempdir().unwrap();
    // Each takes three requests.
    let script = format!("{COUNTS} greet; for _ in 1 2 3; do hear; say OK; done");
    let engine = behind_ssh(directory.path(), &script);
    for asked in 1..=7_usize {
        assert_eq!(engine.ping().await.unwrap(), "OK");
        // The connection is taken back once the answer has been read.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(runs(directory.path()), asked.div_ceil(3), "after {asked}");
    }
}

#[tokio::test]
async fn logins_are_few_at_a_time_and_requests_are_not() {
    const ASKED: usize = 40;
    let directory = tempfile::tempdir().unwrap();
    // An answer comes once all requests have arrived.
    let script = format!(
        "mkdir login.$$; ls -d login.* | wc -l >>logins; sleep 0.1; rmdir login.$$; greet; hear; {COUNTS}
         while [ $(wc -l <runs) -lt {ASKED} ]; do sleep 0.2; done; say OK"
    );
    let engine = behind_ssh(directory.path(), &script);
    let all = futures_util::future::join_all((0..ASKED).map(|_| engine.ping()));
    for answer in tokio::time::timeout(Duration::from_secs(50), all).await.expect("none waits for another") {
        assert_eq!(answer.unwrap(), "OK");
    }
    let logins = std::fs::read_to_string(directory.path().join("logins")).unwrap();
    let most = logins.lines().filter_map(|line| line.trim().parse::<usize>().ok()).max();
    assert!(most.is_some_and(|most| (2..=8).contains(&most)), "{most:?}");
}

#[tokio::test]
async fn what_ssh_says_is_the_error() {
    let error = fails("echo 'me@host: Permission denied (publickey).' >&2; exit 255").await;
    let expected = "/ssh` ended: me@host: Permission denied (publickey).)";
    assert!(error.contains("(ssh://me@host: `") && error.contains(expected), "{error}");
    let error = fails("exit 3").await;
    assert!(error.contains("/ssh` ended with exit status: 3"), "{error}");
    let error = fails("hear; echo 'Welcome!'; exit 0").await;
    assert!(error.contains("it does not speak Docker's API: `Welcome!`"), "{error}");
    let error = fails("hear; exit 0").await;
    assert!(error.contains("closed the connection"), "{error}");
    // The end of its messages is kept, and it never blocks on writing them.
    let error = fails("hear; head -c 1000000 /dev/zero | tr '\\0' x >&2; echo last >&2; exit 1").await;
    assert!(error.contains("xlast)") && error.len() < 5000, "{} bytes", error.len());

    let mut destination = Destination::parse("host").unwrap();
    destination.call("/none/ssh");
    let error = Place::Ssh(destination).reach().await.err().unwrap();
    assert_eq!(error.to_string(), "`/none/ssh` is not installed");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let script = r"greet; hear
        case $asked in
            *attach*) printf 'HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n\001\000\000\000\000\000\000\001x';;
            *) printf 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nO';;
        esac
        echo 'host: Broken pipe' >&2; exit 255";
    let engine = behind_ssh(directory.path(), script);
    let error = message(&engine.ping().await.unwrap_err());
    assert!(error.contains("host: Broken pipe"), "{error}");
    let options = AttachContainerOptionsBuilder::default().stdout(true).stream(true).build();
    let mut attached = engine.attach_container("x", Some(options)).await.unwrap();
    assert_eq!(attached.output.next().await.unwrap().unwrap().into_bytes(), "x");
    let error = message(&attached.output.next().await.unwrap().unwrap_err());
    assert!(error.contains("host: Broken pipe"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_crowded_is_asked_again() {
    let directory = tempfile::tempdir().unwrap();
    let script = format!(
        "{COUNTS} if [ $(wc -l <runs) -lt 3 ]; then
             echo 'kex_exchange_identification: Connection closed by remote host' >&2; exit 255
         fi; greet; hear; say OK"
    );
    let engine = behind_ssh(directory.path(), &script);
    assert_eq!(engine.ping().await.unwrap(), "OK");
    assert_eq!(runs(directory.path()), 3);
}

#[tokio::test]
async fn no_process_is_left_of_a_connection() {
    let directory = tempfile::tempdir().unwrap();
    let engine = behind_ssh(directory.path(), "echo $$ >pid; greet; hear; say OK; exec sleep 600");
    engine.ping().await.unwrap();
    let pid = std::fs::read_to_string(directory.path().join("pid")).unwrap();
    // Signal 0 only checks whether the process exists.
    let is_there = || std::process::Command::new("kill").args(["-0", pid.trim()]).status().unwrap().success();
    assert!(is_there(), "it waits for another request");
    drop(engine);
    for _ in 0..100 {
        if !is_there() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it is there");
}
