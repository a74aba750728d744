//! The transition table, row by row: where a session stands, what it is told, where it goes and what it asks for.

mod words;

use std::time::{Duration, Instant};

use session::{Claim, Fault, Input, Limits, Meeting, Object, Pipeline, Reason, Room, Session, Spec, Storage};
use words::{act, closed, failed, joined, lost, stand, stored, track, untrack};

const JOINED: fn() -> Input = joined;

/// Two attempts each, so that the second is the last.
fn spec(earlier: bool) -> Spec {
    let limits = Limits { joins: 2, rejoins: 2, ..Limits::default() };
    Spec {
        earlier,
        layout: layout::LayoutName::Grid,
        pipeline: media::PipelineSpec::default(),
        limits,
        seed: 1,
        caution: session::Caution::default(),
    }
}

/// Brings a new session to where a row begins.
fn bring(to: &str) -> (Session, Instant) {
    use Input as I;
    let live = || vec![joined(), track("a"), I::Pipeline(Pipeline::Playing)];
    let kept = || [live(), vec![closed(0), stored(0)]].concat();
    let with = |mut path: Vec<Input>, more: &[Input]| {
        path.extend_from_slice(more);
        path
    };
    let stop = I::Room(Room::StopRequested);
    let drained = I::Pipeline(Pipeline::Drained);
    let away = lost(Fault::Passing);
    #[rustfmt::skip]
    let path = match to {
        "joining" | "joining in epoch 2"  => vec![],
        "joining, waiting"                => vec![away],
        "joining, last"                   => vec![away, I::Timeout],
        "joining, last, in epoch 2"       => vec![away, I::Timeout],
        "lobby"                           => vec![joined()],
        "lobby, last"                     => vec![away, I::Timeout, joined()],
        "starting"                        => vec![joined(), track("a")],
        "starting, last"                  => vec![away, I::Timeout, joined(), track("a")],
        "live, nothing kept"              => live(),
        "live, nothing kept, in epoch 2"  => live(),
        "live"                            => kept(),
        "live, one put under way"         => with(live(), &[closed(0)]),
        "live, one put failed"            => with(live(), &[closed(0), failed(0)]),
        "live, silent"                    => with(kept(), &[untrack("a")]),
        "rejoining"                       => with(kept(), &[away]),
        "rejoining, waiting"              => with(kept(), &[away.clone(), away]),
        "rejoining, last"                 => with(kept(), &[away.clone(), away, I::Timeout]),
        "handing over"                    => with(kept(), &[I::Shutdown]),
        "handing over, nothing kept"      => with(live(), &[I::Shutdown]),
        "draining"                        => with(kept(), &[stop]),
        "draining, nothing kept"          => with(live(), &[stop]),
        "draining, nothing kept, in epoch 2" => with(live(), &[stop]),
        "draining, one put under way"     => with(live(), &[closed(0), stop]),
        "draining, cut"                   => with(kept(), &[lost(Fault::Room)]),
        "draining, offered"               => with(kept(), &[I::Shutdown, stop]),
        "draining, offered, nothing kept" => with(live(), &[I::Shutdown, stop]),
        "draining, superseded"            => with(kept(), &[I::Claim(Claim::Superseded)]),
        "storing"                         => with(live(), &[closed(0), stop, drained]),
        "storing, cut"                    => with(live(), &[closed(0), lost(Fault::Room), drained]),
        "storing, offered"                => with(live(), &[closed(0), I::Shutdown, stop, drained]),
        "storing, superseded"             => with(live(), &[closed(0), I::Claim(Claim::Superseded), drained]),
        "storing the journal"             => with(kept(), &[stop, drained]),
        "storing the journal, cut"        => with(kept(), &[lost(Fault::Room), drained]),
        "storing the journal, offered"    => with(kept(), &[I::Shutdown, stop, drained]),
        "storing the journal, superseded" => with(kept(), &[I::Claim(Claim::Superseded), drained]),
        "ended"                           => vec![stop],
        other => panic!("no way to {other:?}"),
    };
    let mut now = Instant::now();
    let (mut session, _) = Session::new(spec(to.contains("epoch 2")), now);
    for input in path {
        // A moment later, so that the picture has settled, or when the session asked to be woken.
        now = match input {
            Input::Timeout => session.deadline().unwrap_or(now),
            _ => now + Duration::from_secs(1),
        };
        let _ = session.handle(input, now);
    }
    (session, now + Duration::from_secs(1))
}

