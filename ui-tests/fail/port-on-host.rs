use bowline::prelude::*;

fn main() {
    let _ = pipeline! {
        service web {
            image "nginx:1.22";
            expose 80 as http on 8080;
            expose 81 on host 70000;
        }
    };
}
