use bowline::prelude::*;

pipeline! {
    fn ci(jobs: u16, keep_going: bool, (a, b): (u16, u16), größe: u16, _quick: bool) -> Ci;
    container c { image "debian:12"; env A = a + b + jobs + größe; env B = keep_going.to_string(); exec ["true"]; }
}

bowline::cli!(ci);
