//! Networks that sessions leave for later ones: to make one takes the engine 80 to 190 ms, and to remove it as long.
//!
//! In `networks`, in the directory of what is kept for an engine: `free` has a file for each network that nobody uses, and
//! `used` one for each that a session has, named after the network, the session and its process. A session takes a network by
//! renaming its file, which only one can do, and gives it back by the same means, once nothing of it runs. If the process dies
//! before that, whatever removes the session's containers removes the network: nobody can take it.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::labels::{self, Owner};
use super::memory;
use crate::home;
use crate::model::SessionId;

/// How many networks are left for later sessions. An engine has addresses for 31, unless it is told otherwise.
const FREE_AT_MOST: usize = 2;

/// A network is taken only until it is so old. No session lasts as long again, so that none uses a network of twice the age.
const TAKEN_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);

/// The start of their names.
const PREFIX: &str = "bowline-net-";

/// Between the parts of a used network's file's name.
const SEPARATOR: char = '~';

/// The networks that are kept for an engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Spares {
    directory: PathBuf,
}

/// A network that belongs to a session, by its name. It is not given back by being dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) name: String,
    used: PathBuf,
    free: PathBuf,
}

/// A used network whose session is dead.
pub(super) struct Abandoned(Taken);

impl Spares {
    /// Those of the engine with this id; `None` if it has none.
    pub(super) fn of(id: &str) -> Option<Self> {
        let directory = memory::directory(&home::place(), id).join("networks");
        // For the watchdog, which works elsewhere.
        std::path::absolute(directory).ok().filter(|_| !id.is_empty()).map(Self::within)
    }

