//! Which rooms are recorded, and how: `samples/policy.toml` documents every field. Rules are tried in their order; the
//! first that matches decides. Pure but for [`Policy::read`].

use std::path::{Path, PathBuf};

use events::{Basis, LayoutName, PolicyId, RecordingRequested, RoomId};
use regex::{Regex, RegexBuilder};
use serde::Deserialize;

/// A pattern's compiled size. Patterns match in linear time whatever they are (crate `regex`); this bounds memory.
const PATTERN_SIZE: usize = 1 << 20;
const LONGEST_SECONDS: u32 = 12 * 3600;

#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("cannot read the policy {path}; set policy_file in [bridge], or write one after samples/policy.toml")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the policy is not TOML: {message}")]
    Syntax { message: String },
    #[error("the policy has an entry `{name}`; it holds [[rule]] entries only")]
    Unknown { name: String },
    /// `rule` counts from 1 and names the id where there is one.
    #[error("{rule} of the policy: {message}")]
    Rule { rule: String, message: String },
}

/// All rules, in order.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// One rule that passed every check.
#[derive(Debug, Clone)]
pub struct Rule {
    pub id: PolicyId,
    /// Recorded only when somebody asks; see [`Decision::OnRequest`].
    pub on_request: bool,
    instances: Vec<String>,
    rooms: Vec<RoomId>,
    title: Option<Regex>,
    layout: LayoutName,
    language: String,
    retention_days: u32,
    basis: Basis,
    webinar: bool,
    max_seconds: u32,
}

/// What the policy says of a room.
#[derive(Debug, Clone, Copy)]
pub enum Decision<'a> {
    /// Record every run.
    Record(&'a Rule),
    /// Record a run when somebody asks; see [`Policy::ask`].
    OnRequest(&'a Rule),
    Leave,
}

/// Why a wish for a recording is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the policy has no rule {rule}; name one that has on_request = true, or none")]
    Unknown { rule: PolicyId },
    #[error("rule {rule} records this room without being asked; nothing need be done")]
    Recorded { rule: PolicyId },
    #[error(
        "no rule that fits lets this room be recorded on request; give the policy one with on_request = true and start the bridge anew"
    )]
    NoRule,
}

/// A rule as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: PolicyId,
    #[serde(default)]
    instance: Vec<String>,
    #[serde(default)]
    room: Vec<RoomId>,
    title: Option<String>,
    #[serde(default)]
    on_request: bool,
    #[serde(default)]
    layout: LayoutName,
    language: String,
    retention_days: u32,
    basis: Basis,
    #[serde(default)]
    webinar: bool,
    #[serde(default = "four_hours")]
    max_seconds: u32,
}

/// A double lecture with its break, and an hour over.
fn four_hours() -> u32 {
    4 * 3600
}

impl Policy {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, and as [`Policy::parse`].
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| PolicyError::Read { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// Reads a policy.
    ///
    /// # Errors
    /// Names the rule and the field that is wrong.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut table: toml::Table = text
            .parse()
            .map_err(|e: toml::de::Error| PolicyError::Syntax { message: e.to_string().trim().to_owned() })?;
        let rules = table.remove("rule");
        if let Some(name) = table.keys().next() {
            return Err(PolicyError::Unknown { name: name.clone() });
        }
        let rules = match rules {
            None => Vec::new(),
            Some(toml::Value::Array(rules)) => rules,
            Some(_) => return Err(PolicyError::Syntax { message: "`rule` must be written as [[rule]]".into() }),
        };
        let mut policy = Self::default();
        for (index, value) in rules.into_iter().enumerate() {
            let named = value.get("id").and_then(toml::Value::as_str).map(|id| format!(" ({id})")).unwrap_or_default();
            let wrong = |message: String| PolicyError::Rule { rule: format!("rule {}{named}", index + 1), message };
            let written: Written =
                value.try_into().map_err(|e: toml::de::Error| wrong(e.to_string().trim().to_owned()))?;
            let rule = Rule::check(written).map_err(wrong)?;
            if policy.rule(&rule.id).is_some() {
                return Err(wrong("id: an earlier rule has it; recordings are told apart by it".into()));
            }
            policy.rules.push(rule);
        }
        Ok(policy)
    }

