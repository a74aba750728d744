//! What lies in the parking queue waits for a person: the service says so, whatever else it has been told to look after.
//! Needs rabbitmq-server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../../pipelines/broker/tests/server/mod.rs"]
mod server;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use broker::{Broker, Work};
use events::{
    Basis, Body, Event, LayoutName, Meta, Platform, PolicyId, RecordingRequested, RoomId, SessionId, TenantId,
};
use server::Server;
use storage::embedded::Embedded;
use storage::keys::Institution;
use tokio_util::sync::CancellationToken;

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Parks one message, as any service does with what it cannot deal with.
async fn park(broker: &Broker) {
    let meta = Meta {
        id: "e1".into(),
        platform: Platform::Janus,
        instance: "hall".into(),
        tenant: TenantId::new("uni").unwrap(),
        room: RoomId::new("1234").unwrap(),
        session: SessionId::new("1234-1").unwrap(),
        time: "2026-11-22T09:15:00Z".into(),
    };
    let wish = RecordingRequested {
        policy: PolicyId::new("lectures").unwrap(),
        requested_by: "policy".into(),
        layout: LayoutName::Speaker,
        language: "nb".into(),
        basis: Basis::PublicTask,
        retention_days: 365,
        webinar: false,
        max_seconds: 7200,
    };
    let mut work = broker.work(Work::Record, 1).await.unwrap();
    broker.publish(&Event { meta, body: Body::RecordingRequested(wish) }).await.unwrap();
    work.next().await.unwrap().park("a-test").await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while broker.parked_count().await.unwrap() != 1 {
        assert!(Instant::now() < deadline, "nothing was parked");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A store, keys and a broker, and the configuration that says where they are.
async fn lay(folder: &Path, broker: &broker::Config, steward_minutes: u16) {
    let keys = folder.join("keys");
    let institution = Institution::generate(&keys, "archive@uni.example").unwrap();
    let store =
        Embedded::bind("127.0.0.1:0".parse().unwrap(), &folder.join("s3"), "test", "test-secret").await.unwrap();
    std::fs::write(keys.join("access"), "test").unwrap();
    std::fs::write(keys.join("secret"), "test-secret").unwrap();
    let (url, user, endpoint) = (&broker.url, &broker.user, store.endpoint());
    let password = broker.password_file.as_ref().unwrap().display();
    let (archive, pipeline, keys) = (institution.archive, institution.pipeline, keys.display());
    let text = format!(
        "[tenant]\nid = 'uni'\n[broker]\nurl = '{url}'\nuser = '{user}'\npassword_file = '{password}'\n\
         [store]\nendpoint = '{endpoint}'\naccess_key_file = '{keys}/access'\nsecret_key_file = '{keys}/secret'\n\
         create_buckets = true\n\
         [seal]\nrecipients = ['{archive}', '{pipeline}']\npipeline_identity_file = '{keys}/pipeline.key'\n\
         signing_key_file = '{keys}/signing.key'\n\
         [finalizer]\nsteward_minutes = {steward_minutes}\n"
    );
    std::fs::write(folder.join("lectern.toml"), text).unwrap();
    tokio::spawn(store.run(CancellationToken::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_message_raises_an_alarm_whether_or_not_there_is_a_steward() {
    let server = Server::shared();
    for steward_minutes in [0, 15] {
        let url = server.fresh_url();
        let password_file = Some(server.password_file());
        let config = broker::Config { url, user: server::USER.into(), password_file, ..broker::Config::default() };
        park(&Broker::connect(&config, CancellationToken::new()).await.unwrap()).await;
        let folder = tempfile::tempdir().unwrap();
        lay(folder.path(), &config, steward_minutes).await;

        let log = folder.path().join("log");
        let mut finalizer = Command::new(env!("CARGO_BIN_EXE_finalizer"));
        finalizer.arg("--config").arg(folder.path().join("lectern.toml"));
        finalizer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
        let mut service = Service(finalizer.spawn().unwrap());
        let told = || std::fs::read_to_string(&log).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let alarm = loop {
            let alarm = told().lines().find(|line| line.contains("lectern.parked")).map(str::to_owned);
            if let Some(alarm) = alarm {
                break alarm;
            }
            assert!(Instant::now() < deadline, "{steward_minutes}: no alarm; {}", told());
            assert!(service.0.try_wait().unwrap().is_none(), "{steward_minutes}: {}", told());
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert!(alarm.contains("ERROR") && alarm.contains("parked=1"), "{alarm}");
    }
}
