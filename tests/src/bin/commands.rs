//! A pipeline with a command line, in which things go well and wrong.

use bowline::prelude::*;

pipeline! {
    /// What tests ask for.
    fn ci(
        /// So that nothing is cached
        nonce: &str,
        /// Files that something is made of
        dir: Option<String>,
        /// An image with a version
        image: Option<String>,
    ) -> Ci;

    service redis { image "redis:7"; env NONCE = nonce; expose 6379; }
    /// A server that says nothing.
    service silent {
        image "busybox:1.35";
        env NONCE = nonce;
        run ["sleep", "600"];
        expose 80;
        ready port within "1s";
    }
    container ping { image "redis:7"; bind redis; exec ["redis-cli", "-h", "redis", "ping"]; }
    for number in 1..=3 {
        container slow {
            image "busybox:1.35";
            name format!("slow-{number}");
            env NONCE = nonce;
            exec ["sh", "-c", format!("echo {number}; sleep 0.5")];
        }
    }
    container broken {
        image "busybox:1.35";
        env NONCE = nonce;
        shell "echo left >/left; echo \"it goes wrong: $((40+2))\"; exit 3";
    }
    /// A server that ends at once.
    service dying { image "busybox:1.35"; env NONCE = nonce; run ["sh", "-c", "echo last words: $((40+2)); exit 4"]; expose 80; }
    container doomed { image "busybox:1.35"; bind dying; exec ["true"]; }
    /// Makes files.
    container build {
        image "busybox:1.35";
        env NONCE = nonce;
        shell "mkdir -p /out/sub; echo an app >/out/app; echo below >/out/sub/file";
        entrypoint ["cat", "/out/app"];
        export "/out/app" as app;
        export "/out/" as out;
    }
    container wordy {
        image "busybox:1.35";
        env NONCE = nonce;
        shell r"seq 3000; head -c 40000 /dev/zero | tr '\0' x; printf '\377\n\r\n\n\\n'; seq 5 >&2";
    }
    /// Takes long enough to be looked at.
    container lasting { image "busybox:1.35"; env NONCE = nonce; shell "echo it begins; sleep 6; echo it ends"; }
    container explained {
        image "busybox:1.35";
        exec ["true"];
        env NONCE = nonce;
        exec ["echo", nonce];
    }
    if let Some(dir) = dir {
        /// A server of these files.
        service page {
            image "busybox:1.35";
            copy (host(&dir)) to "/www";
            run ["httpd", "-f", "-p", "80", "-h", "/www"];
            expose 80;
        }
        container listed { image "busybox:1.35"; mount (host(&dir)) at "/src" readonly; exec ["ls", "/src"]; }
    }
    if let Some(image) = image {
        container versioned { image image; env NONCE = nonce; exec ["cat", "/version"]; }
    }
    /// Leaves a file that takes a while to be moved.
    container large {
        image "busybox:1.35";
        env NONCE = nonce;
        shell "head -c 60000000 /dev/urandom >/large; sleep 1; echo made";
    }
    /// Another result in every run.
    container random {
        image "busybox:1.35";
        env NONCE = nonce;
        shell "tee /id < /proc/sys/kernel/random/uuid";
    }
    container reread { from random; exec ["cat", "/id"]; }
    /// Soon too old.
    container aged {
        image "busybox:1.35";
        env NONCE = nonce;
        shell "tee /id < /proc/sys/kernel/random/uuid" { fresh "100ms"; }
        exec ["cat", "/id"];
    }
    container stuck { image "busybox:1.35"; bind silent; exec ["true"]; }
}

bowline::cli!(ci);