    /// What to do with a run of `room` at `instance`. A rule with a title pattern does not match a title that is not
    /// known.
    #[must_use]
    pub fn decide(&self, instance: &str, room: &RoomId, title: Option<&str>) -> Decision<'_> {
        let matches = |rule: &&Rule| {
            let titled = |pattern: &Regex| title.is_some_and(|title| pattern.is_match(title));
            rule.takes(instance, room) && rule.title.as_ref().is_none_or(titled)
        };
        match self.rules.iter().find(matches) {
            Some(rule) if rule.on_request => Decision::OnRequest(rule),
            Some(rule) => Decision::Record(rule),
            None => Decision::Leave,
        }
    }

    /// The rule by which somebody may have a run of `room` recorded: the first with `on_request` that matches, or the one
    /// `named` if it does.
    ///
    /// # Errors
    /// When there is none, or the room is recorded anyway.
    pub fn ask(
        &self,
        instance: &str,
        room: &RoomId,
        title: Option<&str>,
        named: Option<&PolicyId>,
    ) -> Result<&Rule, Refusal> {
        self.asked(instance, room, named, |pattern| Some(title.is_some_and(|title| pattern.is_match(title))))
    }

    /// Whether [`Policy::ask`] could find a rule for some title of `room`.
    ///
    /// # Errors
    /// When it would find none, whatever the title.
    pub fn may_ask(&self, instance: &str, room: &RoomId, named: Option<&PolicyId>) -> Result<(), Refusal> {
        self.asked(instance, room, named, |_| None).map(drop)
    }

    /// `fits` says whether a title pattern matches, and None where that is not known.
    fn asked(
        &self,
        instance: &str,
        room: &RoomId,
        named: Option<&PolicyId>,
        fits: impl Fn(&Regex) -> Option<bool>,
    ) -> Result<&Rule, Refusal> {
        if let Some(rule) = named.filter(|id| self.rule(id).is_none()) {
            return Err(Refusal::Unknown { rule: rule.clone() });
        }
        let mut on_request = false;
        for rule in self.rules.iter().filter(|rule| rule.takes(instance, room)) {
            match (rule.on_request, rule.title.as_ref().map_or(Some(true), &fits)) {
                (_, Some(false)) | (false, None) => {}
                (true, _) if named.is_none_or(|id| *id == rule.id) => return Ok(rule),
                (true, _) => on_request = true,
                // An earlier rule that waits to be asked decides before it.
                (false, Some(true)) if on_request => {}
                (false, Some(true)) => return Err(Refusal::Recorded { rule: rule.id.clone() }),
            }
        }
        Err(Refusal::NoRule)
    }

    /// Whether the room's title can change what [`Policy::decide`] says.
    #[must_use]
    pub fn needs_title(&self, instance: &str, room: &RoomId) -> bool {
        self.rules.iter().find(|rule| rule.takes(instance, room)).is_some_and(|rule| rule.title.is_some())
    }

    /// The rule `id`, for whoever asks on somebody's behalf.
    #[must_use]
    pub fn rule(&self, id: &PolicyId) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == *id)
    }

    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl Rule {
    /// The wish that this rule stands for. `requested_by` is `policy` or an opaque id.
    #[must_use]
    pub fn request(&self, requested_by: &str) -> RecordingRequested {
        RecordingRequested {
            policy: self.id.clone(),
            requested_by: requested_by.to_owned(),
            layout: self.layout,
            language: self.language.clone(),
            basis: self.basis,
            retention_days: self.retention_days,
            webinar: self.webinar,
            max_seconds: i64::from(self.max_seconds),
        }
    }

    fn takes(&self, instance: &str, room: &RoomId) -> bool {
        (self.instances.is_empty() || self.instances.iter().any(|name| name == instance))
            && (self.rooms.is_empty() || self.rooms.contains(room))
    }

    fn check(written: Written) -> Result<Self, String> {
        let title = match &written.title {
            None => None,
            Some(pattern) => Some(
                RegexBuilder::new(pattern)
                    .size_limit(PATTERN_SIZE)
                    .build()
                    .map_err(|e| format!("title: {}", e.to_string().trim()))?,
            ),
        };
        if !events::is_language(&written.language) {
            return Err("language: must be a BCP 47 tag such as nb or en".into());
        }
        if written.retention_days == 0 {
            return Err("retention_days: must be at least 1".into());
        }
        if !(1..=LONGEST_SECONDS).contains(&written.max_seconds) {
            return Err(format!("max_seconds: must be 1 to {LONGEST_SECONDS}, which is twelve hours"));
        }
        let Written {
            id,
            instance,
            room,
            on_request,
            layout,
            language,
            retention_days,
            basis,
            webinar,
            max_seconds,
            ..
        } = written;
        Ok(Self {
            id,
            on_request,
            instances: instance,
            rooms: room,
            title,
            layout,
            language,
            retention_days,
            basis,
            webinar,
            max_seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "[[rule]]\nid = 'lectures'\nlanguage = 'nb'\nretention_days = 365\nbasis = 'public-task'\n";

    fn room(id: &str) -> RoomId {
        RoomId::new(id).unwrap()
    }

    fn told(policy: &Policy, at: &str, title: Option<&str>) -> String {
        match policy.decide("hall", &room(at), title) {
            Decision::Record(rule) => rule.id.to_string(),
            Decision::OnRequest(rule) => format!("{}?", rule.id),
            Decision::Leave => "-".into(),
        }
    }

    #[test]
    fn the_sample_is_sound_and_says_what_it_says() {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/policy.toml")).unwrap();
        let policy = Policy::parse(&text).unwrap();
        #[rustfmt::skip]
        let table = [
            ("1000", None,                             "exam-hall"),
            ("7",    Some("Åpen forelesning: fjord"),  "open-lectures"),
            ("7",    Some("forelesning 3"),            "lectures"),
            ("7",    Some("Lunch"),                    "on-request"),
            ("7",    None,                             "on-request"),
        ];
        for (at, title, wanted) in table {
            assert_eq!(told(&policy, at, title).trim_end_matches('?'), wanted, "{at} {title:?}");
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let text = "[[rule]]\nid = 'a'\nroom = ['1', '2']\ntitle = '(?i)^lecture'\nlanguage = 'en'\nretention_days = 1\nbasis = 'consent'\n\
                    [[rule]]\nid = 'b'\nroom = ['2']\non_request = true\nlanguage = 'en'\nretention_days = 1\nbasis = 'consent'\n\
                    [[rule]]\nid = 'c'\ninstance = ['annex']\nlanguage = 'en'\nretention_days = 1\nbasis = 'consent'\n";
        let policy = Policy::parse(text).unwrap();
        #[rustfmt::skip]
        let table = [
            ("1", Some("LECTURE 1"), "a"),
            ("1", Some("a lecture"), "-"),
            ("1", None,              "-"),
            ("2", Some("lecture"),   "a"),
            ("2", Some("coffee"),    "b?"),
            ("3", Some("lecture"),   "-"),
        ];
        for (at, title, wanted) in table {
            assert_eq!(told(&policy, at, title), wanted, "{at} {title:?}");
        }
        assert!(matches!(policy.decide("annex", &room("3"), None), Decision::Record(rule) if rule.id.as_str() == "c"));
        assert!(policy.needs_title("hall", &room("2")));
        assert!(!policy.needs_title("hall", &room("3")) && !policy.needs_title("annex", &room("3")));
    }

    #[test]
    fn who_asks_gets_the_first_rule_that_fits_or_the_one_they_name() {
        let rule = |id: &str, more: &str| {
            format!("[[rule]]\nid = '{id}'\nlanguage = 'en'\nretention_days = 1\nbasis = 'consent'\n{more}\n")
        };
        let text = [
            rule("lectures", "title = '^Lecture'"),
            rule("seminars", "title = '^Seminar'\non_request = true"),
            rule("asked", "room = ['7', '8']\non_request = true"),
            rule("live", "room = ['7']\non_request = true\nwebinar = true"),
            rule("hall", "room = ['8', '9']"),
        ]
        .concat();
        let policy = Policy::parse(&text).unwrap();
        let named = |id: &str| Some(PolicyId::new(id).unwrap()).filter(|id| id.as_str() != "-");
        let word = |asked: Result<String, Refusal>| match asked {
            Ok(rule) => rule,
            Err(Refusal::Unknown { .. }) => "unknown".into(),
            Err(Refusal::Recorded { rule }) => format!("by {rule}"),
            Err(Refusal::NoRule) => "none".into(),
        };
        #[rustfmt::skip]
        let table = [
            // room, title,          named,      with the title, and whatever the title
            ("7",    Some("Coffee"),  "-",        "asked",        "ok"),
            ("7",    None,            "-",        "asked",        "ok"),
            ("7",    Some("Seminar"), "-",        "seminars",     "ok"),
            ("7",    Some("Coffee"),  "live",     "live",         "ok"),
            ("7",    Some("Coffee"),  "seminars", "none",         "ok"),
            ("7",    Some("Lecture"), "live",     "by lectures",  "ok"),
            ("8",    Some("Coffee"),  "live",     "none",         "none"),
            ("9",    Some("Coffee"),  "-",        "by hall",      "ok"),
            ("9",    Some("Seminar"), "-",        "seminars",     "ok"),
            ("9",    Some("Seminar"), "asked",    "none",         "none"),
            ("1",    Some("Coffee"),  "-",        "none",         "ok"),
            ("1",    Some("Coffee"),  "hall",     "none",         "none"),
            ("1",    Some("Coffee"),  "gone",     "unknown",      "unknown"),
        ];
        for (at, title, id, wanted, possible) in table {
            let asked = policy.ask("hall", &room(at), title, named(id).as_ref()).map(|rule| rule.id.to_string());
            assert_eq!(word(asked), wanted, "{at} {title:?} {id}");
            let may = policy.may_ask("hall", &room(at), named(id).as_ref()).map(|()| "ok".to_owned());
            assert_eq!(word(may), possible, "{at} {id}");
        }
        let hall = Policy::parse(&rule("hall", "")).unwrap();
        assert_eq!(hall.may_ask("hall", &room("1"), None), Err(Refusal::Recorded { rule: named("hall").unwrap() }));
    }

    /// trust.md 6, row 11.
    #[test]
    fn a_run_is_recorded_twice_only_by_two_rules_that_may_be_asked_for() {
        let rule = |id: &str, more: &str| {
            format!("[[rule]]\nid = '{id}'\nlanguage = 'en'\nretention_days = 1\nbasis = 'consent'\n{more}\n")
        };
        let asked = rule("asked", "room = ['7']\non_request = true");
        let live = rule("live", "room = ['7']\non_request = true\nwebinar = true");
        let (tenant, session) = (events::TenantId::new("uni").unwrap(), events::SessionId::new("s").unwrap());
        let id = |policy: &Policy, named: &str| {
            let named = PolicyId::new(named).unwrap();
            let rule = policy.ask("hall", &room("7"), None, Some(&named)).map(|rule| rule.id.clone());
            rule.map(|rule| events::RecordingId::derive(&tenant, &session, &rule))
        };
        let both = Policy::parse(&[asked.as_str(), live.as_str()].concat()).unwrap();
        let (first, second) = (id(&both, "asked").unwrap(), id(&both, "live").unwrap());
        assert_ne!(first, second, "the second has a recording of its own");
        assert_eq!(id(&both, "live").unwrap(), second, "and asked for again it is the same");
        // Recorded by policy, the room is not recorded by another on a wish.
        let recorded = Policy::parse(&[rule("lectures", "room = ['7']").as_str(), live.as_str()].concat()).unwrap();
        assert!(matches!(id(&recorded, "live"), Err(Refusal::Recorded { .. })));
        assert!(matches!(id(&both, "lectures"), Err(Refusal::Unknown { .. })));
    }

    #[test]
    fn a_request_carries_the_rule() {
        let policy = Policy::parse(&format!("{RULE}webinar = true\nlayout = 'grid'\nmax_seconds = 60\n")).unwrap();
        let wish = policy.rules()[0].request("policy");
        let wanted = RecordingRequested {
            policy: PolicyId::new("lectures").unwrap(),
            requested_by: "policy".into(),
            layout: LayoutName::Grid,
            language: "nb".into(),
            basis: Basis::PublicTask,
            retention_days: 365,
            webinar: true,
            max_seconds: 60,
        };
        assert_eq!(wish, wanted);
    }

    #[test]
    fn what_is_wrong_is_named_by_rule_and_field() {
        #[rustfmt::skip]
        let table = [
            (format!("{RULE}titel = 'x'"),                     ["rule 1 (lectures)", "titel"]),
            (format!("{RULE}title = '(a'"),                    ["rule 1 (lectures)", "title:"]),
            (format!("{RULE}title = 'a{{1000}}{{1000}}{{1000}}'"), ["rule 1 (lectures)", "size"]),
            (format!("{RULE}max_seconds = 43201"),             ["rule 1 (lectures)", "max_seconds"]),
            (format!("{RULE}max_seconds = -1"),                ["rule 1 (lectures)", "max_seconds"]),
            (format!("{RULE}layout = 'mosaic'"),               ["rule 1 (lectures)", "layout"]),
            (format!("{RULE}room = ['../x']"),                 ["rule 1 (lectures)", "room id"]),
            (RULE.replace("'nb'", "'norsk bokmål'"),           ["rule 1 (lectures)", "language"]),
            (RULE.replace("365", "0"),                         ["rule 1 (lectures)", "retention_days"]),
            (RULE.replace("basis = 'public-task'", ""),        ["rule 1 (lectures)", "basis"]),
            (RULE.replace("'public-task'", "'because'"),       ["rule 1 (lectures)", "basis"]),
            (RULE.replace("id = 'lectures'", ""),              ["rule 1", "id"]),
            (format!("{RULE}{RULE}"),                          ["rule 2 (lectures)", "id"]),
            ("[rules]\na = 1".into(),                          ["rules", "[[rule]]"]),
            ("rule = 1".into(),                                ["rule", "[[rule]]"]),
            ("[[rule".into(),                                  ["TOML", "line 1"]),
        ];
        for (text, wanted) in table {
            let told = Policy::parse(&text).expect_err(&text).to_string();
            assert!(wanted.iter().all(|word| told.contains(word)), "{text}\n{told}");
        }
        let told = Policy::read(Path::new("/nowhere/policy.toml")).unwrap_err().to_string();
        assert!(told.contains("/nowhere/policy.toml"), "{told}");
    }

    /// Backtracking engines need ages for this one.
    #[test]
    fn a_hostile_pattern_takes_no_longer_than_others() {
        let policy = Policy::parse(&format!("{RULE}title = '(a+)+$'")).unwrap();
        let title = format!("{}b", "a".repeat(100_000));
        let since = std::time::Instant::now();
        assert_eq!(told(&policy, "1", Some(&title)), "-");
        assert!(since.elapsed() < std::time::Duration::from_secs(5), "{:?}", since.elapsed());
    }
}
