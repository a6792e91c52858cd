//! What commands, variables, users and keys must be for a kernel to take them.
//!
//! As `rules.rs`: one file for the two crates (the runtime's is a link to this one).

use crate::rules::Problem;

type Checked = Result<(), Problem>;

/// Text that a kernel can take: C has no NUL in it.
pub(crate) fn text(what: &str, text: &str) -> Checked {
    if text.contains('\0') {
        return Err(Problem::new(format!("{what} `{}` contains a NUL character", shortened(text))));
    }
    Ok(())
}

/// The most that one argument or variable may take, with the NUL at its end (`MAX_ARG_STRLEN` of Linux).
const ARGUMENT_AT_MOST: usize = 128 << 10;

/// The beginning of a text that is too long to be shown, in one line.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    let head: String = text.chars().take(SHOWN).collect();
    let mark = if head.len() < text.len() { "…" } else { "" };
    format!("{}{mark}", head.escape_debug())
}

/// A command: a program, and arguments that a kernel takes.
pub(crate) fn command(word: &str, args: &[impl AsRef<str>]) -> Checked {
    let Some(program) = args.first() else {
        return Err(Problem::new(format!("`{word}` needs at least a program")));
    };
    argument(word, 0, program.as_ref())?;
    args.iter().enumerate().skip(1).try_for_each(|(index, arg)| argument(word, index, arg.as_ref()))
}

/// One argument of a command; the one of index 0 is the program.
pub(crate) fn argument(word: &str, index: usize, arg: &str) -> Checked {
    let what = if index == 0 { "the program".to_owned() } else { format!("argument {index}") };
    if index == 0 && arg.trim().is_empty() {
        return Err(Problem::new(format!("`{word}` names an empty program")).help("name what is to run"));
    }
    text(&format!("{what} of `{word}`"), arg)?;
    // As with every path (`PATH_MAX`).
    if index == 0 && arg.len() > 4095 {
        let message = format!("the program of `{word}`, `{}`, is too long", shortened(arg));
        return Err(Problem::new(message).help("at most 4,095 bytes"));
    }
    if arg.len() >= ARGUMENT_AT_MOST {
        let message = format!(
            "{what} of `{word}`, `{}`, has {} bytes, and a kernel takes {} at most",
            shortened(arg),
            arg.len(),
            ARGUMENT_AT_MOST - 1
        );
        return Err(Problem::new(message).help("give it to `stdin`, or write it with `file \"/p\" = …;`"));
    }
    Ok(())
}

/// What a variable is set to.
pub(crate) fn variable_value(name: &str, value: &str) -> Checked {
    text(&format!("variable `{name}`:"), value)?;
    if name.len() + 1 + value.len() >= ARGUMENT_AT_MOST {
        let message = format!(
            "variable `{name}` has {} bytes, and a kernel takes {} at most, with its name",
            value.len(),
            ARGUMENT_AT_MOST - 1
        );
        return Err(Problem::new(message).help("write it with `file \"/p\" = …;`"));
    }
    Ok(())
}

/// Who a process is: `name`, `uid`, `name:group` or `uid:gid`.
pub(crate) fn user(user: &str) -> Checked {
    let invalid = |why: &str| {
        Problem::new(format!("invalid user `{}`: {why}", shortened(user)))
            .help("`name`, `uid`, `name:group` or `uid:gid`")
    };
    text("user", user)?;
    let parts: Vec<&str> = user.split(':').collect();
    if parts.len() > 2 {
        return Err(invalid("there is more than one `:`"));
    }
    for part in parts {
        if part.is_empty() {
            return Err(invalid("a part is empty"));
        }
        if part.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/') {
            return Err(invalid("neither names nor numbers have white space or `/`"));
        }
        let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
        // The kernel knows more, engines do not (moby, `pkg/user`; runc, `libcontainer/user`).
        if is_number && part.parse::<i32>().is_err() {
            return Err(invalid("numbers are 0 to 2147483647"));
        }
    }
    Ok(())
}

/// The key of a cache volume: free text, but some.
pub(crate) fn cache_key(key: &str) -> Checked {
    if key.trim().is_empty() {
        return Err(Problem::new("an empty cache key").help("for example `pip`"));
    }
    if key.chars().any(char::is_control) {
        return Err(Problem::new(format!("cache key `{}` has control characters", shortened(key))));
    }
    if key.len() > 1024 {
        return Err(Problem::new(format!("cache key `{}` has more than 1,024 bytes", shortened(key))));
    }
    Ok(())
}

