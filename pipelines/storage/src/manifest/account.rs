//! What an epoch made and what became of it, so that "nothing is missing" can be checked and not only said.
//!
//! Segments of a rendition are numbered from 0 in each epoch. A manifest accounts for each number: among its objects, or
//! by name as missing.

use std::collections::{BTreeMap, BTreeSet};

use media::Rendition;
use serde::{Deserialize, Serialize};

use super::Manifest;
use crate::store::Bucket;

/// What one epoch made of one rendition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    pub epoch: u32,
    pub rendition: Rendition,
    /// Segments that left the encoder: as its journal counts them; without one, up to the last that was stored.
    pub made: u64,
    /// So many of them are among the manifest's objects.
    pub stored: u64,
    /// The others.
    pub missing: Vec<Missing>,
}

/// Segments of successive numbers that are missing for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    pub first: u64,
    pub last: u64,
    pub why: String,
}

/// What a manifest's accounts add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// That stored or lost a segment.
    pub epochs: usize,
    /// Made, stored or not.
    pub segments: u64,
    /// Of those, named as missing.
    pub missing: u64,
}

impl Manifest {
    /// What the accounts add up to; none in a manifest from before there were any.
    #[must_use]
    pub fn sum(&self) -> Option<Sum> {
        let epochs: BTreeSet<u32> = self.accounts.iter().map(|account| account.epoch).collect();
        let segments = self.accounts.iter().map(|account| account.made).sum();
        let missing = self.accounts.iter().flat_map(|account| &account.missing).map(Missing::count).sum();
        (!epochs.is_empty()).then_some(Sum { epochs: epochs.len(), segments, missing })
    }

    /// Every segment that is neither stored nor named, or is both, in words: the folder and what is odd.
    pub(crate) fn unaccounted(&self) -> Vec<(String, String)> {
        if self.accounts.is_empty() {
            return Vec::new();
        }
        let (mut odd, mut stored) = (Vec::new(), self.stored());
        for account in &self.accounts {
            let Account { epoch, rendition, made, .. } = account;
            let (folder, numbers) = stored.remove(&(*epoch, rendition.as_str())).unwrap_or_default();
            let at = format!("segments of {rendition} in epoch {epoch}");
            for why in account.odds(&numbers) {
                odd.push((folder.clone(), format!("{at}, of which {made} were made: {why}")));
            }
        }
        let strange = stored.into_iter().map(|((epoch, rendition), (folder, numbers))| {
            (folder, format!("epoch {epoch} has {} segments of {rendition}, and no account of them", numbers.len()))
        });
        odd.extend(strange);
        odd
    }

    /// The numbers of the segments among the objects, and their folder, by epoch and rendition.
    fn stored(&self) -> BTreeMap<(u32, &str), (String, Vec<u64>)> {
        let mut stored: BTreeMap<(u32, &str), (String, Vec<u64>)> = BTreeMap::new();
        for object in self.objects.iter().filter(|object| object.bucket == Bucket::Media) {
            let mut parts = object.key.split('/').skip(4);
            let (Some("live"), Some(epoch), Some(rendition), Some(name)) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let number = name.strip_suffix(".m4s.age").and_then(|number| number.parse().ok());
            let (Some(number), Ok(epoch)) = (number, epoch.parse()) else { continue };
            let folder = object.key.trim_end_matches(name).to_owned();
            let (_, numbers) = stored.entry((epoch, rendition)).or_insert_with(|| (folder, Vec::new()));
            numbers.push(number);
        }
        stored
    }
}

impl Account {
    /// What does not add up, given the numbers that are stored.
    fn odds(&self, stored: &[u64]) -> Vec<String> {
        let mut odd = Vec::new();
        if stored.len() as u64 != self.stored {
            odd.push(format!("{} are stored, where {} are said to be", stored.len(), self.stored));
        }
        let missing = self.missing.iter().map(|run| (run.first, run.last));
        let mut runs: Vec<(u64, u64)> = stored.iter().map(|number| (*number, *number)).chain(missing).collect();
        runs.sort_unstable();
        let mut next = 0;
        for (first, last) in runs {
            if first > next {
                odd.push(format!("{} neither stored nor named as missing", numbers(next, first - 1)));
            } else if first < next {
                odd.push(format!("{} told of twice", numbers(first, last.min(next - 1))));
            }
            next = next.max(last.saturating_add(1));
        }
        if next < self.made {
            odd.push(format!("{} neither stored nor named as missing", numbers(next, self.made - 1)));
        } else if next > self.made {
            odd.push(format!("{} never made", numbers(self.made, next - 1)));
        }
        odd
    }
}

impl Missing {
    #[must_use]
    pub fn count(&self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }
}

fn numbers(first: u64, last: u64) -> String {
    if first == last { format!("{first} is") } else { format!("{first} to {last} are") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(made: u64, stored: u64, missing: &[(u64, u64)]) -> Account {
        let missing = missing.iter().map(|(first, last)| Missing { first: *first, last: *last, why: "x".into() });
        Account { epoch: 1, rendition: Rendition::video(), made, stored, missing: missing.collect() }
    }

    #[test]
    fn each_number_is_stored_or_named_and_only_once() {
        // Made, said to be stored, missing, stored: what is odd.
        type Row<'a> = (u64, u64, &'a [(u64, u64)], &'a [u64], &'a [&'a str]);
        #[rustfmt::skip]
        let table: [Row<'_>; 8] = [
            (0, 0, &[], &[], &[]),
            (4, 4, &[], &[0, 1, 2, 3], &[]),
            (6, 3, &[(1, 2), (5, 5)], &[0, 3, 4], &[]),
            (4, 3, &[], &[0, 2, 3], &["1 is neither stored nor named as missing"]),
            (5, 2, &[], &[0, 1], &["2 to 4 are neither stored nor named as missing"]),
            (2, 2, &[(1, 1)], &[0, 1], &["1 is told of twice"]),
            (2, 3, &[], &[0, 1, 2], &["2 is never made"]),
            (2, 2, &[], &[0], &["1 are stored, where 2 are said to be", "1 is neither stored nor named as missing"]),
        ];
        for (made, stored, missing, numbers, odd) in table {
            assert_eq!(account(made, stored, missing).odds(numbers), odd, "{made} {missing:?} {numbers:?}");
        }
    }
}
