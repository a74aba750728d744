//! Sealing and opening, against stock age and against an adversary.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use storage::keys::Institution;
use storage::seal::SealError;
use storage::store::{Bucket, Condition, StoreError};
use storage::{Identity, OpenKey, Recipients, RecordingPath, SealKey, SealedReader, Store, Writer};
use support::{Server, embedded, noise, path};

/// A store, an institution's keys, and one writer's key.
struct Bench {
    server: Server,
    store: Store,
    keys: PathBuf,
    path: RecordingPath,
    seal: SealKey,
    open: OpenKey,
}

async fn bench() -> Bench {
    let server = embedded().await;
    let store = server.store().await;
    let keys = server.dir.path().join("keys");
    let made = Institution::generate(&keys, "archive@uni.example").unwrap();
    let to = Recipients::parse(&[made.archive, made.pipeline]).unwrap();
    let path = path("lecture");
    let seal = SealKey::create(&store, &path, &Writer::Epoch(1), &to).await.unwrap();
    let open = OpenKey::fetch(&store, &path, &Writer::Epoch(1), &identity(&keys, "pipeline.key")).await.unwrap();
    Bench { server, store, keys, path, seal, open }
}

fn identity(keys: &Path, name: &str) -> Identity {
    Identity::load(&keys.join(name)).unwrap()
}

