//! Spoken against written: the word error rate.

/// Lower-case words without punctuation.
pub fn words(text: &str) -> Vec<String> {
    let letters = |word: &str| word.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    text.split_whitespace().map(letters).filter(|w| !w.is_empty()).collect()
}

/// Substituted, missing and added words per spoken word (Levenshtein distance over words). Can exceed 1.
pub fn error_rate(spoken: &str, written: &str) -> f64 {
    let (spoken, written) = (words(spoken), words(written));
    let mut row: Vec<usize> = (0..=written.len()).collect();
    for (n, said) in spoken.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], n + 1);
        for (m, read) in written.iter().enumerate() {
            let change = diagonal + usize::from(said != read);
            diagonal = row[m + 1];
            row[m + 1] = change.min(diagonal + 1).min(row[m] + 1);
        }
    }
    row[written.len()] as f64 / spoken.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::error_rate;

    #[test]
    fn every_kind_of_mistake_counts_once() {
        #[rustfmt::skip]
        let table = [
            ("the archive is open", "The archive is open.", 0.0),
            ("the archive is open", "the archive open",     0.25),
            ("the archive is open", "the archive is is open", 0.25),
            ("the archive is open", "the room is open",     0.25),
            ("the archive is open", "",                     1.0),
            ("one", "two three",                            2.0),
        ];
        for (spoken, written, rate) in table {
            assert!((error_rate(spoken, written) - rate).abs() < 1e-9, "{spoken:?} {written:?}");
        }
    }
}
