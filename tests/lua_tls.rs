//! `ltls.c`: TLS for Lua code, against itself, rustls and openssl.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion, version,
};
use skynet_rs::ManualClock;
use support::{DEADLINE, TestNode};

/// An authority of our own, and the files that it wrote.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority of the tests");
        let key = KeyPair::generate().expect("there is randomness");
        let cert = params.self_signed(&key).expect("it can be signed");
        let authority = Authority {
            folder: tempfile::tempdir().expect("a folder can be made"),
            issuer: Issuer::new(params, key),
        };
        authority.write("ca.pem", &cert.pem());
        authority
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("a path in plain letters").to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("the folder is ours");
        path
    }

    /// Writes `file.pem` and `file.key`.
    fn issue(&self, file: &str, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a good name");
        change(&mut params);
        let key = KeyPair::generate().expect("there is randomness");
        let cert = params.signed_by(&key, &self.issuer).expect("it can be signed");
        self.write(&format!("{file}.pem"), &cert.pem());
        self.write(&format!("{file}.key"), &key.serialize_pem());
    }

    /// What a Rust server of `game.example` shows.
    fn server_config(&self, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(self.path("game.pem")).expect("it is there").collect();
        let key = PrivateKeyDer::from_pem_file(self.path("game.key")).expect("it is a key");
        ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("these are versions")
            .with_no_client_auth()
            .with_single_cert(chain.expect("it is a certificate"), key)
            .expect("they belong together")
    }

    /// A Rust client that trusts this authority only.
    fn client_config(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.path("ca.pem")).expect("it is there");
        roots.add(ca).expect("it is an authority");
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("these are versions")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
const OLD: &[&SupportedProtocolVersion] = &[&version::TLS12];

/// A node with TLS, and an authority with the certificate of `game.example`. At hand in Lua: `ltls`, `ends`, `file(name)`,
/// and the contexts `server_ctx` and `client_ctx`, of which the second trusts the authority.
fn node() -> (TestNode, Authority) {
    node_with(None)
}

fn node_with(clock: Option<ManualClock>) -> (TestNode, Authority) {
    let authority = Authority::new();
    authority.issue("game", "game.example", |_| {});
    let node = support::start(support::config().set("enablessl", true), clock);
    let folder = authority.folder.path().display();
    node.check(&format!(
        "ltls, ends, socket = require 'ltls.c', require 'tls_end', require 'skynet.socket'
        function file(name) return '{folder}/' .. name end
        server_ctx, client_ctx = ends.contexts(file 'game.pem', file 'game.key', file 'ca.pem')
        function new_pair(name)
            return ltls.newtls('client', client_ctx, name or 'game.example'), ltls.newtls('server', server_ctx)
        end"
    ));
    (node, authority)
}

fn connect(port: u16) -> TcpStream {
    patient(TcpStream::connect(("127.0.0.1", port)).expect("somebody listens"))
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
    stream.set_write_timeout(Some(DEADLINE)).expect("a time above zero");
    stream
}

/// A Rust client at a Lua server.
fn client(port: u16, config: ClientConfig) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("game.example").expect("a good name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a good config");
    StreamOwned::new(connection, connect(port))
}

/// Serves one connection in a thread of its own, with a Rust server that echoes until the client says goodbye.
fn echo_server(config: ServerConfig) -> (u16, std::thread::JoinHandle<Option<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("somebody connects");
        let connection = ServerConnection::new(Arc::new(config)).expect("a good config");
        let mut stream = StreamOwned::new(connection, patient(stream));
        let mut block = [0; 4096];
        loop {
            let len = stream.read(&mut block).ok()?;
            if len == 0 {
                return stream.conn.server_name().map(str::to_owned);
            }
            stream.write_all(&block[..len]).ok()?;
        }
    });
    (port, server)
}

const ECHO: &str = "function(read, write)
    for text in read do write(text) end
end";

