//! Methods for what has a name.
#![deny(warnings, missing_docs, unreachable_pub, missing_debug_implementations)]

use bowline::{Directory, Endpoint, File, pipeline};

/// Makes one.
pub fn methods(tls: bool) -> (Endpoint, Option<Endpoint>) {
    let name = String::from("app");
    let p = pipeline! {
        /// Serves a page.
        service web {
            image "nginx:1.22";
            expose 80 as http;
            if tls { expose 443 as https; } else { expose 8443 as https; }
            for port in 9000..9002 { expose port; }
            if tls { expose 8444 as admin; }
        }
        /// Builds it.
        container build {
            image "rust:1.95";
            exec ["make"];
            export "/out/app" as binary;
            export "/out/docs/" as docs;
            export (format!("/out/{name}")) as dynamic;
            if tls { export "/etc/tls.pem" as certificate; } else { export (name.as_str()) as certificate; }
        }
        container plain { image "debian:12"; bind web; exec ["true"]; }
    };
    let (_, _): (File, Directory) = (p.build.binary(), p.build.docs());
    let (_, _): (File, Option<File>) = (p.build.dynamic(), p.build.certificate());
    let web: &bowline::Service = &p.web;
    assert_eq!(web.hostname(), p.web.http().host());
    assert_eq!(p.web.https().map(|port| port.port()), Some(if tls { 443 } else { 8443 }));
    let copy = p.clone();
    // What has methods of its own goes wherever a plain one does.
    let services: [bowline::Service; 2] = [(&p.web).into(), copy.web.clone().into()];
    let containers: Vec<bowline::Container> = vec![copy.build.clone().into(), p.plain.clone()];
    assert_eq!((services[0].name(), containers[0].name()), (Some("web"), Some("build")));
    assert!(!format!("{copy:?}").is_empty());
    (p.web.http(), p.web.admin())
}

fn main() {
    assert_eq!(methods(true).1.map(|port| port.port()), Some(8444));
    assert!(methods(false).1.is_none());
}
