//! Walks a whisper.cpp model file (ggml) without loading it, to tell a file that is something else, or that was cut
//! short on its way here, from one that was altered. The layout is that of whisper.cpp's `convert-pt-to-ggml.py`.

use std::io::{self, BufRead, Seek, SeekFrom};

/// `ggml`, little-endian.
const MAGIC: u32 = 0x6767_6d6c;

/// What a walk through a file found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Ends where its last tensor ends.
    Whole,
    /// Ends inside a table or a tensor.
    Cut,
    /// Does not begin like a ggml file.
    Other,
    /// Holds something that this walk does not know; whisper.cpp may.
    Unknown,
}

/// # Errors
/// When `file` cannot be read; an early end is a [`Shape`], not an error.
pub(crate) fn shape<F: BufRead + Seek>(file: &mut F) -> io::Result<Shape> {
    let len = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    match walk(file, len) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(Shape::Cut),
        other => other,
    }
}

fn walk<F: BufRead + Seek>(file: &mut F, len: u64) -> io::Result<Shape> {
    if len < 4 || word(file)? != MAGIC {
        return Ok(Shape::Other);
    }
    // Eleven hyperparameters, the mel filters, the vocabulary.
    skip(file, len, 11 * 4)?;
    let filters = u64::from(word(file)?) * u64::from(word(file)?);
    skip(file, len, filters.saturating_mul(4))?;
    for _ in 0..word(file)? {
        let length = word(file)?;
        skip(file, len, u64::from(length))?;
    }
    while !file.fill_buf()?.is_empty() {
        let (dimensions, name, kind) = (word(file)?, word(file)?, word(file)?);
        let Some((block, bytes)) = block(kind) else { return Ok(Shape::Unknown) };
        if !(1..=4).contains(&dimensions) {
            return Ok(Shape::Unknown);
        }
        let mut elements = 1_u64;
        for _ in 0..dimensions {
            elements = elements.saturating_mul(u64::from(word(file)?));
        }
        skip(file, len, u64::from(name).saturating_add((elements / block).saturating_mul(bytes)))?;
    }
    Ok(Shape::Whole)
}

/// Elements per block and bytes per block of a tensor type (`ggml_type`).
fn block(kind: u32) -> Option<(u64, u64)> {
    Some(match kind {
        0 => (1, 4),     // F32
        1 => (1, 2),     // F16
        2 => (32, 18),   // Q4_0
        3 => (32, 20),   // Q4_1
        6 => (32, 22),   // Q5_0
        7 => (32, 24),   // Q5_1
        8 => (32, 34),   // Q8_0
        10 => (256, 84), // Q2_K
        11 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210), // Q6_K
        _ => return None,
    })
}

fn word<F: BufRead>(file: &mut F) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn skip<F: BufRead + Seek>(file: &mut F, len: u64, bytes: u64) -> io::Result<()> {
    let left = len.saturating_sub(file.stream_position()?);
    if bytes > left {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    file.seek_relative(i64::try_from(bytes).map_err(io::Error::other)?)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const MODEL: &[u8] = include_bytes!("../../../samples/speech-model/ggml-lecture-test.bin");

    #[test]
    fn a_real_model_ends_where_its_last_tensor_ends() {
        assert_eq!(shape(&mut Cursor::new(MODEL)).unwrap(), Shape::Whole);
    }

    #[test]
    fn a_model_cut_anywhere_is_told_apart_from_another_file() {
        for keep in [5, 47, 48, 60_000, 100_000, MODEL.len() / 2, MODEL.len() - 1] {
            assert_eq!(shape(&mut Cursor::new(&MODEL[..keep])).unwrap(), Shape::Cut, "cut after {keep}");
        }
        for other in
            [&b""[..], b"ggm", b"<!DOCTYPE html><p>Sign in</p>", b"version https://git-lfs.github.com/spec/v1\n"]
        {
            assert_eq!(shape(&mut Cursor::new(other)).unwrap(), Shape::Other);
        }
    }
}
