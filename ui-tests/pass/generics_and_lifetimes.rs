//! In generic functions, methods and with borrowed values.
#![deny(warnings)]

use bowline::{Container, Service, pipeline};

struct Suite<'a, T> {
    image: &'a str,
    arguments: Vec<T>,
    db: &'a Service,
}

impl<T: AsRef<str>> Suite<'_, T> {
    fn container(&self) -> Container {
        let p = pipeline! {
            service db = self.db;
            container test {
                image self.image;
                bind db;
                bind (self.db) as "again";
                exec self.arguments.iter().map(|argument| argument.as_ref());
                for argument in &self.arguments { exec ["echo", argument.as_ref()]; }
            }
        };
        p.test
    }
}

fn borrowed<'a>(images: impl Iterator<Item = &'a str>) -> Vec<Container> {
    pipeline! { for name in images { container c { image name; exec ["true"]; } } }.c
}

fn main() {
    let db = Service::from_image("postgres:15").expose(5432u16);
    let _ = Suite { image: "debian:12", arguments: vec!["a".to_owned()], db: &db }.container();
    assert_eq!(borrowed(["debian:12"].into_iter()).len(), 1);
}