#[test]
fn two_ends_in_one_service_understand_each_other() {
    let (node, _authority) = node();
    node.check(
        "local client, server = new_pair()
        same(client:finished(), false)
        ends.shake(client, server)
        same(server:server_name(), 'game.example')
        same(client:server_name(), 'game.example')
        local cipher = client:write 'hello'
        assert(not cipher:find 'hello')
        same(server:read(cipher), 'hello')
        same(client:read(server:write 'answer'), 'answer')
        -- More than any buffer inside holds, and given in small pieces.
        local long = ('0123456789abcdef'):rep(64 * 1024)
        local cipher, got = server:write(long), {}
        for at = 1, #cipher, 1000 do
            got[#got + 1] = client:read(cipher:sub(at, at + 999))
        end
        same(table.concat(got) == long, true)
        same(client:read '', '')
        same(client:read(), '')
        same(client:write(), '')
        same(client:write '', '')",
    );
}

#[test]
fn what_came_with_the_end_of_the_handshake_is_read_later() {
    let (node, _authority) = node();
    node.check(
        "local client, server = new_pair()
        local flight = server:handshake(client:handshake())
        local last = client:handshake(flight) .. client:write 'first' .. client:write ' words'
        server:handshake(last)
        same(server:finished(), true)
        same(server:read(), 'first words')",
    );
}

#[test]
fn a_peer_that_sends_without_end_before_anybody_reads_is_cut_off() {
    let (node, _authority) = node();
    node.check(
        "local client, server = new_pair()
        local flight = server:handshake(client:handshake())
        local last = client:handshake(flight) .. client:write(('x'):rep(1 << 20 | 1))
        raises('bytes wait, over the limit of 1048576', server.handshake, server, last)
        raises('over the limit of 1048576', server.read, server)",
    );
}

#[test]
fn a_goodbye_is_told_from_a_connection_that_was_cut() {
    let (node, _authority) = node();
    node.check(
        "local client, server = ends.pair(server_ctx, client_ctx, 'game.example')
        local cipher = client:write 'text'
        -- A part of a record is nothing yet.
        same(server:read(cipher:sub(1, 10)), '')
        same(server:peer_closed(), false)
        same(server:read(cipher:sub(11)), 'text')
        same(server:peer_closed(), false)
        local goodbye = client:write 'last' .. client:close()
        same(server:read(goodbye .. 'what follows does not count'), 'last')
        same(server:peer_closed(), true)
        -- The other direction is still open.
        assert(#server:write 'more' > 0)",
    );
}

#[test]
fn a_rust_client_speaks_with_a_lua_server() {
    let (node, authority) = node();
    let port: u16 = node.lua1(&format!("return ends.serve(server_ctx, {ECHO})")).parse().expect("a port");
    for versions in [BOTH, OLD] {
        let mut stream = client(port, authority.client_config(versions));
        let text: Vec<u8> = (0..100_000).map(|i| (i * 7 % 251) as u8).collect();
        let mut echo = vec![0; text.len()];
        for (text, echo) in text.chunks(10_000).zip(echo.chunks_mut(10_000)) {
            stream.write_all(text).expect("the server reads");
            stream.read_exact(echo).expect("the server answers");
        }
        assert_eq!(echo, text);
        stream.conn.send_close_notify();
        stream.flush().expect("the server is there");
        // The server's own goodbye, not just the end of the connection: else this were an error.
        assert_eq!(stream.read(&mut echo).expect("a goodbye"), 0);
    }
}

#[test]
fn a_lua_client_speaks_with_a_rust_server() {
    let (node, authority) = node();
    for versions in [BOTH, OLD] {
        let (port, server) = echo_server(authority.server_config(versions));
        node.check(&format!(
            "local echo = ends.connect(client_ctx, {port}, 'game.example', function(read, write)
                write 'hello '
                local got = read()
                write 'there'
                return got .. read()
            end)
            same(echo, 'hello there')"
        ));
        assert_eq!(server.join().expect("it does not panic").as_deref(), Some("game.example"));
    }
}

#[test]
fn the_handshake_fails_where_the_name_is_another_one() {
    let (node, _authority) = node();
    node.check(
        "local client, server = new_pair 'www.example'
        local flight = server:handshake(client:handshake())
        local why = raises('SSL_do_handshake error:1 ret:-1: the certificate is for another name', client.handshake, client, flight)
        assert(why:find('www.example', 1, true) and why:find('game.example', 1, true), why)
        same(client:finished(), false)
        -- It stays so.
        same(raises('another name', client.handshake, client), why)
        same(raises('another name', client.read, client, 'x'), why)
        same(raises('another name', client.write, client, 'x'), why)
        -- The server is told.
        raises('received fatal alert', server.handshake, server, client:write())",
    );
}

#[test]
fn the_name_may_be_set_until_the_handshake_begins() {
    let (node, _authority) = node();
    node.check(
        "local client, server = ltls.newtls('client', client_ctx), ltls.newtls('server', server_ctx)
        raises('no host name to find', client.handshake, client)
        raises('invalid host name \"game.example:443\"', client.set_ext_host_name, client, 'game.example:443')
        raises('invalid host name \"a b\"', ltls.newtls, 'client', client_ctx, 'a b')
        raises('string expected, got table', ltls.newtls, 'client', client_ctx, {})
        client:set_ext_host_name 'game.example'
        ends.shake(client, server)
        client:set_ext_host_name 'game.example'
        raises('too late', client.set_ext_host_name, client, 'other.example')
        raises('a server has no host name', server.set_ext_host_name, server, 'game.example')",
    );
}

#[test]
fn an_address_is_found_in_a_certificate_and_not_told_to_the_server() {
    let (node, authority) = node();
    authority.issue("address", "127.0.0.1", |_| {});
    node.check(
        "local server_ctx = ends.contexts(file 'address.pem', file 'address.key')
        local client, server = ends.pair(server_ctx, client_ctx, '127.0.0.1')
        same(server:server_name(), nil)",
    );
}

#[test]
fn a_certificate_of_an_unknown_issuer_is_refused() {
    let (node, _authority) = node();
    node.check(
        "local client, server = ltls.newtls('client', ltls.newctx(), 'game.example'), ltls.newtls('server', server_ctx)
        local flight = server:handshake(client:handshake())
        raises(\"the certificate's issuer is unknown\", client.handshake, client, flight)",
    );
}

#[test]
fn a_certificate_that_signed_itself_is_trusted_when_it_is_given() {
    let (node, authority) = node();
    for (file, is_ca) in
        [("self", IsCa::ExplicitNoCa), ("self_ca", IsCa::Ca(BasicConstraints::Unconstrained))]
    {
        let mut params = CertificateParams::new(vec!["game.example".to_owned()]).expect("a good name");
        params.is_ca = is_ca;
        let key = KeyPair::generate().expect("there is randomness");
        let cert = params.self_signed(&key).expect("it can be signed");
        authority.write(&format!("{file}.pem"), &cert.pem());
        authority.write(&format!("{file}.key"), &key.serialize_pem());
    }
    node.check(
        "local server_ctx, client_ctx = ends.contexts(file 'self.pem', file 'self.key', file 'self.pem')
        ends.pair(server_ctx, client_ctx, 'game.example')
        raises('issuer is unknown', ends.pair, server_ctx, ltls.newctx(), 'game.example')
        server_ctx, client_ctx = ends.contexts(file 'self_ca.pem', file 'self_ca.key', file 'self_ca.pem')
        raises(\"the certificate is an authority's (CA:TRUE)\", ends.pair, server_ctx, client_ctx, 'game.example')",
    );
}

#[test]
fn a_client_shows_its_certificate_to_a_server_that_asks() {
    let (node, authority) = node();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(authority.path("ca.pem")).expect("it is there"))
        .expect("it is good");
    let asks = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let chain = CertificateDer::from_pem_file(authority.path("game.pem")).expect("it is there");
    let key = PrivateKeyDer::from_pem_file(authority.path("game.key")).expect("it is a key");
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(BOTH)
        .expect("these are versions")
        .with_client_cert_verifier(asks.build().expect("there is an authority"))
        .with_single_cert(vec![chain], key)
        .expect("they belong together");
    let speak = |port: u16| {
        node.lua(&format!(
            "return pcall(ends.connect, client_ctx, {port}, 'game.example', function(read, write)
                write 'hello'
                return read()
            end)"
        ))
    };
    let (port, server) = echo_server(config.clone());
    assert_ne!(speak(port), ["true", "hello"]);
    assert_eq!(server.join().expect("it does not panic"), None);
    node.lua("client_ctx:set_cert(file 'game.pem', file 'game.key')");
    let (port, server) = echo_server(config);
    assert_eq!(speak(port), ["true", "hello"]);
    assert_eq!(server.join().expect("it does not panic").as_deref(), Some("game.example"));
}

#[test]
fn a_second_connection_of_a_context_resumes_the_first_ones_session() {
    let (node, authority) = node();
    let config = Arc::new(authority.server_config(BOTH));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let server = std::thread::spawn(move || {
        [(); 2].map(|()| {
            let (stream, _) = listener.accept().expect("somebody connects");
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a good config");
            let mut stream = StreamOwned::new(connection, patient(stream));
            stream.write_all(b"welcome").expect("the client reads");
            assert_eq!(stream.read(&mut [0]).expect("the client says goodbye"), 0);
            stream.conn.handshake_kind()
        })
    });
    for _ in 0..2 {
        node.check(&format!(
            "same(ends.connect(client_ctx, {port}, 'game.example', function(read) return read() end), 'welcome')"
        ));
    }
    let kinds = server.join().expect("it does not panic");
    assert_eq!(kinds, [Some(rustls::HandshakeKind::Full), Some(rustls::HandshakeKind::Resumed)]);
}

#[test]
fn a_certificate_outside_of_its_time_is_refused() {
    let (node, authority) = node();
    authority.issue("old", "game.example", |params| {
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
    });
    authority.issue("new", "game.example", |params| {
        params.not_before = date_time_ymd(4000, 1, 1);
        params.not_after = date_time_ymd(4001, 1, 1);
    });
    node.check(
        "for name, text in pairs { old = 'the certificate has expired', new = 'the certificate is not valid yet' } do
            local server_ctx = ends.contexts(file(name .. '.pem'), file(name .. '.key'))
            local client, server = ltls.newtls('client', client_ctx, 'game.example'), ltls.newtls('server', server_ctx)
            local flight = server:handshake(client:handshake())
            raises(text, client.handshake, client, flight)
        end",
    );
}

#[test]
fn a_certificate_expires_by_the_nodes_clock() {
    let (node, authority) = node_with(Some(ManualClock::new()));
    authority.issue("long", "game.example", |params| params.not_after = date_time_ymd(2200, 1, 1));
    let shake = "local server_ctx = ends.contexts(file 'long.pem', file 'long.key')
        return pcall(ends.pair, server_ctx, client_ctx, 'game.example')";
    assert_eq!(node.lua1(shake), "true");
    node.advance(Duration::from_secs(200 * 366 * 24 * 3600));
    let answer = node.lua(shake);
    assert_eq!(answer[0], "false");
    assert!(answer[1].contains("the certificate has expired"), "{answer:?}");
}

#[test]
fn with_the_verification_off_any_certificate_will_do() {
    let (node, authority) = node();
    node.check(
        "local anybody = ltls.newctx()
        raises('boolean expected, got no value', anybody.set_verify, anybody)
        anybody:set_verify(false)
        local client, server = ends.pair(server_ctx, anybody, 'www.example')
        same(server:server_name(), 'www.example')
        same(server:read(client:write 'text'), 'text')
        -- Without any name, too.
        client, server = ends.pair(server_ctx, anybody)
        same(server:server_name(), nil)
        anybody:set_verify(true)
        raises('issuer is unknown', ends.pair, server_ctx, anybody, 'game.example')
        anybody:set_verify(false)",
    );
    // The signatures of TLS 1.2 are others.
    let (port, server) = echo_server(authority.server_config(OLD));
    node.check(&format!(
        "local anybody = ltls.newctx()
        anybody:set_verify(false)
        same(ends.connect(anybody, {port}, 'www.example', function(read, write)
            write 'hello'
            return read()
        end), 'hello')"
    ));
    assert_eq!(server.join().expect("it does not panic").as_deref(), Some("www.example"));
}

#[test]
fn both_ends_agree_on_a_protocol_or_part() {
    let (node, _authority) = node();
    node.check(
        "local client, server = ends.pair(server_ctx, client_ctx, 'game.example')
        same(client:alpn(), nil)
        server_ctx:set_alpn { 'game/2', 'http/1.1' }
        client_ctx:set_alpn { 'h2', 'http/1.1' }
        client, server = ends.pair(server_ctx, client_ctx, 'game.example')
        same(client:alpn(), 'http/1.1')
        same(server:alpn(), 'http/1.1')
        client_ctx:set_alpn { 'h2' }
        raises('no protocol in common', ends.pair, server_ctx, client_ctx, 'game.example')
        client_ctx:set_alpn {}
        same(ends.pair(server_ctx, client_ctx, 'game.example'):alpn(), nil)
        raises('table expected, got string', client_ctx.set_alpn, client_ctx, 'h2')
        raises('a list of strings expected', client_ctx.set_alpn, client_ctx, { 'h2', 2 })
        raises('1 to 255 bytes, not 0', client_ctx.set_alpn, client_ctx, { '' })
        raises('1 to 255 bytes, not 256', client_ctx.set_alpn, client_ctx, { ('x'):rep(256) })
        local many = {}
        for i = 1, 100 do many[i] = 'p' .. i end
        raises('over the limit of 16', client_ctx.set_alpn, client_ctx, many)",
    );
}

#[test]
fn a_list_of_ciphers_decides_what_tls_1_2_uses() {
    let (node, authority) = node();
    let port: u16 = node
        .lua1(&format!(
            "server_ctx:set_ciphers 'ECDHE-ECDSA-CHACHA20-POLY1305:!aNULL'
            return ends.serve(server_ctx, {ECHO})"
        ))
        .parse()
        .expect("a port");
    for (versions, suite) in [
        (OLD, rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        (BOTH, rustls::CipherSuite::TLS13_AES_256_GCM_SHA384),
    ] {
        let mut stream = client(port, authority.client_config(versions));
        stream.write_all(b"x").expect("the server reads");
        stream.read_exact(&mut [0]).expect("the server answers");
        assert_eq!(stream.conn.negotiated_cipher_suite().map(|suite| suite.suite()), Some(suite));
    }
    node.check(
        "raises('no cipher suite of \"RC4-SHA:!aNULL\" is supported', server_ctx.set_ciphers, server_ctx, 'RC4-SHA:!aNULL')
        raises('string expected', server_ctx.set_ciphers, server_ctx, nil)",
    );
}

#[test]
fn bad_files_are_refused_by_name() {
    let (node, authority) = node();
    authority.issue("other", "other.example", |_| {});
    authority.write("empty.pem", "");
    authority.write("text.pem", "-----BEGIN CERTIFICATE-----\nnot base64 !!\n-----END CERTIFICATE-----\n");
    authority.write("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    authority.write("junk.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    authority.write("junk.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    authority.write("big.pem", &"x".repeat((4 << 20) + 1));
    node.check(
        "local ctx = ltls.newctx()
        local function refused(name, text, f, ...)
            local why = raises(text, f, ctx, ...)
            assert(why:find(file(name), 1, true), why)
        end
        local cert, key = file 'game.pem', file 'game.key'
        refused('none.pem', 'No such file', ctx.set_cert, file 'none.pem', key)
        refused('none.key', 'No such file', ctx.set_cert, cert, file 'none.key')
        refused('empty.pem', 'there is no certificate in it', ctx.set_cert, file 'empty.pem', key)
        refused('game.key', 'there is no certificate in it', ctx.set_cert, key, key)
        refused('game.pem', 'there is no private key in it', ctx.set_cert, cert, cert)
        refused('text.pem', 'base64', ctx.set_cert, file 'text.pem', key)
        refused('cut.pem', 'end marker', ctx.set_cert, file 'cut.pem', key)
        refused('junk.pem', '', ctx.set_cert, file 'junk.pem', key)
        refused('junk.key', '', ctx.set_cert, cert, file 'junk.key')
        refused('big.pem', 'it has more than 4194304 bytes', ctx.set_cert, file 'big.pem', key)
        refused('other.key', 'the key is not that of the certificate', ctx.set_cert, cert, file 'other.key')
        refused('none.pem', 'No such file', ctx.set_ca, file 'none.pem')
        refused('game.key', 'there is no certificate in it', ctx.set_ca, key)
        refused('junk.pem', '', ctx.set_ca, file 'junk.pem')
        raises('string expected, got no value', ctx.set_cert, ctx, cert)
        -- Nothing of it has been taken.
        raises('a server needs a certificate', ltls.newtls, 'server', ctx)
        ctx:set_cert(cert, key)
        ltls.newtls('server', ctx)",
    );
}

#[test]
fn what_is_no_tls_ends_the_handshake() {
    let (node, _authority) = node();
    node.check(
        "for _, noise in ipairs { 'GET / HTTP/1.1\\r\\n\\r\\n', ('\\0'):rep(100), ('\\xff'):rep(70000) } do
            local client, server = new_pair()
            raises('SSL_do_handshake error:1 ret:-1: ', server.handshake, server, noise)
            client:handshake()
            raises('SSL_do_handshake error:1 ret:-1: ', client.handshake, client, noise)
            same(server:finished(), false)
        end
        local client, server = ends.pair(server_ctx, client_ctx, 'game.example')
        local good = client:write 'good'
        -- What was right before is given; then comes the error, each time.
        same(server:read(good .. ('\\x17\\3\\3\\0\\x20' .. ('x'):rep(32))), 'good')
        local why = raises('SSL_read error:1: ', server.read, server)
        same(raises('SSL_read error:1: ', server.read, server, good), why)
        same(raises('SSL_read error:1: ', server.write, server, 'x'), why)
        -- The peer is told, once.
        raises('alert', client.read, client, server:write())
        same(server:write(), '')",
    );
}

#[test]
fn no_bytes_of_a_peer_bring_an_end_down() {
    let (node, _authority) = node();
    let literal = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    node.lua(
        "function survive(role, noise, at)
            local client, server = new_pair()
            local hello = client:handshake()
            local tls, data = server, hello
            if role then
                tls, data = client, server:handshake(hello)
            end
            at = at % #data
            pcall(tls.handshake, tls, data:sub(1, at) .. noise .. data:sub(at + #noise + 1))
            pcall(tls.read, tls, data:sub(at + 1))
            pcall(tls.write, tls)
            tls:finished()
            tls:close()
        end",
    );
    let strategy =
        (any::<bool>(), proptest::collection::vec(any::<u8>(), 1..40), any::<proptest::sample::Index>());
    proptest!(ProptestConfig::with_cases(100), |((role, noise, at) in strategy)| {
        node.check(&format!("survive({role}, '{}', {})", literal(&noise), at.index(2000)));
    });
}

#[test]
fn each_function_says_what_it_wants() {
    let (node, _authority) = node();
    node.check(
        "raises('invalid method:peer e.g[server, client]', ltls.newtls, 'peer', client_ctx)
        raises('string expected, got nil', ltls.newtls, nil, client_ctx)
        raises('ltls.context expected, got nil', ltls.newtls, 'client')
        raises('ltls.context expected, got userdata', ltls.newtls, 'client', ltls.newtls('client', client_ctx))
        raises('ltls.tls expected, got userdata', ltls.newtls('client', client_ctx).read, client_ctx)
        raises('ltls.context expected, got table', client_ctx.set_verify, {}, true)
        raises('a server needs a certificate', ltls.newtls, 'server', client_ctx)
        local client, server = new_pair()
        raises('handshake is not finished', client.write, client, 'early')
        raises('handshake is not finished', server.write, server, 'early')
        raises('string expected, got table', client.handshake, client, {})
        ends.shake(client, server)
        raises('handshake is finished', client.handshake, client)
        raises('handshake is finished', server.handshake, server, 'x')
        raises('string expected, got boolean', client.read, client, true)
        same(server:read(client:write(12.5)), '12.5')",
    );
}

#[test]
fn a_closed_connection_says_so() {
    let (node, _authority) = node();
    node.check(
        "local client, server = ends.pair(server_ctx, client_ctx, 'game.example')
        assert(#client:close() > 0)
        same(client:close(), nil)
        for _, name in ipairs { 'handshake', 'read', 'write', 'finished', 'alpn', 'peer_closed', 'server_name', 'set_ext_host_name' } do
            raises('context is closed', client[name], client, 'x')
        end
        -- Without a handshake there is nobody to say goodbye to.
        same(new_pair():close(), nil)
        local kept
        do
            local tls <close> = ltls.newtls('server', server_ctx)
            kept = tls
        end
        raises('context is closed', kept.finished, kept)",
    );
}

#[test]
fn what_nobody_holds_is_collected() {
    let (node, _authority) = node();
    node.check(
        "for _ = 1, 300 do
            local server_ctx, client_ctx = ends.contexts(file 'game.pem', file 'game.key', file 'ca.pem')
            local client, server = ltls.newtls('client', client_ctx, 'game.example'), ltls.newtls('server', server_ctx)
            server:handshake(client:handshake())
        end
        collectgarbage()
        collectgarbage()",
    );
    let eval = node.eval;
    node.runtime.kill(eval);
    node.wait_gone(eval);
}

#[test]
fn a_node_without_enablessl_says_how_to_get_it() {
    let (with, _authority) = node();
    let without = support::node();
    // In one process: what one node has, the other has not.
    without.check(
        "local ltls = require 'ltls.c'
        raises('ltls need init, Put enablessl = true in you config file.', ltls.newctx)
        raises('ltls need init, Put enablessl = true in you config file.', ltls.newtls, 'client')",
    );
    let holder = "return pcall(require 'skynet.service'.query, 'ltls_holder')";
    assert_eq!(with.lua(&format!("ltls.newctx() {holder}"))[0], "true");
    assert!(with.log.has("LAUNCH snlua service_cell ltls_holder"), "{:#?}", with.log.lines());
    assert!(!without.log.has("ltls_holder"));
}

/// A web server in Lua on the node of `server`, and what a node with this config says to `GET` its page.
fn page_of(server: &TestNode, config: skynet_rs::Config, host: &str) -> Vec<String> {
    let port = server.lua1(
        "local httpd, helper = require 'http.httpd', require 'http.tlshelper'
        local context = helper.newctx()
        context:set_cert(file 'game.pem', file 'game.key')
        local id, _, port = socket.listen('127.0.0.1', 0)
        socket.start(id, function(new)
            socket.start(new)
            local tls = helper.newtls('server', context)
            -- A client that does not trust it goes away.
            pcall(function()
                helper.init_responsefunc(new, tls)()
                local code, url = httpd.read_request(helper.readfunc(new, tls))
                httpd.write_response(helper.writefunc(new, tls), code, 'page of ' .. url)
            end)
            helper.closefunc(tls)()
            socket.close(new)
        end)
        return port",
    );
    let client = support::start(config, None);
    client
        .lua(&format!("return pcall(require 'http.httpc'.request, 'GET', 'https://{host}:{port}', '/index')"))
}

#[test]
fn a_page_comes_over_https_from_whom_the_config_trusts() {
    let (server, authority) = node();
    authority.issue("game", "localhost", |_| {});
    let config = || support::config().set("enablessl", true);
    let trusts = || config().set("tls_ca", authority.path("ca.pem"));
    assert_eq!(page_of(&server, trusts(), "localhost"), ["true", "200", "page of /index"]);

    let says = page_of(&server, config(), "localhost");
    assert_eq!(says[0], "false");
    assert!(says[1].contains("the certificate's issuer is unknown"), "{says:?}");

    let says = page_of(&server, trusts(), "127.0.0.1");
    assert_eq!(says[0], "false");
    assert!(says[1].contains("the certificate is for another name"), "{says:?}");

    let careless = config().set("tls_verify", false);
    assert_eq!(page_of(&server, careless, "127.0.0.1"), ["true", "200", "page of /index"]);
}

#[test]
fn openssls_client_trusts_a_lua_server_and_speaks_with_it() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: there is no openssl on this machine");
        return;
    }
    let (node, authority) = node();
    let port = node.lua1(
        "return ends.serve(server_ctx, function(read, write)
            write('you said ' .. read())
        end)",
    );
    for version in ["-tls1_2", "-tls1_3"] {
        let mut openssl = Command::new("openssl")
            .args(["s_client", "-quiet", "-verify_return_error", version])
            .args(["-connect", &format!("127.0.0.1:{port}"), "-servername", "game.example"])
            .args(["-verify_hostname", "game.example", "-CAfile", &authority.path("ca.pem")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it was there a moment ago");
        // Held open: at its end the client would leave before the answer.
        let mut input = openssl.stdin.take().expect("it is piped");
        input.write_all(b"hello\n").expect("it reads");
        let output = openssl.wait_with_output().expect("it ends when the server says goodbye");
        drop(input);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, "you said hello\n", "{}", String::from_utf8_lossy(&output.stderr));
    }
}