/// What processes see as their own host's name: Linux takes 64 bytes (`sethostname(2)`), Docker 63.
pub(crate) fn own_host_name(name: &str) -> Checked {
    crate::rules::host_name(name)?;
    if name.len() > 63 {
        return Err(Problem::new(format!(
            "`{name}` is not a valid host name: it has more than 63 characters"
        )));
    }
    Ok(())
}

/// The capabilities of Linux in the order of their numbers (`linux/capability.h`, capabilities(7)), without `CAP_`.
pub(crate) const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What means all of them.
pub(crate) const ALL_CAPABILITIES: &str = "ALL";

/// A capability by its name, with `CAP_` before it or without, in upper or lower case, or `ALL`; as it is called here.
pub(crate) fn capability(name: &str) -> Result<&'static str, Problem> {
    let upper = name.to_ascii_uppercase();
    let wanted = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if name == ALL_CAPABILITIES || name == "all" {
        return Ok(ALL_CAPABILITIES);
    }
    CAPABILITIES.into_iter().find(|known| *known == wanted).ok_or_else(|| {
        let problem = Problem::new(format!("there is no capability `{}`", shortened(name)));
        match crate::rules::did_you_mean(wanted, CAPABILITIES.into_iter()) {
            Some(near) => problem.help(format!("a capability with a similar name exists: `{near}`")),
            None => problem.help("one of capabilities(7), for example `NET_ADMIN`, or `ALL`"),
        }
    })
}

/// Settings that a container has for itself, besides all of `net.` and `fs.mqueue.` (namespaces(7); runc,
/// `libcontainer/configs/validate`).
const OWN_SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// The name of a setting of the kernel (sysctl(8)): one that is a container's own, and that keeps no container from posing
/// as a router.
pub(crate) fn sysctl(name: &str) -> Checked {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    if name.split('.').count() < 2 || !name.split('.').all(is_word) {
        let message = format!("invalid kernel setting `{}`", shortened(name));
        return Err(Problem::new(message).help("names with dots between, for example `net.core.somaxconn`"));
    }
    if name == "kernel.hostname" {
        return Err(Problem::new("`kernel.hostname` has a statement of its own").help("`hostname \"name\";`"));
    }
    let is_own = name.starts_with("net.") || name.starts_with("fs.mqueue.") || OWN_SYSCTLS.contains(&name);
    if !is_own {
        let message =
            format!("`{}` is a setting of the whole machine, and not of a container", shortened(name));
        return Err(Problem::new(message).help(match crate::rules::did_you_mean(name, OWN_SYSCTLS.into_iter()) {
            Some(near) => format!("a setting with a similar name exists: `{near}`"),
            None => format!(
                "containers have settings of their own in `net.` and `fs.mqueue.`, and {}; this one is set on the engine's machine",
                OWN_SYSCTLS.map(|own| format!("`{own}`")).join(", ")
            ),
        }));
    }
    // Of each link, and of those to come.
    let of_links = |family: &str| name.strip_prefix(family).and_then(|rest| rest.split_once('.'));
    let kept = match (of_links("net.ipv4.conf."), of_links("net.ipv6.conf.")) {
        (Some((_, setting)), _) => ["accept_redirects", "secure_redirects"].contains(&setting),
        (_, Some((_, setting))) => ["accept_redirects", "accept_ra", "disable_ipv6"].contains(&setting),
        _ => false,
    };
    if kept {
        let message = format!("`{name}` cannot be changed: with it another container could pose as a router");
        return Err(Problem::new(message).help("leave it out: containers have one way to the world, by IPv4"));
    }
    Ok(())
}

