//! The macro by the number of items. Half are services, half containers, each with what such a body has.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::cargo::Project;
use crate::{Result, median, millis, runtime};

const SIZES: [usize; 3] = [10, 100, 1000];

pub(crate) fn measure(at: &Path, rounds: usize) -> Result<()> {
    let plain = format!("[dependencies]\nbowline = {{ path = {:?} }}\n", runtime());
    let optimised = format!("{plain}\n[profile.dev.build-override]\nopt-level = 3\n");
    let first = Project::create(at, "first", &plain, "fn main() {}\n")?;
    first.cargo(&["check", "--offline"])?;
    let second = Project::create(at, "second", &optimised, "fn main() {}\n")?;
    second.cargo(&["check", "--offline"])?;
    println!("A pipeline by its items: medians of {rounds}, in ms\n");
    println!("         rustc expands the program             cargo check after an edit");
    println!("  items  macro  … optimised  builder by hand   macro  builder by hand  ratio");
    for items in SIZES {
        let ways = [
            Project::create(at, &format!("macro-{items}"), &plain, &with_macro(items))?.sharing(&first),
            Project::create(at, &format!("optimised-{items}"), &optimised, &with_macro(items))?
                .sharing(&second),
            Project::create(at, &format!("hand-{items}"), &plain, &by_hand(items))?.sharing(&first),
        ];
        let [by_macro, optimised, hand] = in_turns(ways, rounds)?;
        println!(
            "{items:>7} {:>6.1} {:>12.1} {:>16.1} {:>7.0} {:>16.0} {:>6.2}",
            millis(by_macro.expansion),
            millis(optimised.expansion),
            millis(hand.expansion),
            millis(by_macro.check),
            millis(hand.check),
            by_macro.check.as_secs_f64() / hand.check.as_secs_f64()
        );
    }
    println!(
        "\n  expands: rustc's pass `macro_expand_crate`. optimised: with `[profile.dev.build-override] opt-level = 3`;\n  \
         cargo does not optimise macros in dev builds unless it is told to.\n"
    );
    Ok(())
}

struct Cost {
    expansion: Duration,
    check: Duration,
}

fn in_turns<const N: usize>(mut ways: [Project; N], rounds: usize) -> Result<[Cost; N]> {
    let mut found: [Vec<(Duration, Duration)>; N] = std::array::from_fn(|_| Vec::new());
    // The first of all only warms up.
    for round in 0..=rounds {
        for (way, found) in ways.iter_mut().zip(&mut found) {
            way.edit()?;
            let (_, check) = way.cargo(&["check", "--offline", "--quiet"])?;
            way.edit()?;
            let (text, _) =
                way.cargo(&["rustc", "--offline", "--profile", "check", "--", "-Ztime-passes"])?;
            if round > 0 {
                found.push((pass(&text, "macro_expand_crate")?, check));
            }
        }
    }
    Ok(found.map(|found| {
        let (expansion, check) = found.into_iter().unzip();
        Cost { expansion: median(expansion), check: median(check) }
    }))
}

/// From `time:   0.004; rss:   61MB ->   65MB (   +4MB)    macro_expand_crate`.
fn pass(text: &str, name: &str) -> Result<Duration> {
    let line = text.lines().rfind(|line| line.split_whitespace().last() == Some(name));
    let seconds = line.and_then(|line| line.split("time:").nth(1)?.split(';').next()?.trim().parse().ok());
    let seconds = seconds.ok_or_else(|| format!("rustc did not say how long `{name}` took"))?;
    Ok(Duration::from_secs_f64(seconds))
}

fn with_macro(items: usize) -> String {
    let mut source = String::from("fn main() {\n    let p = bowline::pipeline! {\n        cache data;\n");
    for index in 0..items / 2 {
        let _ = write!(
            source,
            r#"
        /// A service.
        service s{index} {{ image "redis:7"; env A = "b"; mount data at "/data"; expose 6379 as tcp; linger "1s"; }}
        container c{index} {{
            image format!("debian:{{}}", 12);
            bind s{index} as "db";
            env URL = "redis://db:6379";
            exec ["redis-cli", "-h", "db", "ping"];
            export "/out" as out;
        }}
"#
        );
    }
    source += "    };\n    println!(\"{}\", p.plan());\n}\n";
    source
}

fn by_hand(items: usize) -> String {
    let mut source = String::from(
        "use bowline::{CacheVolume, Container, Plan, Port, Service};\n\nfn main() {\n    \
         let data = CacheVolume::new(\"data\");\n    let mut plan = Plan::builder();\n",
    );
    for index in 0..items / 2 {
        let _ = write!(
            source,
            r#"
    let s{index} = Service::from_image("redis:7").named("s{index}").env("A", "b").mount("/data", &data)
        .expose(Port::tcp(6379).named("tcp")).linger("1s");
    let c{index} = Container::from_image(format!("debian:{{}}", 12)).named("c{index}").bind("db", &s{index})
        .env("URL", "redis://db:6379").exec(["redis-cli", "-h", "db", "ping"]);
    plan = plan.service("s{index}", &s{index}).container("c{index}", &c{index});
"#
        );
    }
    source += "    println!(\"{}\", plan.build());\n}\n";
    source
}
