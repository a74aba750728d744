//! What the worker and its media process say to each other over a pipe. Frames of `u32` header length, JSON header,
//! `u32` body length, body; big-endian; both lengths bounded, so that neither side can make the other hold more than one
//! segment's worth. Knows no process and no pipeline.
//!
//! # Design
//! The bytes of a part travel beside the JSON, never in it. What cannot be read ends the conversation: after a frame
//! that is not ours nothing that follows can be trusted, and the process behind it decodes what strangers send.

use bytes::Bytes;
use layout::Scene;
use media::{Init, Part, PipelineSpec, SegmentClosed, Track, TrackId, WallTime};
use meeting::JoinSpec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A scene of some hundred tiles with their labels.
const LONGEST_HEADER: u32 = 256 << 10;

/// A segment has at most 16 MiB of plaintext, and a part is no longer than a segment.
const LONGEST_BODY: u32 = 16 << 20;

/// To the media process. The end of the stream means: leave the room and end.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Command {
    /// Enter the room, leaving it first if need be. Everything seen there is reported under `number`.
    Join {
        number: u32,
        spec: Box<JoinSpec>,
    },
    Leave,
    Start(PipelineSpec),
    AddTrack(Track),
    DropTrack(TrackId),
    Arrange(Scene),
    Drain,
}

/// From the media process.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Report {
    Meeting {
        number: u32,
        event: meeting::Event,
    },
    /// Before the first `Init`. The epoch's time zero is `wall`.
    Playing {
        wall: WallTime,
    },
    Init(Init),
    Part(Part),
    Closed(SegmentClosed),
    /// One track was given up; the recording goes on.
    TrackBroke(TrackId),
    Drained,
    Broke {
        /// This worker lacks what it takes, so trying here again is in vain.
        worker: bool,
        /// For the log: what GStreamer said. No names.
        why: String,
    },
}

/// One kind of frame.
pub(crate) trait Message: Serialize + DeserializeOwned {
    fn body(&self) -> &[u8] {
        &[]
    }

    /// False when this message has no place for a body.
    fn put_body(&mut self, body: Bytes) -> bool {
        body.is_empty()
    }
}

impl Message for Command {}

impl Message for Report {
    fn body(&self) -> &[u8] {
        match self {
            Self::Init(init) => &init.bytes,
            Self::Part(part) => &part.bytes,
            _ => &[],
        }
    }

    fn put_body(&mut self, body: Bytes) -> bool {
        match self {
            Self::Init(init) => init.bytes = body,
            Self::Part(part) => part.bytes = body,
            _ => return body.is_empty(),
        }
        true
    }
}

