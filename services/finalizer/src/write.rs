//! Streams the final file through the sealer into the store: never on disk, and no more of it in memory than a few
//! segments.

use std::io::{self, Write};

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use storage::manifest::Object;
use storage::store::UploadWriter;
use storage::{Bucket, Receipt, RecordingPath, SealKey, Store, Writer};
use tokio::sync::mpsc;

use crate::finalize::{FinalizeError, Finalizer};
use crate::gather::{AT_ONCE, Gathered, LONGEST_KEY, again, object};
use crate::movie::Movie;
use crate::track::{Chunk, Of, Track};

/// What the final file is made of.
pub(crate) struct Film<'a> {
    pub(crate) gathered: &'a Gathered,
    pub(crate) tracks: &'a [Track<'a>],
    pub(crate) movie: &'a Movie,
}

enum Piece {
    Bytes(Vec<u8>),
    /// All has been said. Without it the file is thrown away.
    End,
}

/// Writes the final file and its key as try number `attempt`. The two objects.
pub(crate) async fn write(
    with: &Finalizer,
    path: &RecordingPath,
    attempt: u32,
    film: &Film<'_>,
) -> Result<Vec<Object>, FinalizeError> {
    let (store, writer) = (&with.store, Writer::Final(attempt));
    let seal = SealKey::create(store, path, &writer, &with.recipients).await?;
    let (file_key, key_key) = (path.composite(attempt), path.key(&writer));
    let sink = store.upload(Bucket::Media, &file_key).await?.into_writer();
    let (give, take) = mpsc::channel(2);
    // Ends when the giving end is dropped, which happens at the latest with this future.
    let sealing = tokio::task::spawn_blocking(move || run(&seal, sink, take));
    let fed = feed(store, film, &give).await;
    drop(give);
    let sealed = sealing.await.unwrap_or_else(|gone| Err(io::Error::other(gone)));
    fed?;
    let (receipt, plain_len) = sealed.map_err(FinalizeError::Write)?;
    let file = Object {
        bucket: Bucket::Media,
        key: file_key,
        size: receipt.size,
        sha256: receipt.sha256_hex(),
        plain_len: Some(plain_len),
        writer: writer.to_string(),
    };
    let (key, _) = store.get(Bucket::Keys, &key_key, LONGEST_KEY).await?;
    Ok(vec![file, object(Bucket::Keys, &key_key, &key, None, writer.to_string())])
}

/// The sealer's thread. Without an end, what was sent is taken back.
fn run(seal: &SealKey, sink: UploadWriter, mut take: mpsc::Receiver<Piece>) -> io::Result<(Receipt, u64)> {
    let mut file = seal.writer(sink)?;
    loop {
        match take.blocking_recv() {
            Some(Piece::Bytes(bytes)) => file.write_all(&bytes)?,
            Some(Piece::End) => {
                let (sink, len) = file.finish()?;
                return Ok((sink.finish().map_err(io::Error::other)?, len));
            }
            None => {
                file.finish()?.0.abort().map_err(io::Error::other)?;
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
    }
}

async fn feed(store: &Store, film: &Film<'_>, give: &mpsc::Sender<Piece>) -> Result<(), FinalizeError> {
    // Its reason is in what the thread returns; here it only means that nobody takes any more.
    let gone = |_| FinalizeError::Write(io::ErrorKind::BrokenPipe.into());
    give.send(Piece::Bytes(film.movie.head.clone())).await.map_err(gone)?;
    let chunks = film.movie.order.iter().copied().map(|(track, chunk)| {
        let track = &film.tracks[track];
        media(store, film.gathered, track, &track.chunks[chunk]).boxed()
    });
    let mut reading = stream::iter(chunks).buffered(AT_ONCE);
    while let Some(bytes) = reading.try_next().await? {
        give.send(Piece::Bytes(bytes)).await.map_err(gone)?;
    }
    give.send(Piece::End).await.map_err(gone)
}

/// The bytes of one chunk.
async fn media(store: &Store, gathered: &Gathered, track: &Track<'_>, chunk: &Chunk) -> Result<Vec<u8>, FinalizeError> {
    match &chunk.of {
        Of::Silence(count, frame) => Ok(frame.repeat(*count as usize)),
        Of::Unit(unit, samples) => {
            let segment = track.lane.units[*unit].segment;
            let plain = again(store, &gathered.epochs[segment.epoch], segment).await?;
            let mut bytes = Vec::new();
            for sample in &segment.samples[samples.clone()] {
                let of = sample.offset as usize..sample.offset as usize + sample.size as usize;
                let changed = || FinalizeError::Changed { key: segment.key.clone() };
                bytes.extend_from_slice(plain.get(of).ok_or_else(changed)?);
            }
            Ok(bytes)
        }
    }
}
