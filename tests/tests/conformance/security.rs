//! What the kernel does for a container, and lets it do, where a pipeline says so.

use bowline::{Container, pipeline};
use bowline_tests::nonce;

fn busybox() -> Container {
    Container::from_image("busybox:1.35").env("NONCE", nonce())
}

#[bowline::test]
async fn settings_of_the_kernel_are_those_of_the_container() {
    let nonce = nonce();
    let p = pipeline! {
        service web {
            image "busybox:1.35";
            env NONCE = &nonce;
            sysctl "net.core.somaxconn" = 77;
            run ["sh", "-c", "mkdir /www; cat /proc/sys/net/core/somaxconn > /www/n; exec httpd -f -p 80 -h /www"];
            expose 80;
        }
        container client {
            image "busybox:1.35";
            bind web;
            exec ["wget", "-qO-", "http://web/n"];
        }
        container own {
            image "busybox:1.35";
            env NONCE = &nonce;
            sysctl "net.ipv4.ip_local_port_range" = "20000 20100";
            sysctl "kernel.msgmax" = 4321;
            sysctl "fs.mqueue.msg_max" = 7;
            user "65534";
            shell "cd /proc/sys; cat net/ipv4/ip_local_port_range kernel/msgmax fs/mqueue/msg_max | xargs";
            sysctl "kernel.msgmax" = 1234;
            shell "cat /proc/sys/kernel/msgmax; echo 5 2>/dev/null > /proc/sys/kernel/msgmax || echo refused";
        }
        // What was before in its network is not met by another.
        container plain {
            image "busybox:1.35";
            after own;
            env NONCE = &nonce;
            shell "cat /proc/sys/net/ipv4/ip_local_port_range | xargs";
        }
    };
    assert_eq!(p.client.stdout().await.unwrap(), "77\n");
    assert_eq!(p.own.stdout().await.unwrap(), "1234\nrefused\n");
    let first = busybox()
        .sysctl("net.ipv4.ip_local_port_range", "20000 20100")
        .sysctl("kernel.msgmax", 4321)
        .sysctl("fs.mqueue.msg_max", 7)
        .user("65534")
        .shell("cd /proc/sys; cat net/ipv4/ip_local_port_range kernel/msgmax fs/mqueue/msg_max | xargs");
    assert_eq!(first.stdout().await.unwrap(), "20000 20100 4321 7\n");
    assert_ne!(p.plain.stdout().await.unwrap(), "20000 20100\n");
    assert_ne!(p.web.clone().sysctl("net.core.somaxconn", 78).hostname(), p.web.hostname());
}

#[bowline::test]
async fn a_setting_that_no_container_has_is_an_error_that_names_it() {
    for (name, value, said) in [
        ("vm.swappiness", "1", "is a setting of the whole machine"),
        ("net.core.somaxconn", "1\n2", "no line of at most"),
        ("net.core.no_such_setting", "1", "no such"),
        ("net.core.somaxconn", "many", "invalid argument"),
    ] {
        let error = busybox().sysctl(name, value).exec(["true"]).sync().await.unwrap_err().to_string();
        assert!(error.to_lowercase().contains(said), "{error}");
        assert!(error.contains(name.rsplit('.').next().unwrap()), "{error}");
    }
}
