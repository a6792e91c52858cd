use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            limit memory "512 megs";
            limit memory "512";
            limit memory "0";
            limit core "all";
            limit core "99999999TB";
            shm "1KiB";
            shm "64";
        }
    };
    let _ = p;
}
