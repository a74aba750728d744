//! Says on the beginning of a rendition when on the wall its media time zero was, so that an epoch whose worker never
//! came to write its journal has its place in time.
//!
//! It is a producer reference time box (ISO/IEC 14496-12 8.16.5) behind the `moov` box: part of what a player reads
//! anyway, and skipped by those that do not know it.

use media::WallTime;

/// Bytes of the box: header, version and flags, track, NTP time, media time.
const LEN: usize = 32;

/// Seconds from 1900, where NTP begins, to 1970.
const FROM_1900: i64 = 2_208_988_800;

const MICROS: i64 = 1_000_000;

/// What is to be appended to an init section whose media time zero is at `zero`.
#[must_use]
pub fn stamp(zero: WallTime) -> [u8; LEN] {
    let seconds = u32::try_from(zero.0.div_euclid(MICROS) + FROM_1900).unwrap_or(0);
    // Rounded up, so that rounding down gives the same microsecond again.
    let fraction = ((zero.0.rem_euclid(MICROS) << 32) + MICROS - 1) / MICROS;
    let ntp = u64::from(seconds) << 32 | fraction.unsigned_abs();
    let mut stamp = [0; LEN];
    stamp[..4].copy_from_slice(&32_u32.to_be_bytes());
    stamp[4..8].copy_from_slice(b"prft");
    // Version 1: 64 bits of media time, which is zero. Each file has one track, and ours is its first.
    stamp[8] = 1;
    stamp[15] = 1;
    stamp[16..24].copy_from_slice(&ntp.to_be_bytes());
    stamp
}

/// What [`stamp`] said on this init section; none where it said nothing.
#[must_use]
pub fn zero(init: &[u8]) -> Option<WallTime> {
    let stamp = init.get(init.len().checked_sub(LEN)?..)?;
    let ours = stamp.starts_with(b"\0\0\0\x20prft\x01") && stamp[24..].iter().all(|byte| *byte == 0);
    let ntp = u64::from_be_bytes(stamp[16..24].try_into().ok().filter(|_| ours)?);
    let seconds = i64::try_from(ntp >> 32).ok()? - FROM_1900;
    let micros = i64::try_from(((ntp & 0xffff_ffff) * 1_000_000) >> 32).ok()?;
    Some(WallTime(seconds * MICROS + micros))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Until the seconds of NTP run over, in 2036.
        #[test]
        fn a_time_comes_back_to_the_microsecond(at in 0_i64..2_085_000_000_000_000, before in ".{0,40}") {
            let init = [before.as_bytes(), &stamp(WallTime(at))].concat();
            prop_assert_eq!(zero(&init), Some(WallTime(at)));
        }
    }

    #[test]
    fn what_was_not_stamped_says_nothing() {
        for odd in [&b""[..], b"prft", &[0; 64], &stamp(WallTime(1))[1..]] {
            assert_eq!(zero(odd), None);
        }
    }
}
