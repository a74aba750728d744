//! The spool: what it took stays until the store has it, whatever happens in between.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use storage::keys::Institution;
use storage::spool::{Bound, Level, SpoolError};
use storage::store::{Bucket, StoreError};
use storage::{Recipients, SealKey, Spool, Store, Writer};
use support::{Server, embedded, noise, path};

struct Bench {
    server: Server,
    store: Store,
    seal: SealKey,
    dir: PathBuf,
}

async fn bench() -> Bench {
    let server = embedded().await;
    let store = server.store().await;
    let made = Institution::generate(&server.dir.path().join("keys"), "a@b").unwrap();
    let to = Recipients::parse(&[made.archive, made.pipeline]).unwrap();
    let seal = SealKey::create(&store, &path("lecture"), &Writer::Epoch(1), &to).await.unwrap();
    let dir = server.dir.path().join("spool");
    Bench { server, store, seal, dir }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spooled_file_goes_when_the_store_has_it_and_not_before() {
    let bench = bench().await;
    let spool = Spool::open(&bench.dir).unwrap();
    let key = path("lecture").segment(1, &media::Rendition::video(), 7);
    let sealed = bench.seal.seal(noise(1, 100_000));
    let item = spool.add(&key, &sealed).unwrap();
    let on_disk = files(&bench.dir.join("ready"));
    assert_eq!(sealed.bytes(), &fs::read(&on_disk[0]).unwrap());
    assert_eq!(on_disk[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(spool.waiting().unwrap(), (1, sealed.size()));

    let mut config = bench.server.config.clone();
    config.endpoint = Some("http://127.0.0.1:9".into());
    config.create_buckets = false;
    let away = Store::connect(&config).await.unwrap();
    let lost = spool.upload(&away, item.clone()).await;
    assert!(lost.as_ref().is_err_and(StoreError::is_passing), "{lost:?}");
    assert_eq!(files(&bench.dir.join("ready")), on_disk);

    let receipt = spool.upload(&bench.store, item).await.unwrap();
    assert_eq!((receipt.size, receipt.sha256), (sealed.size(), sealed.sha256()));
    assert_eq!(spool.waiting().unwrap(), (0, 0));
    assert_eq!(&bench.store.get(Bucket::Media, &key, 200_000).await.unwrap().0, sealed.bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_process_finds_what_an_earlier_one_left() {
    let bench = bench().await;
    let keys: Vec<String> = (0..3).map(|n| path("lecture").segment(1, &media::Rendition::audio(), n)).collect();
    let sealed: Vec<_> = (0..3).map(|n| bench.seal.seal(noise(n, 1000))).collect();
    {
        let spool = Spool::open(&bench.dir).unwrap();
        for (key, sealed) in keys.iter().zip(&sealed).rev() {
            spool.add(key, sealed).unwrap();
        }
    }
    let spool = Spool::open(&bench.dir).unwrap();
    let orphans = spool.orphans().unwrap();
    assert_eq!(orphans.iter().map(|item| item.key().to_owned()).collect::<Vec<_>>(), keys);
    for (item, sealed) in orphans.into_iter().zip(sealed) {
        assert_eq!((item.size(), item.sha256()), (sealed.size(), sealed.sha256()));
        spool.upload(&bench.store, item).await.unwrap();
    }
    assert_eq!(bench.store.list(Bucket::Media, "v1/").await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn torn_empty_foreign_and_linked_files_are_set_aside_and_never_uploaded() {
    let bench = bench().await;
    let spool = Spool::open(&bench.dir).unwrap();
    let key = |n| path("lecture").segment(1, &media::Rendition::video(), n);
    let ready = bench.dir.join("ready");
    let place = |n: u64| {
        let before = files(&ready);
        spool.add(&key(n), &bench.seal.seal(noise(n, 5000))).unwrap();
        files(&ready).into_iter().find(|file| !before.contains(file)).unwrap()
    };
    let whole = place(0);
    let torn = place(1);
    let bytes = fs::read(&torn).unwrap();
    fs::write(&torn, &bytes[..bytes.len() - 1]).unwrap();
    let empty = place(2);
    fs::write(&empty, b"").unwrap();
    let linked = place(3);
    let secret = bench.dir.join("secret");
    fs::rename(&linked, &secret).unwrap();
    symlink(&secret, &linked).unwrap();
    let foreign = place(4);
    nix::unistd::chown(&foreign, Some(nix::unistd::Uid::from_raw(65_534)), None)
        .expect("this test gives a file to another user, for which it must run as root");
    // Half a terabyte of nothing, which must not be read into memory.
    let huge = place(5);
    fs::File::options().write(true).open(&huge).unwrap().set_len(1 << 39).unwrap();
    let pipe = place(6);
    fs::remove_file(&pipe).unwrap();
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::write(ready.join("notes.txt"), b"not ours").unwrap();
    fs::create_dir(ready.join("folder")).unwrap();
    fs::write(bench.dir.join("tmp/half"), b"age-encryption.org/v1\n").unwrap();

    let orphans = spool.orphans().unwrap();
    assert_eq!(orphans.iter().map(|item| item.key().to_owned()).collect::<Vec<_>>(), [key(0)]);
    assert_eq!(files(&ready), [whole]);
    assert_eq!(files(&bench.dir.join("torn")).len(), 9);
    assert!(secret.exists() && files(&bench.dir.join("tmp")).is_empty());
}

/// Put there after the start, behind our back.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_in_a_files_place_is_set_aside_and_not_uploaded() {
    let bench = bench().await;
    let spool = Spool::open(&bench.dir).unwrap();
    let key = path("lecture").segment(1, &media::Rendition::video(), 0);
    let secret = bench.dir.join("secret");
    fs::write(&secret, b"age-encryption.org/v1\nnot for the store").unwrap();
    let odd: [&dyn Fn(&Path); 3] =
        [&|file| symlink(&secret, file).unwrap(), &|file| fs::write(file, b"").unwrap(), &|file| {
            fs::copy(&secret, file).unwrap();
        }];
    for (n, place) in odd.iter().enumerate() {
        let item = spool.add(&key, &bench.seal.seal(noise(n as u64, 500))).unwrap();
        let file = files(&bench.dir.join("ready")).pop().unwrap();
        fs::remove_file(&file).unwrap();
        place(&file);
        let uploaded = spool.upload(&bench.store, item).await;
        assert!(matches!(uploaded, Err(StoreError::Spoilt { .. })), "{n}: {uploaded:?}");
        assert_eq!((files(&bench.dir.join("ready")).len(), files(&bench.dir.join("torn")).len()), (0, n + 1));
    }
    assert_eq!(bench.store.list(Bucket::Media, "v1/").await.unwrap(), []);
}

#[test]
fn a_folder_that_leads_elsewhere_or_is_anothers_is_no_spool() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, elsewhere) = (dir.path().join("spool"), dir.path().join("elsewhere"));
    fs::create_dir_all(&spool).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, spool.join("ready")).unwrap();
    let opened = Spool::open(&spool);
    assert!(matches!(&opened, Err(SpoolError::NotOurs(path)) if path.ends_with("ready")), "{opened:?}");
    fs::remove_file(spool.join("ready")).unwrap();
    Spool::open(&spool).unwrap();
    nix::unistd::chown(&spool.join("tmp"), Some(nix::unistd::Uid::from_raw(65_534)), None)
        .expect("this test gives a folder to another user, for which it must run as root");
    assert!(matches!(Spool::open(&spool), Err(SpoolError::NotOurs(path)) if path.ends_with("tmp")));
}

/// A bound of 100 000 bytes, of which 10 000 are kept back.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_spool_holds_says_how_full_it_is() {
    let bench = bench().await;
    let bound = Bound { own: Some(100_000), reserve: 10_000 };
    let open = || Spool::open(&bench.dir).unwrap().bounded(bound);
    let spool = open();
    assert_eq!(spool.level(), Level::Free);
    let mut items = Vec::new();
    for (n, (size, level)) in
        [(70_000, Level::Free), (3_000, Level::Low), (12_500, Level::AudioOnly), (2_500, Level::Full)]
            .into_iter()
            .enumerate()
    {
        let key = path("lecture").segment(1, &media::Rendition::audio(), n as u64);
        items.push(spool.add(&key, &bench.seal.seal(noise(n as u64, size))).unwrap());
        assert_eq!(spool.level(), level, "with {size} bytes more");
        // A clone, and a later process, know the same.
        assert_eq!((spool.clone().level(), open().level()), (level, level));
    }
    assert!(!spool.level().takes_new() && !spool.level().takes_video());
    // It is full, and still takes what a recording's end writes.
    let key = path("lecture").journal(1);
    items.push(spool.add(&key, &bench.seal.seal(noise(9, 5_000))).unwrap());
    assert_eq!(spool.waiting().unwrap().0, 5);

    spool.upload(&bench.store, items.remove(0)).await.unwrap();
    assert_eq!((spool.level(), open().level()), (Level::Free, Level::Free));
    for item in &items {
        spool.discard(item);
    }
    assert_eq!(spool.waiting().unwrap(), (0, 0));
    // Nothing is counted twice or forgotten on the way: the same bytes lead to the same level again.
    for n in 0..40 {
        let item = spool.add(&key, &bench.seal.seal(noise(n, 69_000))).unwrap();
        assert_eq!(spool.level(), Level::Free, "round {n}");
        spool.upload(&bench.store, item).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_disk_changed_gets_no_receipt() {
    let bench = bench().await;
    let spool = Spool::open(&bench.dir).unwrap();
    let key = path("lecture").init(1, &media::Rendition::video());
    let item = spool.add(&key, &bench.seal.seal(noise(1, 5000))).unwrap();
    let file = files(&bench.dir.join("ready")).pop().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes[2000] ^= 4;
    fs::write(&file, bytes).unwrap();
    for _ in 0..2 {
        assert!(matches!(spool.upload(&bench.store, item.clone()).await, Err(StoreError::Spoilt { .. })));
        assert_eq!(files(&bench.dir.join("torn")).len(), 1);
    }
    assert_eq!(bench.store.list(Bucket::Media, "v1/").await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_has_one_process_at_a_time() {
    let bench = bench().await;
    let lock = Spool::open(&bench.dir).unwrap().lock().unwrap();
    let other = Spool::open(&bench.dir).unwrap();
    assert!(matches!(other.lock(), Err(SpoolError::InUse(_))));
    drop(lock);
    other.lock().unwrap();
}
