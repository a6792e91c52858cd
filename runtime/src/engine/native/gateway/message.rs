//! DNS messages (RFC 1035): as much as is needed by a server that knows a few names and forwards everything else
//! unchanged.

use std::net::Ipv4Addr;

pub(super) const HEADER: usize = 12;
/// Record types.
pub(super) const A: u16 = 1;
pub(super) const PTR: u16 = 12;
pub(super) const ANY: u16 = 255;
const INTERNET: u16 = 1;
/// Response codes.
pub(super) const NO_ERROR: u8 = 0;
pub(super) const SERVER_FAILURE: u8 = 2;
pub(super) const NO_SUCH_NAME: u8 = 3;

const IS_RESPONSE: u8 = 0x80;
const OPERATION: u8 = 0x78;
const RECURSION_DESIRED: u8 = 1;
const RECURSION_AVAILABLE: u8 = 0x80;
/// A compression pointer to the name of the question.
const SAME_NAME: [u8; 2] = [0xc0, 12];
/// The TTL of answers in seconds: a container knows no name for longer than it runs.
const LIFE: u32 = 60;

/// The question of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// In lower case, without the trailing dot.
    pub(super) name: String,
    pub(super) kind: u16,
    /// The position behind the question in the message.
    end: usize,
}

/// A record of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    Address(Ipv4Addr),
    Name(String),
}

/// Whether this is a query.
pub(super) fn is_question(message: &[u8]) -> bool {
    message.len() >= HEADER && message[2] & IS_RESPONSE == 0
}

/// Whether this message answers that one.
pub(super) fn is_answer(answer: &[u8], question: &[u8]) -> bool {
    answer.len() >= HEADER && answer[2] & IS_RESPONSE != 0 && answer[..2] == question[..2]
}

/// Parses any message, as a container may send it.
#[cfg(all(any(test, fuzzing), feature = "docker"))]
pub(in crate::engine::native) fn fuzz(message: &[u8]) {
    let Some(question) = Question::read(message) else { return };
    let known = [question.reversed().map_or(Record::Name("a.b".to_owned()), Record::Address)];
    for records in [&known[..], &[]] {
        let answer = question.answer(message, NO_ERROR, records);
        assert!(is_answer(&answer, message) && !is_question(&answer), "{answer:?}");
    }
}

impl Question {
    /// Reads a message with one ordinary question of class IN.
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let is_ordinary = is_question(message) && message[2] & OPERATION == 0 && message[4..6] == [0, 1];
        if !is_ordinary {
            return None;
        }
        let mut labels = Vec::new();
        let mut at = HEADER;
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            match length {
                0 => break,
                // Compression pointers are refused, as nothing precedes a question; and a name has at most 255 bytes.
                64.. => return None,
                _ if at + length > HEADER + 255 => return None,
                _ => {}
            }
            let label = std::str::from_utf8(message.get(at..at + length)?).ok()?;
            if label.contains('.') {
                return None;
            }
            labels.push(label.to_ascii_lowercase());
            at += length;
        }
        let [kind @ .., class_high, class_low] = message.get(at..at + 4)?.first_chunk::<4>()?;
        let class = u16::from_be_bytes([*class_high, *class_low]);
        let kind = u16::from_be_bytes(*kind);
        matches!(class, INTERNET | ANY).then(|| Self { name: labels.join("."), kind, end: at + 4 })
    }

    /// The address in a reverse lookup's name.
    pub(super) fn reversed(&self) -> Option<Ipv4Addr> {
        let address: Ipv4Addr = self.name.strip_suffix(".in-addr.arpa")?.parse().ok()?;
        let [a, b, c, d] = address.octets();
        Some(Ipv4Addr::new(d, c, b, a))
    }

    /// The answer to the message with this question.
    pub(super) fn answer(&self, message: &[u8], code: u8, records: &[Record]) -> Vec<u8> {
        let mut answer = head(message, code);
        let count = u16::try_from(records.len()).unwrap_or(0);
        answer[5] = 1;
        answer[6..8].copy_from_slice(&count.to_be_bytes());
        answer.extend(&message[HEADER..self.end]);
        for record in records {
            let (kind, data) = match record {
                Record::Address(address) => (A, address.octets().to_vec()),
                Record::Name(name) => (PTR, written(name)),
            };
            answer.extend(SAME_NAME);
            answer.extend(kind.to_be_bytes());
            answer.extend(INTERNET.to_be_bytes());
            answer.extend(LIFE.to_be_bytes());
            answer.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
            answer.extend(data);
        }
        answer
    }
}

/// A response saying that no server answered, so that the client need not time out.
pub(super) fn failure(message: &[u8]) -> Vec<u8> {
    match Question::read(message) {
        Some(question) => question.answer(message, SERVER_FAILURE, &[]),
        None => head(message, SERVER_FAILURE),
    }
}

/// The header of a response without question and records.
fn head(message: &[u8], code: u8) -> Vec<u8> {
    let mut head = vec![0; HEADER];
    head[..2].copy_from_slice(&message[..2]);
    head[2] = IS_RESPONSE | message[2] & (OPERATION | RECURSION_DESIRED);
    head[3] = RECURSION_AVAILABLE | code;
    head
}

/// Encodes a host name.
fn written(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap_or(0));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A query as a resolver sends it.
    pub(in super::super) fn asking(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend(written(name));
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        message
    }

    #[test]
    fn a_question_is_read_and_answered() {
        let message = asking("My-DB.example", A);
        let question = Question::read(&message).unwrap();
        assert_eq!((question.name.as_str(), question.kind), ("my-db.example", A));
        let answer = question.answer(&message, NO_ERROR, &[Record::Address(Ipv4Addr::new(10, 205, 0, 7))]);
        assert!(is_answer(&answer, &message) && !is_question(&answer));
        let mut wanted = message.clone();
        wanted[2..4].copy_from_slice(&[0x81, 0x80]);
        wanted[7] = 1;
        wanted.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 205, 0, 7]);
        assert_eq!(answer, wanted);
        let reversed = Question::read(&asking("7.0.205.10.in-addr.arpa", PTR)).unwrap();
        assert_eq!(reversed.reversed(), Some(Ipv4Addr::new(10, 205, 0, 7)));
        assert_eq!(Question::read(&asking("7.0.205.in-addr.arpa", PTR)).unwrap().reversed(), None);
    }

    /// Truncated anywhere, or changed in one byte.
    #[test]
    fn a_question_that_is_none_is_no_question() {
        let whole = asking("db.example", A);
        for length in 0..whole.len() {
            assert_eq!(Question::read(&whole[..length]), None, "{length}");
        }
        for place in 0..whole.len() {
            for byte in 0..=u8::MAX {
                let mut message = whole.clone();
                message[place] = byte;
                if let Some(question) = Question::read(&message) {
                    let answer = question.answer(&message, NO_SUCH_NAME, &[]);
                    assert!(answer.len() <= message.len() && is_answer(&answer, &message));
                }
                if is_question(&message) {
                    assert_eq!(failure(&message)[3] & 15, SERVER_FAILURE);
                }
            }
        }
        let mut circle = asking("x", A);
        circle.splice(HEADER..HEADER + 2, [0xc0, 12]);
        let long = asking(&["a"; 200].join("."), A);
        for message in [circle, long] {
            assert_eq!(Question::read(&message), None);
        }
    }
}
