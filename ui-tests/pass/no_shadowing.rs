//! Generated names are out of the way of the user's, and the user's of the generated.
#![deny(warnings)]
#![allow(non_camel_case_types)]

use bowline::pipeline;

#[derive(Clone, Copy)]
struct Pipeline(u16);
struct Web;
struct String;
struct Option;
struct Vec;
mod core {}
mod std {}

impl Pipeline {
    fn port(self) -> u16 {
        self.0
    }
}

fn main() {
    let (__out, __body, __define_web) = (Pipeline(80), Pipeline(81), Pipeline(82));
    let (image, bind, plan) = ("nginx:1.22", "alias", true);
    let p = pipeline! {
        service web {
            image image;
            expose (__out.port()) as http;
            if plan { expose (__body.port()) as other; }
            expose (__define_web.port()) as last;
            expose Pipeline(83).port();
        }
        for _each in 0..2 { container c { image image; bind web as (bind); exec ["true"]; export (image) as x; } }
        if plan { container d { image image; export "/x" as x; } }
    };
    let (_, _, _, _) = (Web, String, Option, Vec);
    assert_eq!((p.web.http().port(), p.web.last().port(), p.c.len()), (80, 82, 2));
    let _ = (p.c[0].x(), p.d.is_some());
}
