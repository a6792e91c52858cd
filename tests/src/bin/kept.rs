//! Steps whose results several processes see. Each argument is something to do, one after the other; what comes of it is
//! printed, a line each. `NONCE` parts one test's steps from another's.

use std::io::{BufRead as _, Write as _};

use bowline::prelude::*;

fn busybox() -> Container {
    Container::from_image("busybox:1.35").env("NONCE", std::env::var("NONCE").expect("NONCE is set"))
}

/// Something random, as output and as a file.
fn random() -> Container {
    busybox().shell("cat /proc/sys/kernel/random/uuid | tee /id").named("random")
}

/// A step that is written down on a cache volume each time it runs.
fn counted(script: &str) -> Container {
    let volume = CacheVolume::new(std::env::var("NONCE").expect("NONCE is set"));
    busybox().mount("/state", &volume).shell(format!("echo ran >> /state/log; {script}"))
}

#[bowline::main]
async fn main() -> Result<()> {
    let copy = Container::from_container(&random()).exec(["cat", "/id"]).named("copy");
    let below = copy.clone().shell("cat /id; echo below >> /id").named("below");
    for wanted in std::env::args().skip(1) {
        let found = match wanted.as_str() {
            "output" => random().stdout().await?,
            "file" => random().file("/id").contents().await?,
            // Made of its files.
            "copy" => copy.stdout().await?,
            // Made of what is made of them.
            "below" => below.stdout().await?,
            // Another one made of its files.
            "other" => Container::from_container(&random()).exec(["cat", "-u", "/id"]).stdout().await?,
            // Made of nothing of it, but after it.
            "after" => busybox().after(&random()).exec(["echo", "after"]).stdout().await?,
            "quick" => busybox().shell("echo quick-$NONCE; echo > /file").stdout().await?,
            "slow" => busybox().shell("echo slow-$NONCE; sleep 2; echo > /file").stdout().await?,
            "long" => {
                busybox()
                    .shell("yes $NONCE | head -c 3000000 | md5sum; yes $NONCE | head -c 3000000")
                    .stdout()
                    .await?
            }
            "counted" => counted("sleep 1; echo counted").stdout().await?,
            "sleeping" => counted("sleep 5; echo slept").stdout().await?,
            // Everything that it is made of is counted, and needs the files of what is before.
            "chain" => {
                let first = counted("cat /proc/sys/kernel/random/uuid > /id; cat /id");
                let shown = first.stdout().await?;
                let second = first.shell("echo ran >> /state/log; cat /id");
                format!("{} {}", shown.trim(), second.stdout().await?)
            }
            "twenty" => {
                let steps =
                    (0..20).fold(busybox(), |chain, step| chain.shell(format!("echo {step} >> /log")));
                steps.sync().await?;
                "twenty".to_owned()
            }
            // Its first step is over when the second one runs.
            "sleeping-chain" => {
                let name = std::env::var("NONCE").expect("NONCE is set");
                busybox().shell("true").shell("sleep 1000").named(name).stdout().await?
            }
            "runs" => {
                let volume = CacheVolume::new(std::env::var("NONCE").expect("NONCE is set"));
                let look = busybox().mount("/state", &volume);
                look.exec(Exec::shell("wc -l < /state/log").uncached()).stdout().await?
            }
            // Until there is something to read.
            "wait" => {
                println!("waiting");
                tokio::task::spawn_blocking(|| std::io::stdin().lock().read_line(&mut String::new()))
                    .await
                    .expect("it does not panic")
                    .expect("it can be read");
                continue;
            }
            other => panic!("there is no {other}"),
        };
        println!("{}", found.lines().next().unwrap_or_default());
        std::io::stdout().flush().expect("somebody reads it");
    }
    Ok(())
}
