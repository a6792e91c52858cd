//! What processes of users without any rights can do all the same.

use bowline::{Container, pipeline};
use bowline_tests::nonce;

#[bowline::test]
async fn a_process_of_any_user_opens_its_streams_by_name() {
    let nonce = nonce();
    let speaks = "cat /dev/stdin > /dev/stdout; echo error > /dev/stderr; echo more >> /dev/stdout";
    let serves = "echo starts > /dev/stdout; echo starts > /dev/stderr; exec httpd -f -p 8080 -h /tmp";
    let is_ready = "echo probed > /dev/stdout && echo probed > /dev/stderr && : < /dev/stdin";
    let p = pipeline! {
        service web {
            image "busybox:1.35";
            env NONCE = &nonce;
            user "65534";
            run ["sh", "-c", serves];
            expose 8080;
            ready exec ["sh", "-c", is_ready] within "20s";
        }
        container own {
            image "busybox:1.35";
            env NONCE = &nonce;
            bind web;
            user "1000:1000";
            exec ["sh", "-c", speaks] { stdin "text\n"; }
        }
        container named {
            image "busybox:1.35";
            env NONCE = &nonce;
            user "nobody";
            shell "wc -c < /dev/stdin; echo out > /dev/stdout";
        }
    };
    let output = p.own.output().await.unwrap();
    assert_eq!(output.stdout, b"text\nmore\n");
    assert_eq!(output.stderr, b"error\n");
    assert_eq!(p.named.stdout().await.unwrap(), "0\nout\n");
}

#[bowline::test]
async fn a_process_of_any_user_listens_on_small_ports() {
    let nonce = nonce();
    let p = pipeline! {
        service web {
            image "busybox:1.35";
            env NONCE = &nonce;
            user "65534";
            run ["sh", "-c", "echo page > /tmp/index.html; exec httpd -f -p 80 -h /tmp"];
            expose 80;
        }
        container client {
            image "busybox:1.35";
            env NONCE = &nonce;
            bind web;
            exec ["wget", "-qO-", "http://web/"];
        }
    };
    assert_eq!(p.client.stdout().await.unwrap(), "page\n");
}

async fn hostname(of: &Container) -> String {
    let variables = of.stdout().await.unwrap();
    let found = variables.lines().find_map(|line| line.strip_prefix("HOSTNAME="));
    found.unwrap_or("none").to_owned()
}

#[bowline::test]
async fn processes_know_their_host_by_a_variable() {
    let nonce = nonce();
    let p = pipeline! {
        container own {
            image "busybox:1.35";
            env NONCE = &nonce;
            exec ["env"];
        }
        container named {
            image "busybox:1.35";
            env NONCE = &nonce;
            hostname "builder";
            exec ["env"];
        }
        container told {
            image "busybox:1.35";
            env NONCE = &nonce;
            env HOSTNAME = "told";
            exec ["env"];
        }
    };
    assert_eq!(hostname(&p.own).await, "bowline");
    assert_eq!(hostname(&p.named).await, "builder");
    assert_eq!(hostname(&p.told).await, "told");
}
