//! `Range` and what follows from it (RFC 9110 14). Pure.

/// What part of a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    /// From the first to before the second.
    Part(u64, u64),
    /// 416.
    Nothing,
}

/// Reads the header's value for a file of `length` bytes.
///
/// Several ranges are answered with all of the file, which a server may do (14.2), so that no request can ask for a
/// thousand slices. A range that is malformed, backwards or past the end is refused.
pub(crate) fn wanted(value: &str, length: u64) -> Wanted {
    // 14.1: names of units know no case, and a unit that we do not know is as if nothing was asked for.
    let Some((unit, range)) = value.split_once('=') else { return Wanted::All };
    if !unit.eq_ignore_ascii_case("bytes") || range.contains(',') {
        return Wanted::All;
    }
    let part = || {
        let (first, last) = range.trim().split_once('-')?;
        if first.is_empty() {
            let count = number(last)?.min(length);
            return (count > 0).then_some((length - count, length));
        }
        let first = number(first)?;
        let end = if last.is_empty() { length } else { number(last)?.saturating_add(1).min(length) };
        (first < end).then_some((first, end))
    };
    part().map_or(Wanted::Nothing, |(from, to)| Wanted::Part(from, to))
}

/// Numbers too great for any file are as good as the greatest.
fn number(digits: &str) -> Option<u64> {
    let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    all.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        #[rustfmt::skip]
        let table = [
            ("bytes=0-0",                          Wanted::Part(0, 1)),
            ("bytes=0-",                           Wanted::Part(0, 100)),
            ("Bytes=0-1",                          Wanted::Part(0, 2)),
            ("bytes= 0-1 ",                        Wanted::Part(0, 2)),
            ("bytes=10-19",                        Wanted::Part(10, 20)),
            ("bytes=99-99",                        Wanted::Part(99, 100)),
            ("bytes=90-18446744073709551615",      Wanted::Part(90, 100)),
            ("bytes=90-99999999999999999999999",   Wanted::Part(90, 100)),
            ("bytes=-1",                           Wanted::Part(99, 100)),
            ("bytes=-1000",                        Wanted::Part(0, 100)),
            ("bytes=100-",                         Wanted::Nothing),
            ("bytes=18446744073709551616-",        Wanted::Nothing),
            ("bytes=5-2",                          Wanted::Nothing),
            ("bytes=-0",                           Wanted::Nothing),
            ("bytes=-",                            Wanted::Nothing),
            ("bytes=",                             Wanted::Nothing),
            ("bytes=a-b",                          Wanted::Nothing),
            ("bytes=+1-2",                         Wanted::Nothing),
            ("bytes=--1",                          Wanted::Nothing),
            ("bytes=1-2-3",                        Wanted::Nothing),
            ("bytes=-99999999999999999999999",     Wanted::Part(0, 100)),
            ("bytes=0-18446744073709551614",       Wanted::Part(0, 100)),
            ("bytes=0-1,4-5",                      Wanted::All),
            ("bytes=5-2,-0,x",                     Wanted::All),
            ("bytes",                              Wanted::All),
            ("",                                   Wanted::All),
            ("lines=1-2",                          Wanted::All),
        ];
        for (value, is) in table {
            assert_eq!(wanted(value, 100), is, "{value}");
        }
        assert_eq!(wanted(&format!("bytes={}0-", "0-,".repeat(1000)), 100), Wanted::All);
        assert_eq!(wanted("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(wanted("bytes=-5", 0), Wanted::Nothing);
    }
}
