//! The three times. Each is its own type; the only ways from one to another are named here.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A position inside a recording, in nanoseconds from its first sample. What `tfdt` and the transcript count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaTime(pub u64);

/// Nanoseconds since the media process started its one time base. Every pipeline in that process shares it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunningTime(pub u64);

/// UTC, in microseconds since 1970. Written as RFC 3339 everywhere outside memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub i64);

impl MediaTime {
    /// Seconds as a float, for people and for playlists that ask for decimals.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        Duration::from_nanos(self.0).as_secs_f64()
    }

    /// This position moved on by `by`.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }
}

impl RunningTime {
    /// How far `self` is past `earlier`; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl WallTime {
    /// The wall time of a system clock reading; readings before 1970 become 1970.
    #[must_use]
    pub fn from_system(at: std::time::SystemTime) -> Self {
        let since = at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// How far `self` is past `earlier`; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This instant moved on by `by`.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    fn offset(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// Calendar year and month in UTC: the only parts of a time that appear in object keys.
    #[must_use]
    pub fn year_month(self) -> (i32, u8) {
        (self.offset().year(), u8::from(self.offset().month()))
    }

    /// Reads RFC 3339.
    ///
    /// # Errors
    /// When `text` is not RFC 3339.
    pub fn parse(text: &str) -> Result<Self, time::error::Parse> {
        let at = OffsetDateTime::parse(text, &Rfc3339)?;
        Ok(Self(i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.offset().format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WallTime {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

fn nanos(of: Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_survives_its_text_to_the_microsecond() {
        let at = WallTime(1_795_372_178_123_456);
        assert_eq!(WallTime::parse(&at.to_string()).unwrap(), at);
        assert_eq!(WallTime::parse("1969-12-31T23:59:59Z").unwrap(), WallTime(-1_000_000));
    }

    #[test]
    fn differences_never_go_below_zero() {
        assert_eq!(RunningTime(1).since(RunningTime(2)), Duration::ZERO);
        assert_eq!(WallTime(1).since(WallTime(2)), Duration::ZERO);
    }
}