    fn within(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Takes a network that is free, if there is one. The engine may have it no more.
    pub(super) fn take(&self, session: &SessionId) -> Option<Taken> {
        let names = self.names("free");
        names.iter().filter(|name| age(name).is_some_and(|age| age < TAKEN_WITHIN)).find_map(|name| {
            let taken = self.taken(name, session);
            // Another session may be faster.
            fs::rename(&taken.free, &taken.used).is_ok().then_some(taken)
        })
    }

    /// A name for a new network, which the session has from now on.
    pub(super) fn name_new(&self, session: &SessionId) -> io::Result<Taken> {
        for part in ["free", "used"] {
            home::private(&self.directory.join(part))?;
        }
        let name = format!("{PREFIX}{}-{}", labels::now(), SessionId::random());
        let taken = self.taken(&name, session);
        fs::write(&taken.used, "")?;
        Ok(taken)
    }

    fn taken(&self, name: &str, session: &SessionId) -> Taken {
        let owner = Owner::this_process().to_string().replace('/', ",");
        let used = format!("{name}{SEPARATOR}{session}{SEPARATOR}{owner}");
        Taken {
            name: name.to_owned(),
            used: self.directory.join("used").join(used),
            free: self.directory.join("free").join(name),
        }
    }

    /// Whether one more may be left free.
    pub(super) fn have_room(&self) -> bool {
        self.names("free").len() < FREE_AT_MOST
    }

    /// What a session has.
    pub(super) fn of_session(&self, session: &str) -> Vec<Taken> {
        self.used().filter(|(_, of, _)| of == session).map(|(taken, ..)| taken).collect()
    }

    /// Those of dead sessions, and those that nobody takes any more, which are taken for that.
    pub(super) fn abandoned(&self, session: &SessionId) -> Vec<Abandoned> {
        let is_dead = |(taken, of, owner): &(Taken, String, Option<Owner>)| {
            let is_old = age(&taken.name).is_none_or(|age| age > 2 * TAKEN_WITHIN);
            let is_dead = |owner: &Owner| owner.is_of_this_boot() && !owner.is_alive();
            of != session.as_str() && (is_old || owner.as_ref().is_some_and(is_dead))
        };
        let dead = self.used().filter(is_dead).map(|(taken, ..)| Abandoned(taken)).collect::<Vec<_>>();
        let names = self.names("free");
        let old = names.iter().filter(|name| age(name).is_none_or(|age| age >= TAKEN_WITHIN));
        let old = old.map(|name| self.taken(name, session));
        dead.into_iter()
            .chain(old.filter(|taken| fs::rename(&taken.free, &taken.used).is_ok()).map(Abandoned))
            .collect()
    }

    /// Whether a network of the engine may be removed although nothing is known of it here: it is another home's, or was, and
    /// so old that no session uses it.
    pub(super) fn is_nobodys(name: &str) -> bool {
        name.starts_with(PREFIX) && age(name).is_some_and(|age| age > 2 * TAKEN_WITHIN)
    }

    fn names(&self, part: &str) -> Vec<String> {
        let entries = fs::read_dir(self.directory.join(part)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        // Of anything else no network is made, and none removed.
        names.filter(|name| is_name(name.split(SEPARATOR).next().unwrap_or_default())).collect()
    }

    fn used(&self) -> impl Iterator<Item = (Taken, String, Option<Owner>)> {
        self.names("used").into_iter().filter_map(|file| {
            let mut parts = file.split(SEPARATOR);
            let (name, session) = (parts.next()?.to_owned(), parts.next()?.to_owned());
            let owner = parts.next().and_then(|owner| Owner::parse(&owner.replace(',', "/")));
            let used = self.directory.join("used").join(&file);
            let free = self.directory.join("free").join(&name);
            Some((Taken { name, used, free }, session, owner))
        })
    }
}

impl Taken {
    /// Lets others have it. To be called once nothing of the session runs, or will.
    pub(super) fn give_back(&self) -> io::Result<()> {
        fs::rename(&self.used, &self.free)
    }

    /// To be called once the engine has it no more.
    pub(super) fn forget(&self) {
        let _ = fs::remove_file(&self.used);
    }
}

impl Abandoned {
    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    /// To be called once the engine has it no more.
    pub(super) fn forget(&self) {
        self.0.forget();
    }
}

/// Whether this is such a network's name, which goes into the paths of requests.
fn is_name(name: &str) -> bool {
    age(name).is_some() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// How long ago it was made; `None` for what is not such a network's name, or comes from the future.
fn age(name: &str) -> Option<Duration> {
    let made = name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()?;
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(made))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spares() -> (tempfile::TempDir, Spares) {
        let home = tempfile::tempdir().unwrap();
        let spares = Spares::within(home.path().join("networks"));
        (home, spares)
    }

    #[test]
    fn what_one_session_gives_back_one_other_takes() {
        let (_home, spares) = spares();
        let [first, second, third] = [(); 3].map(|()| SessionId::random());
        assert_eq!(spares.take(&first), None);
        let made = spares.name_new(&first).unwrap();
        assert_eq!(spares.take(&second), None, "it is used");
        made.give_back().unwrap();
        let taken = spares.take(&second).unwrap();
        assert_eq!(taken.name, made.name);
        assert_eq!(spares.take(&third), None);
        assert!(made.give_back().is_err(), "it is another's");
        assert_eq!(spares.of_session(second.as_str()), std::slice::from_ref(&taken));
        assert!(spares.of_session(first.as_str()).is_empty());
        taken.forget();
        assert!(spares.of_session(second.as_str()).is_empty());
    }

    #[test]
    fn twenty_at_once_take_one_each() {
        let (_home, spares) = spares();
        for made in [(); 10].map(|()| spares.name_new(&SessionId::random()).unwrap()) {
            made.give_back().unwrap();
        }
        let take = |_| {
            let spares = spares.clone();
            std::thread::spawn(move || spares.take(&SessionId::random()))
        };
        let taken: Vec<_> = (0..20).map(take).collect();
        let taken = taken.into_iter().filter_map(|thread| thread.join().unwrap());
        let names: std::collections::BTreeSet<_> = taken.map(|taken| taken.name).collect();
        assert_eq!(names.len(), 10);
    }

    #[test]
    fn only_so_many_are_left() {
        let (_home, spares) = spares();
        for _ in 0..FREE_AT_MOST {
            assert!(spares.have_room());
            spares.name_new(&SessionId::random()).unwrap().give_back().unwrap();
        }
        assert!(!spares.have_room());
    }

    #[test]
    fn those_of_the_dead_and_the_old_are_abandoned_and_no_others() {
        let (_home, spares) = spares();
        let [living, dead, next] = [(); 3].map(|()| SessionId::random());
        let of_the_living = spares.name_new(&living).unwrap();
        let of_the_dead = spares.name_new(&dead).unwrap();
        let mut owner = Owner::this_process();
        owner.started += 1;
        let owner = owner.to_string().replace('/', ",");
        let name = format!("{}{SEPARATOR}{dead}{SEPARATOR}{owner}", of_the_dead.name);
        fs::rename(&of_the_dead.used, of_the_dead.used.with_file_name(name)).unwrap();
        let long_ago = labels::now() - TAKEN_WITHIN.as_secs() - 1;
        let old = format!("{PREFIX}{long_ago}-a");
        fs::write(spares.directory.join("free").join(&old), "").unwrap();
        fs::write(spares.directory.join("free").join("../../up"), "").unwrap_or_default();
        fs::write(spares.directory.join("used").join("what is this"), "").unwrap();
        assert_eq!(spares.take(&next), None, "too old");
        let mut abandoned: Vec<_> =
            spares.abandoned(&next).iter().map(|found| found.name().to_owned()).collect();
        abandoned.sort();
        let mut expected = [of_the_dead.name, old];
        expected.sort();
        assert_eq!(abandoned, expected);
        assert_eq!(spares.of_session(living.as_str()), [of_the_living]);
    }

    #[test]
    fn what_is_known_nowhere_is_removed_when_nobody_can_use_it() {
        let made = |ago: Duration| format!("{PREFIX}{}-a", labels::now() - ago.as_secs());
        assert!(!Spares::is_nobodys(&made(TAKEN_WITHIN)));
        assert!(Spares::is_nobodys(&made(TAKEN_WITHIN * 3)));
        assert!(!Spares::is_nobodys("bridge"));
        assert!(!Spares::is_nobodys("bowline-net-"));
    }
}
