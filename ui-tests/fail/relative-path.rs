use bowline::pipeline;

fn main() {
    let p = pipeline! {
        cache data;
        container a {
            image "debian:12";
            mount data at "data";
            mount data at "/";
            file "./etc/motd" = "text";
            file "/etc/../motd" = "text";
            export "out/app" as app;
            exec ["ls"] { stdout to "listing"; }
            tmpfs "tmp";
            socket "run/docker.sock" at "docker.sock";
        }
    };
    let _ = p;
}
