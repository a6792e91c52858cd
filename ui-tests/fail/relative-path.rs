use bowline::pipeline;

fn main() {
    let p = pipeline! {
        cache data;
        container b { image "debian:12"; }
        container a {
            image "debian:12";
            mount data at "data";
            mount data at "/";
            file "./etc/motd" = "text";
            file "/etc/../motd" = "text";
            export "out/app" as app;
            exec ["ls"] { stdout to "listing"; }
            tmpfs "tmp";
            copy (b.directory("/a")) to "src";
            socket "run/docker.sock" at "docker.sock";
        }
    };
    let _ = p;
}
