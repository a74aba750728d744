//! Names of people, made fit to be shown. What comes in is whatever a participant typed; what goes out is one short
//! line of text that cannot disturb its neighbours. Escaping for HTML, WebVTT or a terminal is left to each of those.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

/// Shown for someone whose name holds nothing that can be shown.
const NAMELESS: &str = "Guest";

/// Longest name, in user-perceived characters (UAX #29).
const LONGEST: usize = 128;

/// Accents on one character: more than any living language stacks, few enough that a line keeps its height.
const MARKS: usize = 4;

/// Code points in one character: the longest family emoji with skin tones has eleven.
const POINTS: usize = 16;

/// `name` as it may be shown: Unicode NFC, one line, no control, format or bidirectional character, no leading,
/// trailing or doubled space, at most 128 characters with at most 4 accents each, and never empty.
///
/// The rules are those of RFC 8266 §2.1 (nicknames: mapping and trimming of spaces) over RFC 8264 §4.3 (FreeformClass:
/// no controls, joiners only in context), but with NFC, so that a name looks as its owner typed it. A joiner stays
/// where it stands between two characters beyond ASCII, as in emoji and Persian. Cleaning a clean name changes nothing.
#[must_use]
pub fn clean_name(name: &str) -> String {
    let mut shown = once(name);
    // Taking something away can bring together what then composes or no longer joins. Each round takes more away.
    loop {
        let again = once(&shown);
        if again == shown {
            return shown;
        }
        shown = again;
    }
}

fn once(name: &str) -> String {
    let visible: Vec<char> = name
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control() && !is_format(*c))
        // Enough for the longest name there can be, so that a megabyte costs one pass and nothing after it.
        .take(LONGEST * POINTS)
        .collect();
    let joined: String = visible
        .iter()
        .enumerate()
        .filter(|&(at, &c)| !is_joiner(c) || joins(&visible, at))
        .map(|(_, &c)| c)
        .nfc()
        .collect();
    let spaced = joined.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let short: String = spaced.graphemes(true).take(LONGEST).flat_map(thinned).collect();
    match short.trim_matches(|c| c == ' ' || is_joiner(c)) {
        "" => NAMELESS.to_owned(),
        shown => shown.to_owned(),
    }
}

/// One character with no more accents and code points than a person would type.
fn thinned(grapheme: &str) -> impl Iterator<Item = char> {
    let mut marks = 0;
    grapheme.chars().take(POINTS).filter(move |&c| {
        marks += usize::from(is_combining_mark(c));
        marks <= MARKS || !is_combining_mark(c)
    })
}

fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

fn joins(text: &[char], at: usize) -> bool {
    let holds = |c: Option<&char>| c.is_some_and(|&c| !c.is_ascii() && !is_joiner(c));
    at > 0 && holds(text.get(at - 1)) && holds(text.get(at + 1))
}

/// General category Cf without the joiners and the Arabic signs that have a shape of their own, and the separators
/// and annotations that only a typesetter should see.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[rustfmt::skip]
    const NAMES: &[(&str, &str)] = &[
        ("Åse Kårdal",                                   "Åse Kårdal"),
        ("A\u{30a}se",                                   "Åse"),               // NFC
        ("  Ole \t\r\n Moe ",                            "Ole Moe"),
        ("\u{202e}gpj.exe\u{202c}",                      "gpj.exe"),           // right-to-left override
        ("\u{1b}[31mred\u{1b}[0m",                       "[31mred[0m"),        // ANSI escapes
        ("<script>alert(1)</script>",                    "<script>alert(1)</script>"),
        ("👩\u{200d}🔬 Ada",                             "👩\u{200d}🔬 Ada"),
        ("a\u{200d}b\u{200d}",                           "ab"),
        ("Z\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}x", "Z\u{300}\u{301}\u{302}\u{303}x"),
        ("\u{feff}\u{200b}\u{0}",                        "Guest"),
        ("",                                             "Guest"),
    ];

    #[test]
    fn a_name_is_one_quiet_line() {
        for (typed, shown) in NAMES {
            assert_eq!(clean_name(typed), *shown, "{typed:?}");
        }
    }

    #[test]
    fn a_megabyte_becomes_128_characters() {
        let name = "å<script>\u{202e}\u{7}".repeat(70_000);
        assert_eq!(clean_name(&name).graphemes(true).count(), 128);
        let zalgo = format!("a{}", "\u{301}".repeat(500_000));
        assert!(clean_name(&zalgo).len() < 32);
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_bounded_clean_and_stays_so(name in any::<String>()) {
            let shown = clean_name(&name);
            prop_assert!(!shown.is_empty());
            prop_assert!(shown.graphemes(true).count() <= LONGEST);
            prop_assert!(!shown.chars().any(|c| c.is_control() || is_format(c)));
            prop_assert!(!shown.starts_with(' ') && !shown.ends_with(' ') && !shown.contains("  "));
            prop_assert_eq!(clean_name(&shown), shown);
        }

        #[test]
        fn joiners_and_accents_keep_a_clean_name_clean(name in "[a-zé👩🔬ن\u{200c}\u{200d}\u{301}\u{30a}\u{323} ]{0,60}") {
            let shown = clean_name(&name);
            prop_assert_eq!(clean_name(&shown), shown);
        }
    }
}
