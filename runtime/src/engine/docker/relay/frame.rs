//! What goes through a relay's stream: frames, as `helper/relay.c` describes them.

/// The number of bytes before a frame's contents.
const HEAD: usize = 5;

/// The longest contents of a frame.
pub(super) const LONGEST: usize = u16::MAX as usize;

/// How many bytes of a connection may be sent before credit for more is needed.
pub(super) const WINDOW: usize = 512 << 10;

/// How many connections and flows a relay carries at most.
pub(super) const MOST: usize = 1024;

/// The error number of a connection that is reset.
pub(super) const RESET: u16 = 104;

/// The number of a connection or a flow.
pub(super) type ChannelId = u16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ready = 0,
    Failed = 1,
    Open = 2,
    Opened = 3,
    Data = 4,
    Credit = 5,
    End = 6,
    Close = 7,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Ready,
        Self::Failed,
        Self::Open,
        Self::Opened,
        Self::Data,
        Self::Credit,
        Self::End,
        Self::Close,
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) channel: ChannelId,
    pub(super) contents: &'a [u8],
}

/// The reason why what was received cannot have been sent by a relay.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) &'static str);

impl<'a> Frame<'a> {
    /// The frame at the front, and what follows it; `None` if it is not complete.
    fn parse(bytes: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, Broken> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
        let [kind, a, b, c, d] = *head;
        let kind = Kind::ALL.get(usize::from(kind)).copied().ok_or(Broken("a frame of an unknown kind"))?;
        let length = usize::from(u16::from_be_bytes([c, d]));
        let Some((contents, rest)) = rest.split_at_checked(length) else { return Ok(None) };
        Ok(Some((Self { kind, channel: u16::from_be_bytes([a, b]), contents }, rest)))
    }

    /// Appends the frame to what is sent.
    pub(super) fn put(&self, into: &mut Vec<u8>) {
        let contents = self.contents.get(..LONGEST).unwrap_or(self.contents);
        let length = u16::try_from(contents.len()).unwrap_or(u16::MAX);
        into.push(self.kind as u8);
        into.extend_from_slice(&self.channel.to_be_bytes());
        into.extend_from_slice(&length.to_be_bytes());
        into.extend_from_slice(contents);
    }

    /// Contents that are one number of two bytes.
    pub(super) fn number(&self) -> Result<u16, Broken> {
        self.contents.try_into().map(u16::from_be_bytes).map_err(|_| Broken("a frame of the wrong length"))
    }

    /// Contents that are one number of four bytes.
    pub(super) fn large_number(&self) -> Result<u32, Broken> {
        self.contents.try_into().map(u32::from_be_bytes).map_err(|_| Broken("a frame of the wrong length"))
    }
}

/// Finds frames in pieces that are cut anywhere. It holds less than one frame.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    partial: Vec<u8>,
}

impl Decoder {
    /// Calls `hear` with each frame that is complete now.
    pub(super) fn feed(
        &mut self,
        mut piece: &[u8],
        mut hear: impl FnMut(Frame<'_>) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        while !piece.is_empty() {
            if self.partial.is_empty()
                && let Some((frame, rest)) = Frame::parse(piece)?
            {
                hear(frame)?;
                piece = rest;
                continue;
            }
            let whole = match *self.partial.as_slice() {
                [_, _, _, c, d, ..] => HEAD + usize::from(u16::from_be_bytes([c, d])),
                _ => HEAD,
            };
            let missing = whole.saturating_sub(self.partial.len()).min(piece.len());
            let (more, rest) = piece.split_at_checked(missing).unwrap_or((piece, &[]));
            self.partial.extend_from_slice(more);
            piece = rest;
            if let Some((frame, _)) = Frame::parse(&self.partial)? {
                hear(frame)?;
                self.partial.clear();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8], pieces: usize) -> Result<Vec<(Kind, u16, Vec<u8>)>, Broken> {
        let (mut decoder, mut heard) = (Decoder::default(), Vec::new());
        for piece in bytes.chunks(pieces) {
            decoder.feed(piece, |frame| {
                heard.push((frame.kind, frame.channel, frame.contents.to_vec()));
                Ok(())
            })?;
            assert!(decoder.partial.len() < HEAD + LONGEST);
        }
        Ok(heard)
    }

    proptest! {
        #[test]
        fn frames_are_found_however_they_are_cut(
            frames in proptest::collection::vec((0..8usize, any::<u16>(), proptest::collection::vec(any::<u8>(), 0..300)), 0..8),
            pieces in 1..700usize,
        ) {
            let mut bytes = Vec::new();
            let frames: Vec<_> =
                frames.into_iter().map(|(kind, channel, contents)| (Kind::ALL[kind], channel, contents)).collect();
            for (kind, channel, contents) in &frames {
                Frame { kind: *kind, channel: *channel, contents }.put(&mut bytes);
            }
            prop_assert_eq!(decode(&bytes, pieces), Ok(frames));
        }

        #[test]
        fn anything_is_frames_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2000), pieces in 1..700usize) {
            let _ = decode(&bytes, pieces);
        }
    }

    #[test]
    fn the_longest_frame_is_one() {
        let mut bytes = Vec::new();
        Frame { kind: Kind::Data, channel: 7, contents: &vec![1; LONGEST] }.put(&mut bytes);
        for pieces in [1, 4, 5, 6, 4096, bytes.len()] {
            assert_eq!(decode(&bytes, pieces), Ok(vec![(Kind::Data, 7, vec![1; LONGEST])]));
        }
        assert_eq!(decode(&[9, 0, 0, 0, 0], 1), Err(Broken("a frame of an unknown kind")));
    }
}
