//! Every statement in every form.
#![deny(warnings)]

use bowline::pipeline;
use std::time::Duration;

const ADMIN: u16 = 8081;

fn main() {
    let (key, limit, text) = ("DYNAMIC".to_owned(), Duration::from_secs(5), String::from("text"));
    let arguments = ["a", "b"];
    let p = pipeline! {
        cache data;
        secret token = bowline::secret::value("token", &text);
        service web {
            image "nginx:1.22";
            workdir "/srv";
            user 1000.to_string();
            entrypoint ["/init", "--"];
            entrypoint [];
            hostname "web-1";
            tmpfs "/tmp";
            socket "/run/docker.sock" at "/run/docker.sock";
            privileged;
            limit cpu 0.5;
            limit memory "512MiB";
            limit memory 1 << 29;
            limit pids 256;
            limit pids arguments.len() as u32 * 16;
            limit nofile 65536;
            limit core "0";
            cap drop "ALL";
            cap add "CAP_CHOWN";
            cap add text.as_str();
            shm "256MiB";
            sysctl "net.core.somaxconn" = 1024;
            sysctl (key.as_str()) = &text;
            shm 1 << 28;
            limit core 1 << 20;
            limit core format!("{}KiB", text.len());
            file "/srv/index.html" = "Hello";
            file "/srv/bytes" = [1, 2, 3];
            run ["nginx", "-g", format!("daemon off; # {text}")];
            expose 80 as http;
            expose ADMIN as admin;
            expose ADMIN + 1;
            expose 53/udp as dns unprobed;
            expose 54/tcp unprobed;
            ready http "/healthz" on admin within "1m30s";
            stop "SIGQUIT" within limit;
            linger Duration::from_secs(1);
            instance 5;
            shared;
        }
        service a { image "x:1"; expose 80; ready http (text.as_str()) on 80; stop "TERM"; linger "5s"; }
        service b { image "x:1"; expose 80; ready exec ["test", "-e", &text]; }
        service c { image "x:1"; expose 80; ready log "started" times 2 within (limit); run vec!["a"]; }
        service d { image "x:1"; expose 80; ready image; }
        service e { from base; expose 80; ready port within "500ms"; }
        container base { image "debian:12"; platform "linux/amd64"; label "com.example.team" = "x"; label build = 5; exec ["true"]; }
        container client {
            image "debian:12";
            env PLAIN = "x";
            env TOKEN = &token;
            env "WITH.DOT" = 5;
            env (key.as_str()) = &text;
            mount data at "/data";
            mount data at "/readonly" readonly;
            mount data at text.as_str() readonly;
            mount token at "/run/secrets/token";
            mount (base.directory("/etc")) at "/etc-of-base" readonly;
            copy (base.file("/etc/passwd")) to "/passwd";
            copy (base.directory("/etc")) to format!("/{text}");
            bind web;
            bind a as "alias-of-a";
            exec ["echo", "x"];
            exec ["echo", 5, &text, 'c', text.clone()];
            exec std::env::args();
            exec ["cat"] { stdin "x"; }
            exec ["cat", 5] { stdin [1, 2]; expect success; timeout "1m30s"; stdout to "/o"; stderr to &text; uncached; };
            exec arguments { expect failure; timeout limit; }
            exec (arguments.clone()) { expect any; }
            shell "cat | cat" { stdin &text; }
            shell "echo a | cat";
            after base;
            export "/etc/passwd" as passwd;
        }
    };
    let _ = p.plan();
}
