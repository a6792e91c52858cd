//! How old results are that are found, and whether that is too old.

use std::time::{Duration, SystemTime};

use crate::error::show_duration;
use crate::graph::Step;
use crate::model::Provenance;

/// Why an earlier result of a step is too old to be taken, for people; `None` if it is not.
pub(super) fn too_old(step: &Step, from: &Provenance, now: SystemTime) -> Option<String> {
    let limit = step.options.fresh?;
    // Clocks are set, and those of machines differ. What is far ahead was made by one that was wrong: it would be young
    // for too long.
    let (age, made) = match now.duration_since(from.made) {
        Ok(age) => (age, format!("made {} ago", about(age))),
        Err(ahead) => (ahead.duration(), format!("made {} from now, as it says", about(ahead.duration()))),
    };
    (age > limit).then(|| format!("its result is older than {}: {made}", exactly(limit)))
}

/// Seconds of each unit, the largest first.
const UNITS: [(u64, &str); 3] = [(24 * 60 * 60, "days"), (60 * 60, "h"), (60, "min")];

/// In the largest unit of which there are some.
fn about(time: Duration) -> String {
    in_units(time, |_| true)
}

/// In the largest unit that leaves nothing over.
fn exactly(time: Duration) -> String {
    in_units(time, |rest| rest == 0)
}

fn in_units(time: Duration, may_leave: impl Fn(u64) -> bool) -> String {
    let seconds = time.as_secs();
    let unit = UNITS.iter().find(|(unit, _)| seconds >= 2 * unit && may_leave(seconds % unit));
    unit.map_or_else(|| show_duration(time), |(unit, name)| format!("{} {name}", seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Fs, lower_container};
    use crate::value::{Container, Exec};

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn judged(exec: Exec, made: SystemTime, now: SystemTime) -> Option<String> {
        let node = lower_container(&Container::from_image("a:1").exec(exec)).unwrap();
        let Fs::Step(step) = &node.fs else { panic!("it has a step") };
        too_old(step, &Provenance { made, ..Provenance::of_nothing() }, now)
    }

    #[test]
    fn a_result_is_too_old_once_it_is_older_than_its_limit() {
        let now = SystemTime::now();
        let hourly = || Exec::new(["update"]).fresh(HOUR);
        assert_eq!(judged(Exec::new(["update"]), SystemTime::UNIX_EPOCH, now), None, "any age will do");
        for young in [now, now - HOUR, now + HOUR] {
            assert_eq!(judged(hourly(), young, now), None);
        }
        let said = |made| judged(hourly(), made, now).unwrap();
        assert_eq!(said(now - HOUR * 3), "its result is older than 60 min: made 3 h ago");
        assert_eq!(said(now - HOUR * 49), "its result is older than 60 min: made 2 days ago");
        // By a clock that was set back since, or another machine's.
        assert_eq!(said(now + HOUR * 2), "its result is older than 60 min: made 2 h from now, as it says");
        let daily = Exec::new(["update"]).fresh("24h");
        assert_eq!(
            judged(daily, now - HOUR * 25, now).unwrap(),
            "its result is older than 24 h: made 25 h ago"
        );
        let never = Exec::new(["update"]).fresh("0s");
        let second = Duration::from_secs(1);
        assert_eq!(judged(never, now - second, now).unwrap(), "its result is older than 0 s: made 1 s ago");
    }
}
