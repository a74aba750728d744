//! What came of a row.

use serde::Serialize;
use serde_json::{Map, Value};

use super::matrix::Row;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Held,
    Broken,
    /// Lectern has not the part that this fault is about.
    NotYet,
}

/// A row's outcome and its figure.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub outcome: Outcome,
    pub figure: Option<f64>,
    /// How often the fault was injected.
    pub runs: u32,
    /// What did not hold, or what is missing.
    pub notes: Vec<String>,
    pub detail: Map<String, Value>,
}

/// A line of the report.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    id: String,
    fault: &'a str,
    outcome: Outcome,
    figure: Option<f64>,
    unit: &'a str,
    runs: u32,
    injection: &'a str,
    promise: &'a str,
    notes: &'a [String],
    detail: &'a Map<String, Value>,
    seconds: f64,
    seed: u64,
}

impl Verdict {
    /// Held, so far.
    #[must_use]
    pub fn of(figure: f64, runs: u32) -> Self {
        let figure = Some((figure * 1000.0).round() / 1000.0);
        Self { outcome: Outcome::Held, figure, runs, notes: Vec::new(), detail: Map::new() }
    }

    #[must_use]
    pub fn not_yet(missing: &str) -> Self {
        let notes = vec![missing.to_owned()];
        Self { outcome: Outcome::NotYet, figure: None, runs: 0, notes, detail: Map::new() }
    }

    /// It could not be played to its end.
    #[must_use]
    pub fn failed(error: &anyhow::Error) -> Self {
        let notes = vec![format!("{error:#}")];
        Self { outcome: Outcome::Broken, figure: None, runs: 0, notes, detail: Map::new() }
    }

    /// Broken, unless `so`; `what` says what does not hold then.
    #[must_use]
    pub fn holds(mut self, so: bool, what: impl Into<String>) -> Self {
        if !so {
            self.outcome = Outcome::Broken;
            self.notes.push(what.into());
        }
        self
    }

    /// One more thing that was measured.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.into(), value.into());
        self
    }

    pub fn line<'a>(&'a self, row: &'a Row, seconds: f64, seed: u64) -> Line<'a> {
        Line {
            id: row.id.to_string(),
            fault: row.fault,
            outcome: self.outcome,
            figure: self.figure,
            unit: row.unit,
            runs: self.runs,
            injection: row.injection,
            promise: row.promise,
            notes: &self.notes,
            detail: &self.detail,
            seconds: (seconds * 10.0).round() / 10.0,
            seed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_that_does_not_hold_breaks_the_row() {
        let verdict = Verdict::of(1.0, 1).holds(true, "a").holds(false, "b").holds(true, "c");
        assert_eq!((verdict.outcome, verdict.notes), (Outcome::Broken, vec!["b".to_owned()]));
    }

    #[test]
    fn a_line_has_what_is_asked_of_it() {
        let row = &super::super::matrix::ROWS[0];
        let line = serde_json::to_value(Verdict::of(2.0, 3).line(row, 1.0, 4)).unwrap();
        for (name, value) in
            [("id", Value::from("F1")), ("outcome", "held".into()), ("figure", 2.0.into()), ("runs", 3.into())]
        {
            assert_eq!(line[name], value, "{name}");
        }
        assert!(line["unit"].is_string() && line["fault"].is_string());
    }
}
