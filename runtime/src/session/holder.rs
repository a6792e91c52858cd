//! Who has a port of this machine.

use std::path::Path;

use crate::model::Protocol;

/// The process that has a port, as `process 4711 (postgres)`; `None` if that cannot be known.
pub(super) fn holder_of(protocol: Protocol, port: u16) -> Option<String> {
    let socket = format!("socket:[{}]", socket_at(protocol, port)?);
    let processes = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    // The files of other users' processes cannot be seen without root.
    let holds = |process: &Path| {
        std::fs::read_dir(process.join("fd")).is_ok_and(|files| {
            files
                .filter_map(Result::ok)
                .any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == socket.as_str()))
        })
    };
    let is_process = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    processes.filter(|entry| entry.file_name().to_str().is_some_and(is_process)).find_map(|entry| {
        let process = entry.path();
        holds(&process).then(|| {
            let pid = entry.file_name();
            let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
            format!("process {} ({})", pid.display(), name.trim())
        })
    })
}

/// The inode of a socket that has a port, from the kernel's table of its protocol: one that listens, for TCP.
fn socket_at(protocol: Protocol, port: u16) -> Option<u64> {
    let (tables, state) = match protocol {
        Protocol::Tcp => (["/proc/net/tcp", "/proc/net/tcp6"], "0A"),
        Protocol::Udp => (["/proc/net/udp", "/proc/net/udp6"], "07"),
    };
    tables.iter().find_map(|table| {
        let table = std::fs::read_to_string(table).ok()?;
        table.lines().find_map(|line| inode(line, port, state))
    })
}

/// The inode in a line, if the line is about this port in this state.
fn inode(line: &str, port: u16, state: &str) -> Option<u64> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (_, own) = fields.get(1)?.rsplit_once(':')?;
    let is_it = u16::from_str_radix(own, 16).ok()? == port && *fields.get(3)? == state;
    if is_it { fields.get(9)?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let holder = holder_of(Protocol::Tcp, port).unwrap();
        assert!(holder.starts_with(&format!("process {} (", std::process::id())), "{holder}");
        drop(listener);
        assert_eq!(holder_of(Protocol::Tcp, port), None);
    }

    #[test]
    fn connections_and_headings_are_no_holders() {
        for line in
            ["  sl  local_address rem_address   st", "", "0: 0100007F:1F90 0100007F:C001 01 0 0 0 0 0 77"]
        {
            assert_eq!(inode(line, 0x1F90, "0A"), None, "{line}");
        }
        let line = "0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 77 1";
        assert_eq!(inode(line, 0x1F90, "0A"), Some(77));
    }
}
