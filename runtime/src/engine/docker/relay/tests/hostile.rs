//! Streams that are not what they should be: in the one direction a relay that is none, in the other a program that gets
//! anything.

use futures_util::StreamExt as _;
use proptest::prelude::*;

use super::frame::{Broken, Frame, Kind};
use super::*;

/// A stream that says this and then stays open, and how carrying it ends.
async fn ends(side: Side, said: &[u8]) -> String {
    let link = Link::new(side);
    let output = stream::iter([Ok(Bytes::copy_from_slice(said))]).chain(stream::pending());
    let ports = vec![mpsc::channel(frame::MOST).0];
    let ended = carry(&link, output, tokio::io::sink(), ports, oneshot::channel().0);
    let End::Broken(reason) = timeout(AT_MOST, ended).await.unwrap() else { panic!("it is closed") };
    reason
}

fn frames(frames: &[(Kind, u16, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, channel, contents) in frames {
        Frame { kind: *kind, channel: *channel, contents }.put(&mut bytes);
    }
    bytes
}

#[tokio::test]
async fn what_no_relay_sends_ends_it() {
    for (said, why) in [
        (vec![8, 0, 0, 0, 0], "a frame of an unknown kind"),
        (frames(&[(Kind::Data, 0, b"x")]), "a frame of no connection"),
        (frames(&[(Kind::Close, 65535, &[0, 0])]), "a frame of no connection"),
        (frames(&[(Kind::Ready, 0, b""), (Kind::Ready, 0, b"")]), "it is ready for the second time"),
        (frames(&[(Kind::Open, 0, &[0, 9])]), "a connection to a port of no index"),
        (frames(&[(Kind::Open, 1024, &[0, 0])]), "a connection whose number is taken"),
        (frames(&[(Kind::Open, 0, &[0, 0]), (Kind::Open, 0, &[0, 0])]), "a connection whose number is taken"),
        (frames(&[(Kind::Open, 0, b"long")]), "a frame of the wrong length"),
    ] {
        let reason = ends(Side::Listen(vec![Protocol::Tcp]), &said).await;
        assert_eq!(reason, format!("what it sends cannot come from it: {why}"));
    }
    let reason = ends(Side::Dial, &frames(&[(Kind::Open, 0, &[0, 0])])).await;
    assert!(reason.ends_with("a connection to a port of no index"), "{reason}");
}

/// What one connection gets that is not for it.
#[test]
fn a_connection_gets_no_more_than_its_window() {
    let hear = |said: &[(Kind, &[u8])]| -> Result<(), Broken> {
        let link = Link::new(Side::Dial);
        let Ok((_handle, _opened)) = link.open(Protocol::Tcp, ANY) else { panic!("it has not ended") };
        for (kind, contents) in said {
            link.hear(Frame { kind: *kind, channel: 0, contents })?;
        }
        Ok(())
    };
    let (opened, full) = ((Kind::Opened, &b""[..]), vec![0; frame::LONGEST]);
    let window: Vec<_> = std::iter::once(opened)
        .chain(std::iter::repeat_n((Kind::Data, &full[..]), frame::WINDOW / frame::LONGEST))
        .collect();
    assert_eq!(hear(&window), Ok(()));
    let too_much = [&window[..], &[(Kind::Data, &full[..])]].concat();
    assert_eq!(hear(&too_much), Err(Broken("more data than there was credit for")));
    let out_of_turn = Err(Broken("a connection that opens out of turn"));
    assert_eq!(hear(&[(Kind::Data, b"x")]), out_of_turn);
    assert_eq!(hear(&[opened, opened]), out_of_turn);
    let credit = [opened, (Kind::Credit, &[0xff, 0xff, 0xff, 0xff])];
    assert_eq!(hear(&credit), Err(Broken("credit for more than was sent")));
    let ended = [opened, (Kind::End, b""), (Kind::Data, b"x")];
    assert_eq!(hear(&ended), Err(Broken("data after the end of a connection")));
    let closed = [opened, (Kind::Close, &[0, 104]), (Kind::Data, b"x")];
    assert_eq!(hear(&closed), Err(Broken("a frame after the last of its connection")));
}

/// A relay that says much and reads nothing is given up.
#[test]
fn what_is_not_read_has_a_limit() {
    let link = Link::new(Side::Listen(vec![Protocol::Tcp]));
    let mut rounds = 0;
    while link.end().is_none() {
        link.hear(Frame { kind: Kind::Open, channel: 0, contents: &[0, 0] }).unwrap();
        drop(link.handle(0));
        link.hear(Frame { kind: Kind::Close, channel: 0, contents: &[0, 0] }).unwrap();
        rounds += 1;
        assert!(rounds < 1_000_000);
    }
    assert_eq!(link.end().as_deref(), Some("the relay does not read what it is sent"));
}

#[tokio::test]
async fn everybody_learns_of_the_end() {
    let mut program = Program::dial().await;
    let echo = echo().await;
    let mut stream = program.connect(echo).await.unwrap();
    let (listener, address) = server().await;
    let (unread, server) = tokio::join!(program.connect(address), listener.accept());
    let (mut unread, (mut server, _)) = (unread.unwrap(), server.unwrap());
    server.write_all(b"before").await.unwrap();
    tokio::time::sleep(A_WHILE).await;
    let mut flow = program.flow(echo).await;
    program.child.kill().await.unwrap();
    let reason = timeout(AT_MOST, program.link.wait()).await.unwrap();
    assert_eq!(&*reason, "its stream has ended");
    let error = read(&mut stream).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(error.to_string(), format!("the relay to the engine's network has ended: {reason}"));
    assert_eq!(stream.write(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(timeout(AT_MOST, flow.receiver.recv()).await.unwrap(), None);
    // What came before is still read.
    let mut came = [0; 6];
    unread.read_exact(&mut came).await.unwrap();
    assert!(program.link.open(Protocol::Tcp, echo).is_err());
}

/// The program refuses what is no frame for it, and ends with its input.
#[tokio::test]
async fn the_program_ends_with_its_input() {
    let open = frames(&[(Kind::Open, 0, &[1, 0, 9, 127, 0, 0, 1])]);
    for (input, code, words) in [
        (vec![], 0, ""),
        (open.clone(), 0, ""),
        (vec![4, 0, 0, 0, 0], 2, "a frame of no channel\n"),
        (vec![4, 0xff, 0xff, 0, 0], 2, "a channel of too high a number\n"),
        ([&open[..], &open].concat(), 2, "a bad OPEN\n"),
        ([&open[..], &[200, 0, 0, 0, 0]].concat(), 2, "a frame before OPENED\n"),
        (vec![2, 0, 0, 0, 0], 2, "a bad OPEN\n"),
    ] {
        let mut child = command(&["dial"]).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&input).await.unwrap();
        let output = timeout(AT_MOST, child.wait_with_output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.as_str()), (Some(code), words), "{input:?}");
    }
    for args in [&["listen"][..], &["listen", "0/tcp"], &["listen", "1/x"], &["dial", "1/tcp"], &["x"], &[]] {
        let output = timeout(AT_MOST, command(args).output()).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}

proptest! {
    /// Whatever arrives, in whatever order: it is taken in or refused.
    #[test]
    fn nothing_that_arrives_is_a_panic(
        said in proptest::collection::vec((0..8_usize, 0..4_u16, proptest::collection::vec(any::<u8>(), 0..6)), 0..60),
    ) {
        const KINDS: [Kind; 8] = [
            Kind::Ready, Kind::Failed, Kind::Open, Kind::Opened, Kind::Data, Kind::Credit, Kind::End, Kind::Close,
        ];
        for side in [Side::Dial, Side::Listen(vec![Protocol::Tcp, Protocol::Udp])] {
            let link = Link::new(side);
            let mut handles: Vec<_> = (0..2)
                .filter_map(|_| link.open(Protocol::Tcp, ANY).ok().map(|(handle, _)| handle))
                .collect();
            for (kind, channel, contents) in &said {
                match link.hear(Frame { kind: KINDS[*kind], channel: *channel, contents }) {
                    Ok(link::Heard::Incoming { channel, .. }) => handles.push(link.handle(channel)),
                    Ok(_) => {}
                    Err(Broken(why)) => {
                        link.over(why);
                        break;
                    }
                }
            }
            drop(handles);
        }
    }
}
