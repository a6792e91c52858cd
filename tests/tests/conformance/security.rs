//! What the kernel does for a container, and lets it do, where a pipeline says so.

use bowline::{Container, Service, pipeline};
use bowline_tests::{busybox, nonce};

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

/// What `cap drop "X"` and `cap add "X"` leave of it, as programs see it.
async fn effective(container: Container) -> u64 {
    let look = "sed -n 's/^CapEff:[^0-9a-f]*//p' /proc/self/status";
    let said = container.shell(look).stdout().await.unwrap();
    u64::from_str_radix(said.trim(), 16).unwrap()
}

#[bowline::test]
async fn a_capability_is_added_or_dropped() {
    let nonce = nonce();
    let address = "ip addr add 10.99.0.1/32 dev lo 2>/dev/null && echo added || echo refused";
    let owner = "touch /x && chown 5:5 /x 2>/dev/null && echo changed || echo refused";
    let p = pipeline! {
        container plain {
            image "busybox:1.35";
            env NONCE = &nonce;
            shell address;
        }
        container admin {
            image "busybox:1.35";
            env NONCE = &nonce;
            cap add "NET_ADMIN";
            shell address;
        }
        container owns {
            image "busybox:1.35";
            env NONCE = &nonce;
            shell owner;
        }
        container stays {
            image "busybox:1.35";
            env NONCE = &nonce;
            cap drop "CHOWN";
            shell owner;
        }
        container later {
            from stays;
            cap add "CHOWN";
            shell owner;
        }
    };
    assert_eq!(p.plain.stdout().await.unwrap(), "refused\n");
    assert_eq!(p.admin.stdout().await.unwrap(), "added\n");
    assert_eq!(p.owns.stdout().await.unwrap(), "changed\n");
    assert_eq!(p.stays.stdout().await.unwrap(), "refused\n");
    assert_eq!(p.later.stdout().await.unwrap(), "changed\n");
}

#[bowline::test]
async fn of_each_capability_the_last_word_counts() {
    const CHOWN: u64 = 1;
    const NET_ADMIN: u64 = 1 << 12;
    let default = effective(busybox()).await;
    assert_eq!(default & (CHOWN | NET_ADMIN), CHOWN);
    assert_eq!(effective(busybox().cap_drop("all")).await, 0);
    assert_eq!(effective(busybox().cap_drop("ALL").cap_add("cap_chown")).await, CHOWN);
    assert_eq!(effective(busybox().cap_add("NET_ADMIN").cap_drop("CAP_NET_ADMIN")).await, default);
    let both = busybox().cap_drop("CHOWN").cap_add("NET_ADMIN");
    assert_eq!(effective(both).await, default & !CHOWN | NET_ADMIN);
    assert_eq!(effective(busybox().cap_drop("ALL").cap_add("NET_ADMIN")).await, NET_ADMIN);
    // Who is not root has none, and no program gives any that was dropped.
    assert_eq!(effective(busybox().cap_add("NET_ADMIN").user("65534")).await, 0);
    let bounds = "sed -n 's/^Cap[A-Z][a-z]*:[^0-9a-f]*//p' /proc/self/status | sort -u";
    for user in ["0", "65534"] {
        let seen = busybox().cap_drop("ALL").user(user).shell(bounds).stdout().await.unwrap();
        assert_eq!(seen, "0000000000000000\n", "{user}");
    }
}

#[bowline::test]
async fn a_service_and_its_probe_have_what_is_added() {
    let nonce = nonce();
    let p = pipeline! {
        service web {
            image "busybox:1.35";
            env NONCE = nonce;
            cap add "NET_ADMIN";
            run ["sh", "-c", "ip addr add 10.99.0.2/32 dev lo && exec httpd -f -p 80 -h /etc"];
            expose 80;
            ready exec ["ip", "addr", "add", "10.99.0.3/32", "dev", "lo"] within "20s";
        }
        container client {
            image "busybox:1.35";
            bind web;
            exec ["wget", "-qO-", "http://web/passwd"];
        }
    };
    assert!(p.client.stdout().await.unwrap().starts_with("root:"));
}

#[bowline::test]
async fn what_cannot_be_meant_or_given_is_an_error_that_names_it() {
    for (wrong, said) in [
        (busybox().cap_add("NET_ADMN"), "a capability with a similar name exists: `NET_ADMIN`"),
        (busybox().privileged().cap_drop("CHOWN"), "`privileged` gives all capabilities"),
        (busybox().cap_drop("CHOWN").privileged(), "`privileged` gives all capabilities"),
    ] {
        let error = wrong.exec(["true"]).sync().await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    // An engine gives what it has got.
    if let Err(error) = busybox().cap_add("SYS_RESOURCE").exec(["true"]).sync().await {
        let error = error.to_string();
        assert!(error.contains("cap add") && error.contains("help: "), "{error}");
    }
}

#[bowline::test]
async fn capabilities_are_a_part_of_an_identity_whatever_they_are_called() {
    let service = || Service::from_image("redis:7").expose(6379);
    let name = |service: Service| service.hostname();
    assert_eq!(name(service().cap_add("CAP_NET_ADMIN")), name(service().cap_add("net_admin")));
    assert_ne!(name(service().cap_add("NET_ADMIN")), name(service()));
    assert_ne!(name(service().cap_add("CHOWN")), name(service().cap_drop("CHOWN")));
    assert_eq!(name(service().cap_add("CHOWN").cap_drop("ALL")), name(service().cap_drop("ALL")));
}