/// The conversation is over. Nothing of the frame is repeated: it may hold names.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the pipe between worker and media process broke")]
    Io(#[from] std::io::Error),
    #[error("a {what} of {len} bytes is longer than the {limit} allowed")]
    TooLong { what: &'static str, len: u32, limit: u32 },
    #[error("a header is not one of ours: {0:?} error at column {1}")]
    NotOurs(serde_json::error::Category, usize),
    #[error("a body of {0} bytes came with a message that has none")]
    OddBody(usize),
}

/// Writes one frame and flushes it.
///
/// # Errors
/// When the pipe broke, or the message is longer than a frame may be; nothing is written then.
pub(crate) async fn write<M: Message>(to: &mut (impl AsyncWrite + Unpin), message: &M) -> Result<(), WireError> {
    let header = serde_json::to_vec(message).map_err(|why| WireError::NotOurs(why.classify(), why.column()))?;
    let body = message.body();
    let header_len = bounded("header", header.len(), LONGEST_HEADER)?;
    let body_len = bounded("body", body.len(), LONGEST_BODY)?;
    to.write_u32(header_len).await?;
    to.write_all(&header).await?;
    to.write_u32(body_len).await?;
    to.write_all(body).await?;
    Ok(to.flush().await?)
}

/// Reads one frame. None when the other side ended between two frames. Not cancel-safe.
///
/// # Errors
/// When the pipe broke or ended within a frame, or the frame is not ours. Nothing more can be read then.
pub(crate) async fn read<M: Message>(from: &mut (impl AsyncRead + Unpin)) -> Result<Option<M>, WireError> {
    let mut first = [0; 1];
    if from.read(&mut first).await? == 0 {
        return Ok(None);
    }
    let mut rest = [0; 3];
    from.read_exact(&mut rest).await?;
    let header_len = u32::from_be_bytes([first[0], rest[0], rest[1], rest[2]]);
    let header = take(from, "header", header_len, LONGEST_HEADER).await?;
    let mut message: M =
        serde_json::from_slice(&header).map_err(|why| WireError::NotOurs(why.classify(), why.column()))?;
    let body_len = from.read_u32().await?;
    let body = take(from, "body", body_len, LONGEST_BODY).await?;
    let len = body.len();
    if message.put_body(body.into()) { Ok(Some(message)) } else { Err(WireError::OddBody(len)) }
}

fn bounded(what: &'static str, len: usize, limit: u32) -> Result<u32, WireError> {
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    if len > limit { Err(WireError::TooLong { what, len, limit }) } else { Ok(len) }
}

/// Grows as bytes come, so that a length alone costs nothing.
async fn take(
    from: &mut (impl AsyncRead + Unpin),
    what: &'static str,
    len: u32,
    limit: u32,
) -> Result<Vec<u8>, WireError> {
    if len > limit {
        return Err(WireError::TooLong { what, len, limit });
    }
    let mut bytes = Vec::new();
    from.take(len.into()).read_to_end(&mut bytes).await?;
    if bytes.len() < len as usize {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use media::Rendition;
    use proptest::prelude::*;

    use super::*;

    fn part(bytes: &'static [u8]) -> Report {
        Report::Part(Part {
            rendition: Rendition::video(),
            segment: 7,
            index: 2,
            lasts: Duration::from_nanos(533_333_333),
            independent: true,
            bytes: Bytes::from_static(bytes),
        })
    }

    async fn frame(report: &Report) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, report).await.unwrap();
        bytes
    }

    async fn heard(mut bytes: &[u8]) -> Result<Option<Report>, WireError> {
        read(&mut bytes).await
    }

    #[tokio::test]
    async fn a_part_arrives_with_its_bytes() {
        let bytes = frame(&part(b"moof and mdat")).await;
        let Ok(Some(Report::Part(part))) = heard(&bytes).await else { panic!("no part") };
        assert_eq!((part.segment, part.index, &part.bytes[..]), (7, 2, &b"moof and mdat"[..]));
        assert_eq!(part.lasts, Duration::from_nanos(533_333_333));
    }

    #[tokio::test]
    async fn frames_follow_each_other_to_a_clean_end() {
        let bytes = [frame(&part(b"a")).await, frame(&Report::Drained).await].concat();
        let mut from = &bytes[..];
        assert!(matches!(read(&mut from).await, Ok(Some(Report::Part(_)))));
        assert!(matches!(read(&mut from).await, Ok(Some(Report::Drained))));
        assert!(matches!(read::<Report>(&mut from).await, Ok(None)));
    }

    #[tokio::test]
    async fn a_frame_cut_at_any_byte_is_an_error() {
        let bytes = frame(&part(b"0123456789")).await;
        for cut in 1..bytes.len() {
            assert!(matches!(heard(&bytes[..cut]).await, Err(WireError::Io(_))), "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn a_length_beyond_the_bound_is_refused_before_anything_is_read() {
        let long = heard(&u32::MAX.to_be_bytes()).await;
        assert!(matches!(long, Err(WireError::TooLong { what: "header", len: u32::MAX, .. })));
        let header = serde_json::to_vec(&part(b"")).unwrap();
        let lengths = (u32::try_from(header.len()).unwrap().to_be_bytes(), (LONGEST_BODY + 1).to_be_bytes());
        let long = heard(&[&lengths.0[..], &header, &lengths.1].concat()).await;
        assert!(matches!(long, Err(WireError::TooLong { what: "body", .. })));
    }

    #[tokio::test]
    async fn what_is_too_long_is_not_written() {
        let long = Report::Broke { worker: false, why: "x".repeat(LONGEST_HEADER as usize) };
        let mut bytes = Vec::new();
        assert!(matches!(write(&mut bytes, &long).await, Err(WireError::TooLong { what: "header", .. })));
        assert!(bytes.is_empty());
    }

    #[tokio::test]
    async fn a_body_where_none_belongs_is_refused() {
        let mut bytes = frame(&Report::Drained).await;
        let at = bytes.len() - 1;
        bytes[at] = 1;
        bytes.push(b'!');
        assert!(matches!(heard(&bytes).await, Err(WireError::OddBody(1))));
    }

    #[tokio::test]
    async fn an_error_does_not_repeat_what_was_said() {
        let header = br#"{"meeting":{"number":"Kari Nordmann"}}"#;
        let bytes = [&u32::try_from(header.len()).unwrap().to_be_bytes()[..], header, &[0; 4]].concat();
        let why = heard(&bytes).await.err().unwrap();
        assert!(matches!(why, WireError::NotOurs(..)) && !format!("{why} {why:?}").contains("Kari"), "{why:?}");
    }

    proptest! {
        #[test]
        fn garbage_ends_in_an_error_or_in_silence(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let outcome = runtime.block_on(heard(&bytes));
            prop_assert!(matches!(outcome, Err(_) | Ok(None)));
        }
    }
}
