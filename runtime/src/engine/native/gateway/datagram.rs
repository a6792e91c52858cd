//! Receiving datagrams with the address they were sent to, and sending them from any address, at the bridge's sockets.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

/// Larger than any datagram.
pub(super) const SPACE: usize = 64 << 10;
/// The length of the UDP header (RFC 768).
const HEADER: usize = 8;
const UDP: u8 = 17;

/// The two addresses of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) container: SocketAddrV4,
    pub(super) world: SocketAddrV4,
}

/// Receives a datagram that a container sent, and returns its length.
#[allow(unsafe_code)]
pub(super) fn receive(socket: impl AsFd, into: &mut [u8]) -> io::Result<(Ends, usize)> {
    let mut container = name(Ipv4Addr::UNSPECIFIED, 0);
    let mut control = [0_u64; 8];
    let mut part = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let mut message = message(&mut container, &mut part, &mut control);
    // SAFETY: everything that the message points to outlives the call, and has the length it says.
    let length = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has filled in the message, which points to memory that still exists.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message).as_ref() };
    let header =
        header.filter(|header| (header.cmsg_level, header.cmsg_type) == (libc::SOL_IP, libc::IP_ORIGDSTADDR));
    let header = header.ok_or_else(|| io::Error::other("a datagram that is for nobody"))?;
    // SAFETY: data of this kind is an address, which may be unaligned.
    let world = unsafe { libc::CMSG_DATA(header).cast::<libc::sockaddr_in>().read_unaligned() };
    Ok((Ends { container: address(container), world: address(world) }, length))
}

/// The bridge's raw sockets. The kernel makes the IP headers, so that it fragments large datagrams.
#[derive(Debug)]
pub(super) struct Answers {
    /// Sends answers to containers.
    datagrams: OwnedFd,
    /// Sends ICMP errors to containers.
    messages: OwnedFd,
    /// A buffer for one datagram.
    packet: Vec<u8>,
}

impl Answers {
    pub(super) fn new(datagrams: OwnedFd, messages: OwnedFd) -> Self {
        Self { datagrams, messages, packet: vec![0; HEADER + SPACE] }
    }

    /// Forwards what arrived at a socket, as if the container had received it itself.
    pub(super) fn pass_on(&mut self, arrived_at: impl AsFd, ends: Ends) -> io::Result<()> {
        let length =
            rustix::net::recv(arrived_at, &mut self.packet[HEADER..], rustix::net::RecvFlags::DONTWAIT)?.1;
        let length = HEADER + length;
        self.packet[..HEADER].copy_from_slice(&header(ends.world, ends.container, length));
        // A datagram that cannot be sent is dropped, as UDP allows.
        let _ = send_from(&self.datagrams, ends, &self.packet[..length]);
        Ok(())
    }

    /// Sends a container an ICMP error: the destination of its datagram is unreachable.
    pub(super) fn refuse(&self, ends: Ends) {
        let _ = send_from(&self.messages, ends, &port_unreachable(ends));
    }
}

/// A UDP header without a checksum, which is allowed: the datagram does not leave the machine.
fn header(from: SocketAddrV4, to: SocketAddrV4, length: usize) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let fields = [from.port(), to.port(), u16::try_from(length).unwrap_or(0)];
    for (place, field) in header.chunks_exact_mut(2).zip(fields) {
        place.copy_from_slice(&field.to_be_bytes());
    }
    header
}

/// An ICMP message (RFC 792): its type, and the headers of the datagram that it is about.
fn port_unreachable(about: Ends) -> Vec<u8> {
    const SAYS: [u8; 8] = [3, 3, 0, 0, 0, 0, 0, 0];
    let mut sent = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, UDP, 0, 0];
    sent.extend(about.container.ip().octets());
    sent.extend(about.world.ip().octets());
    let sum = checksum(&sent);
    sent[10..12].copy_from_slice(&sum);
    let mut message = SAYS.to_vec();
    message.extend(sent);
    message.extend(header(about.container, about.world, HEADER));
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum);
    message
}

/// The Internet checksum (RFC 1071) of an even number of bytes.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks_exact(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap_or(0)).to_be_bytes()
}

/// Sends to the container, from the address in the world.
#[allow(unsafe_code)]
fn send_from(socket: &OwnedFd, ends: Ends, bytes: &[u8]) -> io::Result<()> {
    // struct in_pktinfo
    const FROM: u32 = 12;
    // Raw sockets have no ports.
    let mut to = name(*ends.container.ip(), 0);
    let mut control = [0_u64; 8];
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut message = message(&mut to, &mut part, &mut control);
    let from = libc::in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: name(*ends.world.ip(), 0).sin_addr,
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    // SAFETY: there is space for one header with this data, and its length is set before it is written.
    let sent = unsafe {
        message.msg_controllen = libc::CMSG_SPACE(FROM) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_IP;
        (*header).cmsg_type = libc::IP_PKTINFO;
        (*header).cmsg_len = libc::CMSG_LEN(FROM) as _;
        libc::CMSG_DATA(header).cast::<libc::in_pktinfo>().write_unaligned(from);
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A message that points to its arguments.
#[allow(unsafe_code)]
fn message(name: &mut libc::sockaddr_in, part: &mut libc::iovec, control: &mut [u64; 8]) -> libc::msghdr {
    // SAFETY: only numbers and pointers, which may be null; some systems have padding between them.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut *name).cast();
    message.msg_namelen = u32::try_from(size_of_val(name)).unwrap_or(0);
    message.msg_iov = part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(control) as _;
    message
}

fn name(address: Ipv4Addr, port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: u16::try_from(libc::AF_INET).unwrap_or(2),
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(address).to_be() },
        sin_zero: [0; 8],
    }
}

fn address(name: libc::sockaddr_in) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr)), u16::from_be(name.sin_port))
}