/// Runs a stock tool; its standard output, or its standard error.
fn tool(command: &mut Command) -> Result<Vec<u8>, String> {
    let done = command.output().unwrap_or_else(|why| panic!("{command:?}: {why}; install Debian's age"));
    if done.status.success() { Ok(done.stdout) } else { Err(String::from_utf8_lossy(&done.stderr).into()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_age_opens_an_object_in_two_steps_with_either_key() {
    let bench = bench().await;
    let lecture = noise(7, 200_001);
    let dir = bench.server.dir.path();
    let sealed = bench.seal.seal(lecture.clone());
    std::fs::write(dir.join("object.age"), sealed.bytes()).unwrap();
    let (envelope, _) = bench.store.get(Bucket::Keys, &bench.path.key(&Writer::Epoch(1)), 10_000).await.unwrap();
    std::fs::write(dir.join("0001.key.age"), &envelope).unwrap();
    for secret in ["archive.key", "pipeline.key"] {
        let key = dir.join("recording.key");
        let unwrap =
            ["-d", "-i", bench.keys.join(secret).to_str().unwrap(), "-o", key.to_str().unwrap()].map(String::from);
        tool(Command::new("age").args(unwrap).arg(dir.join("0001.key.age"))).unwrap();
        let opened = tool(Command::new("age").arg("-d").arg("-i").arg(&key).arg(dir.join("object.age"))).unwrap();
        assert!(opened == lecture, "age opened something else with {secret}");
        std::fs::remove_file(key).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stock_age_sealed_opens_here() {
    let bench = bench().await;
    let plain = bench.server.dir.path().join("plain");
    std::fs::write(&plain, b"said in the lecture").unwrap();
    let public = format!("{:?}", bench.seal);
    let public = public.split('"').nth(1).unwrap();
    let sealed = tool(Command::new("age").arg("-r").arg(public).arg(&plain)).unwrap();
    assert_eq!(bench.open.open(&sealed, 100).unwrap(), b"said in the lecture");
}

#[tokio::test(flavor = "multi_thread")]
async fn sealing_and_opening_gives_the_same_bytes_at_every_edge_of_a_chunk() {
    let bench = bench().await;
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let lens = prop_oneof![Just(0), Just(1), Just(65_535), Just(65_536), Just(65_537), Just(131_072), 0..300_000_usize];
    for len in [0, 1, 65_535, 65_536, 65_537, 131_072] {
        round_trip(&bench, &noise(len as u64, len), len + 1);
    }
    let cases = (lens, any::<u64>(), 1..100_000_usize);
    runner
        .run(&cases, |(len, seed, piece)| {
            round_trip(&bench, &noise(seed, len), piece);
            Ok(())
        })
        .unwrap();
}

fn round_trip(bench: &Bench, plain: &[u8], piece: usize) {
    let sealed = bench.seal.seal(plain);
    assert_eq!(sealed.plain_len(), plain.len() as u64);
    assert!(bench.open.open(sealed.bytes(), plain.len() as u64).unwrap() == plain, "{} bytes differ", plain.len());
    let mut writer = bench.seal.writer(Vec::new()).unwrap();
    for piece in plain.chunks(piece) {
        writer.write_all(piece).unwrap();
    }
    let (streamed, counted) = writer.finish().unwrap();
    assert_eq!(counted, plain.len() as u64);
    assert!(bench.open.open(&streamed, u64::MAX).unwrap() == plain);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_flipped_bit_and_no_shorter_file_ever_opens() {
    let bench = bench().await;
    let plain = noise(3, 70_000);
    let sealed = bench.seal.seal(plain.clone()).bytes().to_vec();
    let header = sealed.windows(4).position(|window| window == b"\n---").unwrap() + 4 + 1 + 43 + 1;
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    let open = |bytes: &[u8]| bench.open.open(bytes, 100_000);
    runner
        .run(&(0..sealed.len() * 8), |bit| {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(open(&flipped).is_err(), "bit {bit}");
            Ok(())
        })
        .unwrap();
    // Every bit of the header and the nonce, where parsing could be lenient.
    for bit in 0..(header + 16) * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&flipped).is_err(), "bit {bit}");
    }
    runner
        .run(&(0..sealed.len()), |cut| {
            prop_assert!(open(&sealed[..cut]).is_err(), "cut at {cut}");
            Ok(())
        })
        .unwrap();
    let mut longer = sealed.clone();
    longer.push(0);
    assert!(open(&longer).is_err(), "trailing bytes");
    assert!(matches!(bench.open.open(&sealed, 69_999), Err(SealError::TooLong { limit: 69_999, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_gives_any_range_as_a_slice_would() {
    let bench = bench().await;
    for len in [0, 1, 65_536, 65_537, 1_572_864, 1_700_003] {
        let plain = noise(len as u64, len);
        let key = bench.path.composite(len as u32 + 1);
        bench.seal.seal(&plain).put(&bench.store, &key).await.unwrap();
        let mut reader = SealedReader::open(&bench.store, &key, &bench.open).await.unwrap();
        assert_eq!(reader.len(), len as u64);
        let check = tokio::task::spawn_blocking(move || {
            let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
            let mut whole = Vec::new();
            reader.read_to_end(&mut whole).unwrap();
            assert!(whole == plain, "{len} bytes differ");
            let reader = std::cell::RefCell::new(reader);
            let ranges = (0..=len, 0..200_000_usize);
            runner
                .run(&ranges, |(from, count)| {
                    let mut reader = reader.borrow_mut();
                    let expected = &plain[from..(from + count).min(len)];
                    let at = match from % 3 {
                        0 => SeekFrom::Start(from as u64),
                        1 => SeekFrom::End(from as i64 - len as i64),
                        _ => SeekFrom::Current(from as i64 - reader.stream_position().unwrap() as i64),
                    };
                    prop_assert_eq!(reader.seek(at).unwrap(), from as u64);
                    let mut found = Vec::new();
                    reader.by_ref().take(count as u64).read_to_end(&mut found).unwrap();
                    prop_assert!(found == expected, "{count} bytes at {from} of {len} differ");
                    Ok(())
                })
                .unwrap();
            let mut reader = reader.into_inner();
            assert!(reader.seek(SeekFrom::Start(len as u64 + 1)).is_err());
            assert!(reader.seek(SeekFrom::End(i64::MIN)).is_err());
            assert!(reader.seek(SeekFrom::Current(i64::MAX)).is_err());
        });
        check.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_refuses_another_size_a_cut_and_a_flipped_chunk() {
    let bench = bench().await;
    let key = bench.path.composite(1);
    let plain = noise(5, 1_000_000);
    let sealed = bench.seal.seal(&plain);
    let put = async |bytes: Bytes| bench.store.put(Bucket::Media, &key, bytes, Condition::None).await.unwrap();

    put(sealed.bytes().clone()).await;
    SealedReader::open_sized(&bench.store, &key, sealed.size(), &bench.open).await.unwrap();
    let other = SealedReader::open_sized(&bench.store, &key, sealed.size() + 1, &bench.open).await;
    assert!(matches!(other, Err(SealError::Tampered { .. })), "{other:?}");

    // Cut at the end of a chunk, where each chunk that is left is whole.
    let header = sealed.bytes().len() - (1_000_000 + 16 * 16);
    put(sealed.bytes().slice(..header + 3 * 65_552)).await;
    let cut = SealedReader::open(&bench.store, &key, &bench.open).await;
    assert!(matches!(cut, Err(SealError::Tampered { .. })), "{cut:?}");

    let mut flipped = sealed.bytes().to_vec();
    flipped[header + 700_000] ^= 1;
    put(flipped.into()).await;
    let mut reader = SealedReader::open(&bench.store, &key, &bench.open).await.unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let mut found = Vec::new();
        let outcome = reader.read_to_end(&mut found);
        (outcome, found)
    });
    let (outcome, found) = read.await.unwrap();
    assert!(outcome.is_err());
    assert!(found == plain[..10 * 65_536], "bytes of an unproven chunk were given out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writers_key_is_made_once_and_only_its_recipients_fetch_it() {
    let bench = bench().await;
    let other = bench.server.dir.path().join("other");
    let made = Institution::generate(&other, "other@uni.example").unwrap();
    let to = Recipients::parse(&[made.archive, made.pipeline]).unwrap();
    let again = SealKey::create(&bench.store, &bench.path, &Writer::Epoch(1), &to).await;
    assert!(matches!(again, Err(SealError::Store(StoreError::Exists { .. }))), "{again:?}");
    let fetch = async |writer, keys: &Path, name| {
        OpenKey::fetch(&bench.store, &bench.path, &writer, &identity(keys, name)).await
    };
    assert!(fetch(Writer::Epoch(1), &bench.keys, "archive.key").await.is_ok());
    assert!(matches!(fetch(Writer::Epoch(1), &other, "pipeline.key").await, Err(SealError::WrongIdentity { .. })));
    assert!(matches!(fetch(Writer::Epoch(2), &bench.keys, "archive.key").await, Err(SealError::KeyMissing { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_writers_key_does_not_open_anothers_objects() {
    let bench = bench().await;
    let to = Recipients::parse(&public_keys(&bench.keys)).unwrap();
    let second = SealKey::create(&bench.store, &bench.path, &Writer::Epoch(2), &to).await.unwrap();
    let sealed = second.seal(b"theirs");
    assert!(matches!(bench.open.open(sealed.bytes(), 100), Err(SealError::WrongIdentity { .. })));
}

fn public_keys(keys: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(keys.join("recipients.txt")).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(String::from).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_ever_reaches_the_store_or_a_debug_line() {
    let bench = bench().await;
    let secrets: Vec<String> = ["archive.key", "pipeline.key"]
        .iter()
        .map(|name| std::fs::read_to_string(bench.keys.join(name)).unwrap().lines().last().unwrap().to_owned())
        .collect();
    assert!(secrets.iter().all(|secret| secret.starts_with("AGE-SECRET-KEY-1")));
    let shown = format!("{:?} {:?} {:?}", bench.seal, bench.open, identity(&bench.keys, "pipeline.key"));
    assert!(!shown.contains("SECRET"), "{shown}");
    let (envelope, _) = bench.store.get(Bucket::Keys, &bench.path.key(&Writer::Epoch(1)), 10_000).await.unwrap();
    assert!(!envelope.windows(14).any(|window| window == b"AGE-SECRET-KEY"));
}

/// The finalizer's way: a file is sealed while it is uploaded, with neither in memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_file_is_sealed_while_it_is_uploaded() {
    let bench = bench().await;
    let key = bench.path.composite(1);
    let upload = bench.store.upload(Bucket::Media, &key).await.unwrap().into_writer();
    let (seal, plain) = (bench.seal.clone(), noise(11, 18 << 20));
    let written = plain.clone();
    let receipt = tokio::task::spawn_blocking(move || {
        let mut sealing = seal.writer(upload).unwrap();
        for piece in written.chunks(100_000) {
            sealing.write_all(piece).unwrap();
        }
        let (upload, plain_len) = sealing.finish().unwrap();
        assert_eq!(plain_len, 18 << 20);
        upload.finish().unwrap()
    });
    let receipt = receipt.await.unwrap();
    let mut reader = SealedReader::open_sized(&bench.store, &key, receipt.size, &bench.open).await.unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let mut found = Vec::new();
        reader.read_to_end(&mut found).unwrap();
        found
    });
    assert!(read.await.unwrap() == plain);
}

/// Whatever work such a file would make, none is done: it is refused by its header.
#[tokio::test(flavor = "multi_thread")]
async fn an_age_file_of_another_shape_is_refused_at_once() {
    let bench = bench().await;
    let (plain, public) = (bench.server.dir.path().join("plain"), format!("{:?}", bench.seal));
    std::fs::write(&plain, b"said in the lecture").unwrap();
    let public = public.split('"').nth(1).unwrap();
    let other = public_keys(&bench.keys).remove(0);
    let stock = |args: &[&str]| tool(Command::new("age").args(args).arg(&plain)).unwrap();
    let (line, end) = ("A".repeat(43), "A".repeat(43));
    let scrypt =
        format!("age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 30\n{line}\n--- {end}\n").into_bytes();
    let crowd = format!("-> X25519 {line}\n{line}\n").repeat(10_000);
    let crowd = format!("age-encryption.org/v1\n{crowd}--- {end}\n").into_bytes();
    let odd = [
        ("armored", stock(&["-a", "-r", public])),
        ("for two", stock(&["-r", public, "-r", &other])),
        ("a passphrase of work factor 30", [scrypt, vec![0; 100]].concat()),
        ("ten thousand stanzas", [crowd, vec![0; 100]].concat()),
        ("of a later version", b"age-encryption.org/v2\n-> X25519 A\nA\n--- A\n".to_vec()),
    ];
    let begun = std::time::Instant::now();
    for (what, bytes) in odd {
        let opened = bench.open.open(&bytes, 1 << 20);
        assert!(matches!(opened, Err(SealError::Malformed { .. })), "{what}: {opened:?}");
        if !bytes.starts_with(b"age-encryption.org/v1\n") {
            continue; // Not even put under such a key.
        }
        let key = bench.path.composite(1);
        bench.store.put(Bucket::Media, &key, bytes.clone().into(), Condition::None).await.unwrap();
        let read = SealedReader::open(&bench.store, &key, &bench.open).await;
        assert!(matches!(read, Err(SealError::Malformed { .. })), "{what}: {read:?}");
        if what == "for two" {
            continue; // That is what a writer's key looks like.
        }
        let key = bench.path.key(&Writer::Epoch(7));
        bench.store.put(Bucket::Keys, &key, bytes.into(), Condition::None).await.unwrap();
        let identity = identity(&bench.keys, "pipeline.key");
        let refused = OpenKey::fetch(&bench.store, &bench.path, &Writer::Epoch(7), &identity).await;
        assert!(
            matches!(refused, Err(SealError::Malformed { .. } | SealError::Store(StoreError::TooLong { .. }))),
            "{what}: {refused:?}"
        );
    }
    // A work factor of 30 takes an hour and a terabyte.
    assert!(begun.elapsed() < std::time::Duration::from_secs(30));
}
