use bowline::pipeline;

fn main() {
    let p = pipeline! {
        cache wheels;
        container b { image "debian:12"; }
        dir src = b.directory("/src");
        container a {
            image "debian:12";
            file "/etc/hosts" = "10.0.0.1 db";
            mount src at "/proc/src";
            tmpfs "/dev";
            mount wheels at "/wheels";
            mount src at "/src" readonly;
            file "/wheels/x" = "text";
            copy src to "/src/sub";
            exec ["ls"] { stdout to "/src/listing"; stderr to "/dev/null"; }
            export "/wheels/all/" as all;
        }
    };
    let _ = p;
}
