//! Limits of each process (getrlimit(2)), as the engine is told them.

use bollard::models::ResourcesUlimits;

use crate::model::Limits;

/// A limit that a pipeline may say.
struct Ulimit {
    name: &'static str,
    /// The kernel's number for it (`asm-generic/resource.h`), which runc gives it in messages.
    number: u32,
    amount: Option<i64>,
    /// Where the engine may be allowed more.
    raise: &'static str,
}

fn ulimits(limits: &Limits) -> [Ulimit; 2] {
    [
        Ulimit {
            name: "nofile",
            number: 7,
            amount: limits.nofile.map(i64::from),
            raise: "`LimitNOFILE=` of its service, up to what sysctl `fs.nr_open` says",
        },
        Ulimit {
            name: "core",
            number: 4,
            amount: limits.core.and_then(|bytes| i64::try_from(bytes).ok()),
            raise: "`LimitCORE=` of its service",
        },
    ]
}

/// Each both soft and hard.
pub(super) fn of(limits: &Limits) -> Option<Vec<ResourcesUlimits>> {
    let said = ulimits(limits).into_iter().filter(|ulimit| ulimit.amount.is_some());
    let said = said.map(|Ulimit { name, amount, .. }| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: amount,
        hard: amount,
    });
    Some(said.collect::<Vec<_>>()).filter(|said| !said.is_empty())
}

/// What an engine means that could not set one: runc says `error setting rlimit type 7`, crun "setrlimit
/// `RLIMIT_NOFILE`".
pub(super) fn explain(message: &str) -> Option<String> {
    let lower = message.to_lowercase();
    let is_it = |ulimit: &Ulimit| {
        lower.contains(&format!("rlimit type {}", ulimit.number))
            || lower.contains(&format!("rlimit_{}", ulimit.name))
    };
    let Ulimit { name, raise, .. } = ulimits(&Limits::default()).into_iter().find(is_it)?;
    Some(format!(
        "limit {name}: {message}\n\nhelp: the engine may not allow as much as `limit {name}` says: ask for less, or raise its own limit ({raise})"
    ))
}

#[cfg(test)]
mod tests {
    use super::explain;

    #[test]
    fn limits_are_known_by_their_numbers_and_names() {
        for said in ["error setting rlimit type 7: operation not permitted", "setrlimit `RLIMIT_NOFILE`: no"]
        {
            let explained = explain(said).unwrap();
            assert!(explained.starts_with(&format!("limit nofile: {said}")), "{explained}");
        }
        assert_eq!(explain("no space left on device"), None);
    }
}
