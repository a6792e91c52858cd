use bowline::pipeline;

fn main() {
    let p = pipeline! {
        cache data;
        container ping {
            image "redis:7";
            mount data "/data";
            mount data;
            env A "b";
            env B;
            file "/etc/motd" "text";
            export "/x" name;
        }
    };
    let _ = p;
}
