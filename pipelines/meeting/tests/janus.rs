//! Joining real rooms on a real Janus.

mod janus_server;

use janus_server::{JanusServer, Options};

#[tokio::test]
async fn harness_serves_rooms() {
    let server = JanusServer::start(Options::default()).await;
    server.create_room(1234, serde_json::json!({"description": "Lecture"})).await;
    let list = server.ask(serde_json::json!({"request": "list"})).await;
    assert_eq!(list["list"][0]["description"], "Lecture");
    let pid = server.pid();
    drop(server);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}
