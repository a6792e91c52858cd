//! Users of processes: names and numbers as images write them, looked up in the container's own files.

/// A user with their groups.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    /// The home directory; `/` for a user without one.
    pub(crate) home: String,
}

/// Docker's limit. The kernel allows larger ids, but a process that is to become 4294967295 (-1) stays who it is.
const LARGEST: u32 = i32::MAX as u32;

impl User {
    /// Looks up `name`, `uid`, `name:group` or `uid:gid`, as Docker does: numbers need not exist, names must;
    /// supplementary groups apply unless a group is named. Empty means root.
    pub(crate) fn find(wanted: &str, passwd: &str, group: &str) -> Result<Self, String> {
        let (user, own_group) =
            wanted.split_once(':').map_or((wanted, None), |(user, group)| (user, Some(group)));
        let user = if user.is_empty() { "0" } else { user };
        let entry = passwd.lines().filter_map(Passwd::parse).find(|entry| entry.is(user));
        let number = user.parse().ok();
        let Some(uid) = entry.as_ref().map(|entry| entry.uid).or(number) else {
            return Err(format!("there is no user `{user}` in its /etc/passwd"));
        };
        let mut found = Self {
            uid,
            gid: entry.as_ref().map_or(0, |entry| entry.gid),
            groups: Vec::new(),
            home: entry.as_ref().map_or("/", |entry| entry.home).to_owned(),
        };
        let groups = group.lines().filter_map(Group::parse);
        match own_group.filter(|name| !name.is_empty()) {
            Some(name) => {
                let known = groups.into_iter().find(|group| group.name == name).map(|group| group.gid);
                let Some(gid) = name.parse().ok().or(known) else {
                    return Err(format!("there is no group `{name}` in its /etc/group"));
                };
                found.gid = gid;
            }
            None => {
                if let Some(entry) = &entry {
                    let member = |group: &Group<'_>| group.members.split(',').any(|name| name == entry.name);
                    found.groups = groups.filter(member).map(|group| group.gid).collect();
                }
            }
        }
        found.check(wanted)
    }

    fn check(self, wanted: &str) -> Result<Self, String> {
        let numbers = [self.uid, self.gid].into_iter().chain(self.groups.iter().copied());
        match numbers.max().filter(|largest| *largest > LARGEST) {
            Some(number) => {
                Err(format!("the user `{wanted}` has the id {number}, and the largest is {LARGEST}"))
            }
            None => Ok(self),
        }
    }

    /// The user, if no lookup is needed: root, or a number. The groups are not known then.
    pub(crate) fn by_number(wanted: &str) -> Option<Self> {
        let (user, group) = wanted.split_once(':').unwrap_or((wanted, ""));
        let number = |text: &str| {
            let number = if text.is_empty() { Ok(0) } else { text.parse() };
            number.ok().filter(|number| *number <= LARGEST)
        };
        Some(Self { uid: number(user)?, gid: number(group)?, groups: Vec::new(), home: "/".to_owned() })
    }
}

/// A line of passwd(5).
struct Passwd<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Passwd<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let home = fields.nth(1).filter(|home| !home.is_empty()).unwrap_or("/");
        Some(Self { name, uid, gid, home })
    }

    fn is(&self, wanted: &str) -> bool {
        self.name == wanted || wanted.parse() == Ok(self.uid)
    }
}

/// A line of group(5).
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> Group<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let (name, _password, gid) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
        Some(Self { name, gid, members: fields.next().unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nredis:x:101:102::/var/lib/redis:/bin/sh\nbroken\nnobody:x:65534:65534::::\n";
    const GROUP: &str = "root:x:0:\nredis:x:102:\nssl:x:103:other,redis\nadm:x:4:root\n";

    fn find(wanted: &str) -> User {
        User::find(wanted, PASSWD, GROUP).unwrap()
    }

    #[test]
    fn names_and_numbers_are_found_with_their_groups() {
        let redis = User { uid: 101, gid: 102, groups: vec![103], home: "/var/lib/redis".to_owned() };
        assert_eq!(find("redis"), redis);
        assert_eq!(find("101"), redis);
        assert_eq!(find("").groups, [4]);
        assert_eq!(find("redis:ssl"), User { gid: 103, groups: vec![], ..redis });
    }

    /// The kernel takes 4294967295 to mean "unchanged": a process that is to become that would stay root.
    #[test]
    fn an_id_that_is_none_is_refused_wherever_it_is_written() {
        let passwd =
            "all:x:4294967295:0::/:\nhalf:x:5:4294967295::/:\nmember:x:5:5::/:\nlast:x:2147483647:5::/:\n";
        let group = "none:x:4294967295:member\n";
        for wanted in [
            "4294967295",
            "+4294967295",
            "004294967295",
            "5:4294967295",
            "all",
            "half",
            "member",
            "last:none",
            "2147483648",
        ] {
            let error = User::find(wanted, passwd, group).unwrap_err();
            assert!(error.contains("the largest is 2147483647"), "{wanted}: {error}");
            assert_eq!(User::by_number(wanted), None);
        }
        for wanted in ["-1", "0:-1", "4294967296"] {
            assert!(User::find(wanted, passwd, group).unwrap_err().starts_with("there is no "), "{wanted}");
            assert_eq!(User::by_number(wanted), None);
        }
        assert_eq!(User::find("last", passwd, group).unwrap().uid, 2_147_483_647);
    }

    #[test]
    fn a_number_need_not_be_known_and_a_name_must() {
        assert_eq!(find("1234"), User { uid: 1234, gid: 0, groups: vec![], home: "/".to_owned() });
        assert_eq!(find("1234:77").gid, 77);
        assert_eq!(find("nobody").home, "/");
        let error = User::find("nginx", PASSWD, GROUP).unwrap_err();
        assert_eq!(error, "there is no user `nginx` in its /etc/passwd");
        let error = User::find("redis:www", PASSWD, GROUP).unwrap_err();
        assert_eq!(error, "there is no group `www` in its /etc/group");
    }
}
