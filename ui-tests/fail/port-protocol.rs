use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web {
            image "nginx:1.22";
            expose 53/upd;
            expose 54/sctp as x;
        }
    };
    let _ = p;
}
