//! A place in a trace, as programs tell each other: W3C Trace Context.

use std::sync::Arc;

use data_encoding::HEXLOWER;

/// The variables that carry it, as headers of these names do in HTTP.
pub(crate) const TRACEPARENT: &str = "TRACEPARENT";
pub(crate) const TRACESTATE: &str = "TRACESTATE";

/// Whoever is asked to record does so.
const SAMPLED: u8 = 1;
/// The flags that are defined. Others are not passed on.
const FLAGS: u8 = 0b11;
/// How many bytes version 00 has: what later versions have more is behind a `-`.
const LENGTH: usize = 55;
/// How many members a state has at most.
const MEMBERS: usize = 32;

/// A span in a trace, and what systems that trace have said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TraceContext {
    pub(crate) trace: [u8; 16],
    pub(crate) span: [u8; 8],
    pub(crate) flags: u8,
    /// What other systems want to be passed on, as they wrote it.
    pub(crate) state: Option<Arc<str>>,
}

impl TraceContext {
    /// The first span of a trace, which is recorded.
    pub(crate) fn root(trace: [u8; 16], span: [u8; 8]) -> Self {
        Self { trace, span, flags: SAMPLED, state: None }
    }

    /// What the two variables say. A `traceparent` that is not valid is as good as none, and a state that is not is left
    /// out.
    pub(crate) fn parse(parent: &str, state: Option<&str>) -> Option<Self> {
        let (text, rest) = parent.split_at_checked(LENGTH)?;
        let mut parts = text.split('-');
        let [version, trace, span, flags] =
            [parts.next()?, parts.next()?, parts.next()?, parts.next()?].map(str::as_bytes);
        let ([version], [flags]) = (bytes(version)?, bytes(flags)?);
        let is_whole = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.starts_with('-'),
        };
        let (trace, span) = (bytes(trace)?, bytes(span)?);
        let is_valid = is_whole && parts.next().is_none() && trace != [0; 16] && span != [0; 8];
        let state = state.filter(|state| is_state(state)).map(Into::into);
        is_valid.then_some(Self { trace, span, flags: flags & FLAGS, state })
    }

    /// Whether it is recorded.
    pub(crate) fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Another span of the same trace.
    pub(crate) fn with_span(&self, span: [u8; 8]) -> Self {
        Self { span, ..self.clone() }
    }

    /// The variables that say it.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let [trace, span] = [HEXLOWER.encode(&self.trace), HEXLOWER.encode(&self.span)];
        let parent = (TRACEPARENT.to_owned(), format!("00-{trace}-{span}-{:02x}", self.flags));
        let state = self.state.as_ref().map(|state| (TRACESTATE.to_owned(), state.to_string()));
        [parent].into_iter().chain(state).collect()
    }
}

/// Hexadecimal digits, which are lower case.
fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    HEXLOWER.decode(digits).ok()?.try_into().ok()
}

/// Whether a state is a list of members `key=value`.
fn is_state(state: &str) -> bool {
    let members: Vec<&str> = state
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']))
        .filter(|member| !member.is_empty())
        .collect();
    (1..=MEMBERS).contains(&members.len()) && members.iter().all(|member| is_member(member))
}

fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else { return false };
    let in_key = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    let in_value = |byte: u8| matches!(byte, b' '..=b'~') && !b",=".contains(&byte);
    (1..=256).contains(&key.len())
        && (1..=256).contains(&value.len())
        && key.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && key.bytes().all(in_key)
        && value.bytes().all(in_value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn variables(parent: &str, state: Option<&str>) -> Option<Vec<(String, String)>> {
        TraceContext::parse(parent, state).map(|context| context.variables())
    }

    fn shown(parent: &str) -> Option<String> {
        variables(parent, None).map(|variables| variables[0].1.clone())
    }

    #[test]
    fn what_is_valid_is_passed_on() {
        let said = variables(PARENT, Some("rojo=00f067aa0ba902b7, congo@t=t61rcWkgMzE")).unwrap();
        let [(parent, value), (state, members)] = &said[..] else { panic!("{said:?}") };
        assert_eq!((&**parent, &**value), ("TRACEPARENT", PARENT));
        assert_eq!((&**state, &**members), ("TRACESTATE", "rojo=00f067aa0ba902b7, congo@t=t61rcWkgMzE"));
    }

    #[test]
    fn what_is_not_valid_is_as_good_as_none() {
        for wrong in [
            "",
            "00",
            &PARENT[..54],
            &format!("{PARENT}-"),
            &format!("{PARENT}0"),
            &PARENT.to_uppercase(),
            &PARENT.replacen("00", "ff", 1),
            &PARENT.replace('-', "_"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319ü-b7ad6b716920333-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331--1",
        ] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn of_a_later_version_as_much_is_read_as_the_first_has() {
        assert_eq!(shown(&PARENT.replacen("00", "01", 1)).as_deref(), Some(PARENT));
        let longer = format!("{}-what-the-future-brings", PARENT.replacen("00", "cc", 1));
        assert_eq!(shown(&longer).as_deref(), Some(PARENT));
        assert_eq!(shown(&format!("{}.what", PARENT.replacen("00", "cc", 1))), None);
        // Flags that have no meaning yet are not passed on.
        assert_eq!(shown(&PARENT.replace("-01", "-ff")).unwrap(), PARENT.replace("-01", "-03"));
    }

    #[test]
    fn a_state_that_is_not_valid_is_left_out() {
        let many = vec!["a=1"; 33].join(",");
        for wrong in ["", ",", "a", "=1", "a=", "A=1", "a=1=2", "a=1,b", "a=\u{e4}", &many] {
            assert_eq!(variables(PARENT, Some(wrong)).unwrap().len(), 1, "{wrong}");
        }
    }
}
