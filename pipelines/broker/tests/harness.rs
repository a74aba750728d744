//! The private server itself, before anything is built on it.

mod server;

use server::Server;

#[test]
fn a_private_server_starts_restarts_and_leaves_nothing_behind() {
    let server = Server::start();
    assert!(server.ctl(&["list_vhosts"]).lines().any(|line| line == "v0"));
    server.stop();
    assert!(std::net::TcpStream::connect(("127.0.0.1", server.port())).is_err(), "it still listens");
    server.again();
    server.ctl(&["authenticate_user", server::USER, server::PASSWORD]);
    server.kill();
    let port = server.port();
    drop(server);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "it outlived its handle");
}
