//! Host names are content-addressed: the same definition has the same name, in every run and on every machine.
//!
//! Needs no engine: names, endpoints and plans are known before anything runs.

use bowline::prelude::*;

fn main() -> Result<()> {
    let p = pipeline! {
        service web {
            image "nginx:1.22";
            expose 80 as http;
        }
        /// The same server with another definition: another name.
        service debug {
            image "nginx:1.22";
            run ["nginx-debug", "-g", "daemon off;"];
            expose 80 as http;
        }
    };
    println!("web    {}", p.web.hostname());
    println!("       {}", p.web.endpoint()?);
    println!("       {}", p.web.endpoint_on::<80>().with_scheme("http"));
    println!("debug  {}", p.debug.http());
    println!();
    println!("{}", p.plan());
    Ok(())
}