/// What a setting of the kernel is set to: a line of less than a page.
pub(crate) fn sysctl_value(name: &str, value: &str) -> Checked {
    if value.chars().any(|c| c.is_control() && c != '\t') || value.len() > 4095 {
        let message = format!("`{name}` is set to `{}`: no line of at most 4,095 bytes", shortened(value));
        return Err(Problem::new(message).help("a number, or several with spaces between"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_what_a_kernel_takes() {
        assert!(command("exec", &["ls", ""]).is_ok(), "an empty argument is one");
        assert!(command("exec", &["x", &"a".repeat(131_071)]).is_ok());
        let long = "a".repeat(4096);
        for bad in [&[][..], &[""], &[" "], &["a\0b"], &["a", "b\0"], &[&long]] {
            assert!(command("exec", bad).is_err(), "{bad:?}");
        }
        let long = command("exec", &["x".to_owned(), "a".repeat(131_072)]).unwrap_err().to_string();
        assert!(long.contains("argument 1 of `exec`") && long.contains("131072 bytes"), "{long}");
        assert!(long.len() < 400, "it is not repeated: {long}");
        assert!(variable_value("A", "a\0b").is_err() && variable_value("A", "").is_ok());
        assert!(variable_value("A", &"a".repeat(131_070)).is_err());
        assert!(variable_value("A", &"a".repeat(131_069)).is_ok());
    }

    #[test]
    fn users_and_keys() {
        for good in ["root", "1000", "1000:1000", "app:staff", "2147483647", "svc_a-1.x", "$d"] {
            assert_eq!(user(good).err().map(|problem| problem.to_string()), None, "{good}");
        }
        for bad in ["", ":", "a:", ":b", "a:b:c", "a b", "a\0", "2147483648", "1:4294967296", "a/b", "a\n"] {
            assert!(user(bad).is_err(), "{bad:?}");
        }
        assert!(cache_key("pip").is_ok() && cache_key("a/b c").is_ok());
        for bad in ["", " ", "a\0b", "a\n"] {
            assert!(cache_key(bad).is_err(), "{bad:?}");
        }
        assert!(own_host_name(&"a".repeat(64)).is_err() && own_host_name("web-1").is_ok());
    }

    #[test]
    fn settings_of_the_kernel_are_a_containers_own() {
        for good in [
            "net.core.somaxconn",
            "net.ipv4.ip_local_port_range",
            "net.ipv4.conf.eth0.rp_filter",
            "net.ipv4.ip_unprivileged_port_start",
            "fs.mqueue.msg_max",
            "kernel.shm_rmid_forced",
            "kernel.sem",
        ] {
            assert_eq!(sysctl(good).err().map(|problem| problem.to_string()), None, "{good}");
        }
        for (bad, said) in [
            ("", "invalid"),
            ("net", "invalid"),
            ("net.", "invalid"),
            ("net..x", "invalid"),
            ("net.core/../../kernel.panic", "invalid"),
            ("net/core/somaxconn", "invalid"),
            ("net.a b", "invalid"),
            ("network.x", "whole machine"),
            ("vm.swappiness", "whole machine"),
            ("kernel.panic", "whole machine"),
            ("fs.file-max", "whole machine"),
            ("kernel.shmmx", "`kernel.shmmax`"),
            ("kernel.hostname", "statement of its own"),
            ("net.ipv4.conf.eth0.accept_redirects", "router"),
            ("net.ipv4.conf.all.secure_redirects", "router"),
            ("net.ipv6.conf.all.disable_ipv6", "router"),
            ("net.ipv6.conf.default.accept_ra", "router"),
        ] {
            let problem = sysctl(bad).unwrap_err().to_string();
            assert!(problem.contains(said) && problem.contains("help: "), "{bad}: {problem}");
        }
        assert!(sysctl_value("x", "4096\t87380 6291456").is_ok() && sysctl_value("x", "").is_ok());
        assert!(sysctl_value("x", "1\n").is_err() && sysctl_value("x", &"1".repeat(4096)).is_err());
    }

    #[test]
    fn capabilities_have_one_name() {
        for same in ["NET_ADMIN", "CAP_NET_ADMIN", "net_admin", "cap_net_admin"] {
            assert_eq!(capability(same).ok(), Some("NET_ADMIN"), "{same}");
        }
        assert_eq!((capability("ALL").ok(), capability("all").ok()), (Some("ALL"), Some("ALL")));
        for (bad, said) in [
            ("NET_ADMN", "`NET_ADMIN`"),
            ("CAP_SYS_ADMINS", "`SYS_ADMIN`"),
            ("", "capabilities(7)"),
            ("CAP_ALL", "capabilities(7)"),
            ("CAP_", "capabilities(7)"),
            ("root", "capabilities(7)"),
        ] {
            let problem = capability(bad).unwrap_err().to_string();
            assert!(problem.contains(said), "{bad}: {problem}");
        }
    }
}