fn removed() -> Input {
    Input::Meeting(Meeting::Removed)
}

fn broke(fault: Fault) -> Input {
    Input::Pipeline(Pipeline::Broke(fault, Reason::PipelineBroke))
}

fn journal(stored: bool) -> Input {
    let object = Object::Journal;
    Input::Storage(if stored { Storage::Stored(object) } else { Storage::Failed(object) })
}

#[test]
#[rustfmt::skip]
fn every_row_of_the_table_holds() {
    use Fault::{Passing, Room as Theirs, Worker};
    use Input::{Shutdown, Timeout};
    let stop = || Input::Room(Room::StopRequested);
    let room_ended = || Input::Room(Room::Ended);
    let superseded = || Input::Claim(Claim::Superseded);
    let taken = || Input::Claim(Claim::Taken);
    let playing = || Input::Pipeline(Pipeline::Playing);
    let drained = || Input::Pipeline(Pipeline::Drained);
    let full = || Input::Storage(Storage::SpoolFull);
    let init = || Input::Pipeline(Pipeline::Init(media::Rendition::video()));
    let rows = [
    //   from                              input           to                              actions
        ("joining",                         JOINED(),       "lobby 1",                      "announce(joined 1)"),
        ("joining",                         lost(Passing),  "joining 2",                    ""),
        ("joining",                         Timeout,        "joining 2",                    ""),
        ("joining",                         lost(Theirs),   "ended: failed(room, unreachable)", "leave release announce(failed)"),
        ("joining",                         lost(Worker),   "ended: handed over",           "leave offer"),
        ("joining",                         removed(),      "ended: failed(room, removed)", "leave release announce(failed)"),
        ("joining",                         stop(),         "ended: empty(stopped)",        "leave release announce(empty)"),
        ("joining",                         room_ended(),   "ended: empty(room-ended)",     "leave release announce(empty)"),
        ("joining",                         Shutdown,       "ended: handed over",           "leave offer"),
        ("joining",                         superseded(),   "ended: superseded",            "leave"),
        ("joining",                         taken(),        "joining 1",                    ""),
        ("joining",                         track("a"),     "joining 1",                    ""),
        ("joining",                         playing(),      "joining 1",                    ""),
        ("joining",                         full(),         "joining 1",                    ""),
        ("joining, waiting",                Timeout,        "joining 2",                    "join(2)"),
        ("joining, waiting",                lost(Passing),  "joining 2",                    ""),
        ("joining, waiting",                JOINED(),       "lobby 2",                      "announce(joined 2)"),
        ("joining, last",                   lost(Passing),  "ended: failed(passing, unreachable)", "leave release announce(failed)"),
        ("joining, last",                   Timeout,        "ended: failed(passing, unreachable)", "leave release announce(failed)"),
        ("joining in epoch 2",              lost(Theirs),   "ended: empty(unreachable)",    "leave release announce(empty)"),
        ("joining in epoch 2",              removed(),      "ended: empty(removed)",        "leave release announce(empty)"),
        ("joining, last, in epoch 2",       Timeout,        "ended: empty(unreachable)",    "leave release announce(empty)"),

        ("lobby",                           track("a"),     "starting 1",                   "start"),
        ("lobby",                           JOINED(),       "lobby 1",                      ""),
        ("lobby",                           lost(Passing),  "joining 2",                    ""),
        ("lobby, last",                     lost(Passing),  "ended: failed(passing, unreachable)", "leave release announce(failed)"),
        ("lobby",                           lost(Theirs),   "ended: failed(room, unreachable)", "leave release announce(failed)"),
        ("lobby",                           lost(Worker),   "ended: handed over",           "leave offer"),
        ("lobby",                           removed(),      "ended: empty(removed)",        "leave release announce(empty)"),
        ("lobby",                           stop(),         "ended: empty(stopped)",        "leave release announce(empty)"),
        ("lobby",                           room_ended(),   "ended: empty(room-ended)",     "leave release announce(empty)"),
        ("lobby",                           Timeout,        "ended: empty(empty)",          "leave release announce(empty)"),
        ("lobby",                           Shutdown,       "ended: handed over",           "leave offer"),
        ("lobby",                           superseded(),   "ended: superseded",            "leave"),

        ("starting",                        playing(),      "live",                         "announce(started) add(a) arrange(1)"),
        ("starting",                        track("b"),     "starting 1",                   ""),
        ("starting",                        lost(Passing),  "joining 2",                    "kill"),
        ("starting, last",                  lost(Passing),  "ended: failed(passing, unreachable)", "kill leave release announce(failed)"),
        ("starting",                        lost(Theirs),   "ended: failed(room, unreachable)", "kill leave release announce(failed)"),
        ("starting",                        lost(Worker),   "ended: handed over",           "kill leave offer"),
        ("starting",                        removed(),      "ended: empty(removed)",        "kill leave release announce(empty)"),
        ("starting",                        stop(),         "ended: empty(stopped)",        "kill leave release announce(empty)"),
        ("starting",                        broke(Theirs),  "ended: failed(room, pipeline-broke)", "kill leave release announce(failed)"),
        ("starting",                        broke(Passing), "ended: handed over",           "kill leave offer"),
        ("starting",                        broke(Worker),  "ended: handed over",           "kill leave offer"),
        ("starting",                        Timeout,        "ended: handed over",           "kill leave offer"),
        ("starting",                        Shutdown,       "ended: handed over",           "kill leave offer"),
        ("starting",                        full(),         "starting 1",                   ""),
        ("starting",                        superseded(),   "ended: superseded",            "kill leave"),

        ("live",                            track("b"),     "live",                         "add(b) arrange(2)"),
        ("live",                            track("a"),     "live",                         ""),
        ("live",                            untrack("a"),   "live",                         "drop(a) arrange(0)"),
        ("live",                            untrack("z"),   "live",                         ""),
        ("live",                            init(),         "live",                         "store(init)"),
        ("live",                            closed(1),      "live",                         "store(1)"),
        ("live",                            closed(0),      "live",                         ""),
        ("live, one put under way",         failed(0),      "live",                         ""),
        ("live, one put failed",            Timeout,        "live",                         "store(0)"),
        ("live",                            full(),         "draining: cut(disk-full)",     "leave drain"),
        ("live, one put under way",         full(),         "draining: cut(disk-full)",     "leave drain"),
        ("live",                            lost(Passing),  "rejoining 1",                  "drop(a) arrange(0) join(1)"),
        ("live",                            lost(Theirs),   "draining: cut(unreachable)",   "leave drain"),
        ("live",                            lost(Worker),   "draining: handed over",        "offer leave drain"),
        ("live",                            removed(),      "draining: complete",           "leave drain"),
        ("live",                            stop(),         "draining: complete",           "leave drain"),
        ("live",                            room_ended(),   "draining: complete",           "leave drain"),
        ("live",                            Timeout,        "draining: complete",           "leave drain"), // longest
        ("live, silent",                    Timeout,        "draining: complete",           "leave drain"), // empty too long
        ("live",                            Shutdown,       "handing over",                 "offer"),
        ("live",                            superseded(),   "draining: superseded",         "leave drain"),
        ("live",                            taken(),        "live",                         ""),
        ("live",                            broke(Theirs),  "storing: cut(pipeline-broke)", "kill leave store(journal)"),
        ("live",                            broke(Passing), "storing: handed over",         "kill leave offer store(journal)"),
        ("live",                            broke(Worker),  "storing: handed over",         "kill leave offer store(journal)"),
        ("live",                            drained(),      "storing: handed over",         "kill leave offer store(journal)"),
        ("live, one put under way",         broke(Worker),  "storing: handed over",         "kill leave offer"),
        ("live, nothing kept",              broke(Theirs),  "ended: failed(room, pipeline-broke)", "kill leave release announce(failed)"),
        ("live, nothing kept, in epoch 2",  broke(Theirs),  "ended: empty(pipeline-broke)", "kill leave release announce(empty)"),
        ("live, nothing kept",              broke(Worker),  "ended: handed over",           "kill leave offer"),

        ("rejoining",                       JOINED(),       "live",                         ""),
        ("rejoining",                       track("b"),     "rejoining 1",                  ""), // no sign is set
        ("rejoining",                       lost(Passing),  "rejoining 2",                  ""),
        ("rejoining",                       Timeout,        "rejoining 2",                  ""),
        ("rejoining, waiting",              Timeout,        "rejoining 2",                  "join(2)"),
        ("rejoining, waiting",              lost(Passing),  "rejoining 2",                  ""),
        ("rejoining, last",                 lost(Passing),  "draining: cut(unreachable)",   "leave drain"),
        ("rejoining, last",                 Timeout,        "draining: cut(unreachable)",   "leave drain"),
        ("rejoining",                       lost(Theirs),   "rejoining 2",                  ""),
        ("rejoining, waiting",              lost(Theirs),   "rejoining 2",                  ""),
        ("rejoining, last",                 lost(Theirs),   "draining: cut(unreachable)",   "leave drain"),
        ("rejoining",                       lost(Worker),   "draining: handed over",        "offer leave drain"),
        ("rejoining",                       removed(),      "draining: cut(removed)",       "leave drain"),
        ("rejoining",                       stop(),         "draining: complete",           "leave drain"),
        ("rejoining",                       room_ended(),   "draining: complete",           "leave drain"),
        ("rejoining",                       Shutdown,       "handing over",                 "offer"),
        ("rejoining",                       superseded(),   "draining: superseded",         "leave drain"),
        ("rejoining",                       full(),         "draining: cut(disk-full)",     "leave drain"),
        ("rejoining",                       closed(1),      "rejoining 1",                  "store(1)"),
        ("rejoining",                       broke(Passing), "storing: handed over",         "kill leave offer store(journal)"),

        ("handing over",                    track("b"),     "handing over",                 "add(b) arrange(2)"),
        ("handing over",                    closed(1),      "handing over",                 "store(1)"),
        ("handing over",                    taken(),        "draining: handed over",        "leave drain"),
        ("handing over",                    lost(Passing),  "draining: handed over",        "leave drain"),
        ("handing over",                    lost(Worker),   "draining: handed over",        "leave drain"),
        ("handing over",                    stop(),         "draining: handed over",        "leave drain"),
        ("handing over",                    room_ended(),   "draining: handed over",        "leave drain"),
        ("handing over",                    removed(),      "draining: handed over",        "leave drain"),
        ("handing over",                    Timeout,        "draining: handed over",        "leave drain"),
        ("handing over",                    full(),         "draining: handed over",        "leave drain"),
        ("handing over",                    Shutdown,       "handing over",                 ""),
        ("handing over",                    superseded(),   "draining: superseded",         "leave drain"),
        ("handing over",                    broke(Theirs),  "storing: handed over",         "kill leave store(journal)"),
        ("handing over, nothing kept",      broke(Theirs),  "ended: handed over",           "kill leave"),

        ("draining",                        closed(1),      "draining: complete",           "store(1)"),
        ("draining",                        drained(),      "storing: complete",            "store(journal)"),
        ("draining, one put under way",     drained(),      "storing: complete",            ""),
        ("draining, nothing kept",          drained(),      "ended: empty(nothing-captured)", "release announce(empty)"),
        ("draining",                        Timeout,        "storing: cut(drain-timeout)",  "kill store(journal)"),
        ("draining",                        broke(Worker),  "storing: cut(pipeline-broke)", "kill store(journal)"),
        ("draining, nothing kept",          Timeout,        "ended: failed(room, drain-timeout)", "kill release announce(failed)"),
        ("draining, nothing kept, in epoch 2", Timeout,     "ended: empty(drain-timeout)",  "kill release announce(empty)"),
        ("draining, cut",                   Timeout,        "storing: cut(unreachable)",    "kill store(journal)"),
        ("draining, offered",               drained(),      "storing: handed over",         "store(journal)"),
        ("draining, offered",               Timeout,        "storing: handed over",         "kill store(journal)"),
        ("draining, offered, nothing kept", drained(),      "ended: handed over",           ""),
        ("draining, superseded",            Timeout,        "storing: superseded",          "kill store(journal)"),
        ("draining",                        superseded(),   "draining: superseded",         ""),
        ("draining, offered",               superseded(),   "draining: superseded",         ""),
        ("draining",                        stop(),         "draining: complete",           ""),
        ("draining",                        full(),         "draining: complete",           ""),
        ("draining",                        Shutdown,       "draining: complete",           ""),
        ("draining",                        lost(Theirs),  "draining: complete",           ""),
        ("draining",                        track("b"),     "draining: complete",           ""),

        ("storing",                         stored(0),      "storing: complete",            "store(journal)"),
        ("storing",                         stored(7),      "storing: complete",            ""),
        ("storing",                         failed(0),      "storing: complete",            ""),
        ("storing",                         Timeout,        "ended: cut(store-timeout)",    "release announce(cut)"),
        ("storing, cut",                    Timeout,        "ended: cut(store-timeout)",    "release announce(cut)"),
        ("storing, offered",                Timeout,        "ended: handed over",           ""),
        ("storing, superseded",             Timeout,        "ended: superseded",            ""),
        ("storing",                         superseded(),   "storing: superseded",          ""),
        ("storing",                         full(),         "storing: complete",            ""),
        ("storing the journal",             full(),         "storing: complete",            ""),
        ("storing",                         Shutdown,       "storing: complete",            ""),
        ("storing the journal",             journal(true),  "ended: complete",              "release announce(complete)"),
        ("storing the journal",             journal(false), "storing: complete",            ""),
        ("storing the journal, cut",        journal(true),  "ended: cut(unreachable)",      "release announce(cut)"),
        ("storing the journal, offered",    journal(true),  "ended: handed over",           ""),
        ("storing the journal, superseded", journal(true),  "ended: superseded",            ""),

        ("ended",                           stop(),         "ended: empty(stopped)",        ""),
        ("ended",                           full(),         "ended: empty(stopped)",        ""),
        ("ended",                           JOINED(),       "ended: empty(stopped)",        ""),
        ("ended",                           Timeout,        "ended: empty(stopped)",        ""),
    ];
    let mut wrong = String::new();
    for (from, input, to, actions) in rows {
        let (mut session, mut now) = bring(from);
        if let (Timeout, Some(deadline)) = (&input, session.deadline()) {
            now = deadline;
        }
        let did = act(&session.handle(input.clone(), now));
        let stands = stand(session.state());
        if (stands.as_str(), did.as_str()) != (to, actions) {
            wrong += &format!("{from} + {input:?}\n  expected {to} | {actions}\n  found    {stands} | {did}\n");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn a_timeout_that_comes_too_early_changes_nothing() {
    for from in ["joining", "lobby", "starting", "live", "rejoining", "handing over", "draining"] {
        let (mut session, now) = bring(from);
        let before = *session.state();
        assert_eq!(session.handle(Input::Timeout, now), [], "{from}");
        assert_eq!(*session.state(), before, "{from}");
    }
}

/// Five thousand may come and go in a minute; the picture moves at most twice a second, and the last word counts.
#[test]
fn a_crowd_moves_the_picture_at_most_twice_a_second_and_ends_in_the_right_place() {
    let (mut session, start) = bring("live");
    let (mut moves, mut now, mut last) = (0, start, String::new());
    for n in 0..1000_u64 {
        now = start + Duration::from_millis(2 * n);
        let person = format!("p{n}");
        for action in session.handle(track(&person), now) {
            moves += u32::from(matches!(action, session::Action::Arrange(_)));
        }
        let _ = session.handle(untrack(&person), now);
    }
    let at = session.deadline().unwrap();
    assert!(at <= now + Duration::from_millis(500), "the last change is drawn soon");
    last += &act(&session.handle(Input::Timeout, at));
    assert_eq!(last, "arrange(1)");
    assert!((4..=5).contains(&moves), "{moves} moves in two seconds");
}

#[test]
fn a_room_that_fills_again_is_not_too_empty() {
    let (mut session, now) = bring("live, silent");
    let nearly = now + Limits::default().empty - Duration::from_secs(60);
    let _ = session.handle(track("b"), nearly);
    let _ = session.handle(untrack("b"), nearly + Duration::from_secs(10));
    let _ = session.handle(Input::Timeout, nearly + Duration::from_secs(120));
    assert_eq!(stand(session.state()), "live");
}
