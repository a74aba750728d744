//! ListObjectsV2 over a folder: in order of key, in pages, by prefix and by `/`.

use std::fs;
use std::io;
use std::path::Path;

use super::folder::Version;

/// One line of a listing.
#[derive(Debug)]
pub(super) enum Item {
    Object(String, Version),
    /// A prefix ending in `/` that has something below it.
    Folder(String),
}

impl Item {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Object(name, _) | Self::Folder(name) => name,
        }
    }
}

/// What to list.
#[derive(Debug)]
pub(super) struct Query<'a> {
    pub(super) prefix: &'a str,
    /// Stop at the next `/`.
    pub(super) flat: bool,
    /// Names up to and with this one were told before.
    pub(super) after: &'a str,
    pub(super) most: usize,
}

/// At most `most` items, and whether there are more.
pub(super) fn list(bucket: &Path, query: &Query<'_>) -> io::Result<(Vec<Item>, bool)> {
    // Everything with the prefix lies below its last slash, so nothing else is walked.
    let (dir, _) = query.prefix.rsplit_once('/').unwrap_or_default();
    let odd = dir.split('/').any(|part| matches!(part, "." | "..")) || dir.starts_with('/');
    let mut items = Vec::new();
    if !odd {
        let base = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        walk(&bucket.join(dir), &base, query, &mut items)?;
    }
    items.sort_by(|a, b| a.name().cmp(b.name()));
    let more = items.len() > query.most;
    items.truncate(query.most);
    Ok((items, more))
}

fn walk(dir: &Path, base: &str, query: &Query<'_>, items: &mut Vec<Item>) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        // Keys are UTF-8, so a name that is not was never put here by us.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let name = format!("{base}{name}");
        if entry.file_type()?.is_dir() {
            let below = format!("{name}/");
            // Either the prefix goes on below this folder, or all of the folder has the prefix.
            if !below.starts_with(query.prefix) && !query.prefix.starts_with(&below) {
                continue;
            }
            if query.flat {
                if below.as_str() > query.after {
                    items.push(Item::Folder(below));
                }
            } else if below.as_str() > query.after || query.after.starts_with(&below) {
                walk(&entry.path(), &below, query, items)?;
            }
        } else if name.starts_with(query.prefix) && name.as_str() > query.after {
            // A file that went away meanwhile is no longer there to list.
            let Ok(meta) = entry.metadata() else { continue };
            items.extend(Version::from_metadata(&meta)?.map(|version| Item::Object(name, version)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(keys: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for key in keys {
            let path = dir.path().join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, key).unwrap();
        }
        dir
    }

    fn names(dir: &tempfile::TempDir, prefix: &str, flat: bool) -> Vec<String> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let (page, more) = list(dir.path(), &Query { prefix, flat, after: &after, most: 2 }).unwrap();
            all.extend(page.iter().map(|item| item.name().to_owned()));
            match page.last() {
                Some(last) if more => after = last.name().to_owned(),
                _ => return all,
            }
        }
    }

    #[test]
    fn pages_follow_the_order_of_keys_not_of_folders() {
        // '-' and '.' sort before '/', so a folder's content may follow a file that is named like it and more.
        let dir = bucket(&["a/b", "a/c/d", "a-x", "a.y", "a0", "b"]);
        assert_eq!(names(&dir, "", false), ["a-x", "a.y", "a/b", "a/c/d", "a0", "b"]);
    }

    #[test]
    fn a_prefix_may_end_within_a_name() {
        let dir = bucket(&["v1/uni/x1/s", "v1/uni/x2/s", "v1/uni/y/s", "v1/unit/s"]);
        assert_eq!(names(&dir, "v1/uni/x", false), ["v1/uni/x1/s", "v1/uni/x2/s"]);
        assert_eq!(names(&dir, "v1/uni", true), ["v1/uni/", "v1/unit/"]);
        assert_eq!(names(&dir, "v1/uni/", true), ["v1/uni/x1/", "v1/uni/x2/", "v1/uni/y/"]);
        assert_eq!(names(&dir, "nothing/here/", false), [""; 0]);
    }

    #[test]
    fn a_prefix_never_leads_out_of_the_bucket() {
        let dir = bucket(&["secret", "in/x"]);
        let inside = tempfile::TempDir::new_in(dir.path()).unwrap();
        assert_eq!(names(&inside, "../", false), [""; 0]);
        assert_eq!(names(&inside, "/", false), [""; 0]);
    }
}
