//! A client that says exactly the bytes it is told.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use pgweir_wire::backend::{self, Authentication};
use pgweir_wire::encode;
use pgweir_wire::startup::PROTOCOL_3_0;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::certificates::certificates;
use crate::frame::{Frame, ServerError};
use crate::target::Target;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// What a client has been told about itself while it logged in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The process ID for cancelling.
    pub pid: u32,
    /// The secret key for cancelling.
    pub key: Vec<u8>,
    /// Reported settings, as they are now.
    pub parameters: BTreeMap<String, String>,
}

/// A connection, and what came through it.
///
/// Everything that goes wrong panics, since it is a test that goes wrong then.
pub struct Wire {
    stream: Stream,
    /// What was read and not yet taken.
    buffer: Vec<u8>,
    /// What the server said about this connection.
    pub identity: Identity,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Wire")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Wire {
    /// A connection on which nothing was said yet.
    ///
    /// # Panics
    /// If nobody accepts it.
    #[track_caller]
    pub fn open(target: &Target) -> Self {
        let stream = if target.host.starts_with('/') {
            let path = format!("{}/.s.PGSQL.{}", target.host, target.port);
            let stream =
                UnixStream::connect(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
            Stream::Unix(stream)
        } else {
            let stream =
                TcpStream::connect((target.host.as_str(), target.port)).expect("somebody accepts");
            stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
            stream.set_nodelay(true).expect("TCP has it");
            Stream::Tcp(stream)
        };
        Self {
            stream,
            buffer: Vec::new(),
            identity: Identity::default(),
        }
    }

    /// A connection that is logged in.
    ///
    /// # Panics
    /// If the login fails.
    #[track_caller]
    pub fn connect(target: &Target) -> Self {
        Self::try_connect(target, &[]).unwrap_or_else(|error| panic!("login failed: {error:?}"))
    }

    /// A connection that is logged in, with parameters of the startup packet.
    ///
    /// # Errors
    /// What the server says instead.
    #[track_caller]
    pub fn try_connect(target: &Target, parameters: &[(&str, &str)]) -> Result<Self, ServerError> {
        let mut wire = Self::open(target);
        wire.startup(target, PROTOCOL_3_0, parameters);
        wire.login(target)?;
        Ok(wire)
    }

    /// Sends the startup packet.
    pub fn startup(&mut self, target: &Target, version: u32, parameters: &[(&str, &str)]) {
        let mut all = vec![
            ("user", target.user.as_str()),
            ("database", target.database.as_str()),
        ];
        all.extend(parameters);
        let mut out = Vec::new();
        encode::startup_message(version, all, &mut out);
        self.send(&out);
    }

    /// Answers what it is asked until it is logged in.
    ///
    /// # Errors
    /// What the server says instead.
    #[track_caller]
    pub fn login(&mut self, target: &Target) -> Result<(), ServerError> {
        match self.login_frames(target).pop() {
            Some(frame) if frame.tag == b'E' => Err(frame.error()),
            Some(frame) if frame.tag == b'Z' => Ok(()),
            last => panic!("closed in the login, after {last:?}"),
        }
    }

    /// Answers what it is asked, and gives what was said: up to ReadyForQuery, the first error, or
    /// the end of the connection.
    #[track_caller]
    pub fn login_frames(&mut self, target: &Target) -> Vec<Frame> {
        let (mut scram, mut frames) = (None, Vec::new());
        while let Some(frame) = self.next_frame() {
            if frame.tag == b'R' {
                self.authenticate(&frame, target, &mut scram);
            }
            let last = matches!(frame.tag, b'E' | b'Z');
            frames.push(frame);
            if last {
                break;
            }
        }
        frames
    }

    /// Proves by SCRAM who it is, and does not wait for what comes then.
    ///
    /// # Panics
    /// If it is not asked for that.
    #[track_caller]
    pub fn prove(&mut self, target: &Target) {
        let mut scram = None;
        for _ in ["which mechanisms there are", "the challenge"] {
            let frame = self.frame();
            assert_eq!(frame.tag, b'R', "{frame:?}");
            self.authenticate(&frame, target, &mut scram);
        }
    }

    fn authenticate(&mut self, frame: &Frame, target: &Target, scram: &mut Option<ScramSha256>) {
        let mut out = Vec::new();
        match backend::authentication(&frame.body).expect("well formed") {
            Authentication::Ok => {}
            Authentication::Cleartext => encode::password(target.password.as_bytes(), &mut out),
            Authentication::Md5 { salt } => {
                let answer = md5_hash(target.user.as_bytes(), target.password.as_bytes(), salt);
                encode::password(answer.as_bytes(), &mut out);
            }
            Authentication::Sasl { .. } => {
                let exchange =
                    ScramSha256::new(target.password.as_bytes(), ChannelBinding::unsupported());
                encode::sasl_initial("SCRAM-SHA-256", Some(exchange.message()), &mut out);
                *scram = Some(exchange);
            }
            Authentication::SaslContinue(data) => {
                let exchange = scram.as_mut().expect("it began");
                exchange.update(data).expect("a good challenge");
                encode::sasl_response(exchange.message(), &mut out);
            }
            Authentication::SaslFinal(data) => {
                let exchange = scram.as_mut().expect("it began");
                exchange
                    .finish(data)
                    .expect("the server knows the password too");
            }
            other => panic!("{other:?}"),
        }
        self.send(&out);
    }

    /// Asks for TLS; the answer is one byte.
    pub fn ask_for_tls(&mut self) -> u8 {
        let mut out = Vec::new();
        encode::ssl_request(&mut out);
        self.send(&out);
        self.bytes(1)[0]
    }

    /// Goes on in TLS, trusting the tests' authority.
    ///
    /// # Panics
    /// If the handshake fails, or the connection is no TCP connection.
    #[track_caller]
    pub fn encrypt(self, alpn: &[&str]) -> Self {
        self.try_encrypt(alpn).expect("the handshake succeeds")
    }

    /// Goes on in TLS, trusting the tests' authority.
    ///
    /// # Errors
    /// If the handshake fails.
    ///
    /// # Panics
    /// If the connection is no TCP connection.
    pub fn try_encrypt(self, alpn: &[&str]) -> std::io::Result<Self> {
        let Stream::Tcp(mut tcp) = self.stream else {
            panic!("plain TCP")
        };
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(certificates().authority()).expect("ours");
        roots.add(authority).expect("ours");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("it has all")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(Arc::new(config), name).expect("a valid configuration");
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        let stream = Stream::Tls(Box::new(StreamOwned::new(tls, tcp)));
        Ok(Self {
            stream,
            buffer: self.buffer,
            identity: self.identity,
        })
    }

    /// The certificate that the server has shown, in DER.
    ///
    /// # Panics
    /// If this is not TLS.
    pub fn server_certificate(&self) -> Vec<u8> {
        let Stream::Tls(tls) = &self.stream else {
            panic!("no TLS")
        };
        tls.conn.peer_certificates().expect("after the handshake")[0].to_vec()
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// If the connection is gone.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the connection is up");
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => {
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    /// Sends what a closure writes.
    ///
    /// # Panics
    /// If the connection is gone.
    #[track_caller]
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        write(&mut out);
        self.send(&out);
    }

    fn read_more(&mut self) -> std::io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        let count = match &mut self.stream {
            Stream::Tcp(stream) => uninterrupted(|| stream.read(&mut chunk)),
            Stream::Unix(stream) => uninterrupted(|| stream.read(&mut chunk)),
            Stream::Tls(stream) => uninterrupted(|| stream.read(&mut chunk)),
        }?;
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(count)
    }

    /// So many bytes as they come.
    ///
    /// # Panics
    /// If they do not.
    #[track_caller]
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            let read = self
                .read_more()
                .unwrap_or_else(|error| panic!("waiting for an answer: {error}"));
            assert!(
                read > 0,
                "closed, after {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
        self.buffer.drain(..count).collect()
    }

    /// The next frame. What it says about this connection is noted.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn frame(&mut self) -> Frame {
        let header = self.bytes(5);
        let len = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        let body = self.bytes(usize::try_from(len - 4).expect("64 bits"));
        let frame = Frame {
            tag: header[0],
            body,
        };
        match frame.tag {
            b'S' => {
                let status = backend::parameter_status(&frame.body).expect("well formed");
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                self.identity
                    .parameters
                    .insert(text(status.name), text(status.value));
            }
            b'K' => {
                let key = backend::backend_key(&frame.body).expect("well formed");
                self.identity.pid = key.pid;
                self.identity.key = key.key.to_vec();
            }
            _ => {}
        }
        frame
    }

    /// The header of the next frame: its tag and the length of its body, which is dropped as it
    /// comes.
    ///
    /// # Panics
    /// If it does not come.
    #[track_caller]
    pub fn skip_frame(&mut self) -> (u8, u64) {
        let header = self.bytes(5);
        let len = u64::from(u32::from_be_bytes([
            header[1], header[2], header[3], header[4],
        ])) - 4;
        let mut remaining = len;
        let mut chunk = vec![0; 1024 * 1024];
        let buffered = self
            .buffer
            .len()
            .min(usize::try_from(remaining).expect("64 bits"));
        self.buffer.drain(..buffered);
        remaining -= buffered as u64;
        while remaining > 0 {
            let most = chunk
                .len()
                .min(usize::try_from(remaining).expect("64 bits"));
            let read = match &mut self.stream {
                Stream::Tcp(stream) => uninterrupted(|| stream.read(&mut chunk[..most])),
                Stream::Unix(stream) => uninterrupted(|| stream.read(&mut chunk[..most])),
                Stream::Tls(stream) => uninterrupted(|| stream.read(&mut chunk[..most])),
            };
            let read =
                read.unwrap_or_else(|error| panic!("{remaining} bytes are missing: {error}"));
            assert!(read > 0, "closed when {remaining} bytes were missing");
            remaining -= read as u64;
        }
        (header[0], len)
    }

    /// All frames up to ReadyForQuery, which is the last one.
    ///
    /// # Panics
    /// If they do not come.
    #[track_caller]
    pub fn until_ready(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            frames.push(self.frame());
            if frames.last().is_some_and(|frame| frame.tag == b'Z') {
                return frames;
            }
        }
    }

    /// All frames up to ReadyForQuery, from a server that may go away.
    ///
    /// # Errors
    /// If the connection ends before.
    pub fn answer(&mut self) -> std::io::Result<Vec<Frame>> {
        let mut frames = Vec::new();
        loop {
            while !self.has_whole_frame() {
                if self.read_more()? == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
            frames.push(self.frame());
            if frames.last().is_some_and(|frame| frame.tag == b'Z') {
                return Ok(frames);
            }
        }
    }

    /// The next frame; none if the connection has ended.
    ///
    /// # Panics
    /// If nothing comes for long.
    #[track_caller]
    pub fn next_frame(&mut self) -> Option<Frame> {
        while !self.has_whole_frame() {
            match self.read_more() {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    panic!("nothing comes: {error}")
                }
                Err(_) => return None,
            }
        }
        Some(self.frame())
    }

    fn has_whole_frame(&self) -> bool {
        let header = pgweir_wire::header(&self.buffer, u32::MAX).expect("a good length");
        header.is_some_and(|header| self.buffer.len() as u64 >= header.frame_len())
    }

    /// Sends a simple query, and takes everything up to ReadyForQuery.
    ///
    /// # Panics
    /// If the connection ends.
    #[track_caller]
    pub fn query(&mut self, sql: &str) -> Vec<Frame> {
        self.write(|out| encode::query(sql.as_bytes(), out));
        self.until_ready()
    }

    /// The rows of a simple query, their columns separated by `|`.
    ///
    /// # Panics
    /// If the query fails.
    #[track_caller]
    pub fn sql(&mut self, sql: &str) -> Vec<String> {
        let frames = self.query(sql);
        if let Some(error) = frames.iter().find(|frame| frame.tag == b'E') {
            panic!("{sql}: {:?}", error.error());
        }
        frames
            .iter()
            .filter(|frame| frame.tag == b'D')
            .map(|frame| frame.row().join("|"))
            .collect()
    }

    /// The error of a simple query.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn sql_error(&mut self, sql: &str) -> ServerError {
        let frames = self.query(sql);
        let error = frames.iter().find(|frame| frame.tag == b'E');
        error
            .unwrap_or_else(|| panic!("{sql} succeeds: {frames:?}"))
            .error()
    }

    /// The error that ends this connection: it comes without being asked for, or instead of an
    /// answer. Notices and settings before it are passed over.
    ///
    /// # Panics
    /// If something else comes.
    #[track_caller]
    pub fn last_error(&mut self) -> ServerError {
        loop {
            let frame = self.frame();
            match frame.tag {
                b'E' => {
                    self.closed();
                    return frame.error();
                }
                b'N' | b'S' => {}
                _ => panic!("{frame:?}"),
            }
        }
    }

    /// Checks that the server has closed, or closes now, and says nothing before.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn closed(&mut self) {
        assert!(
            self.buffer.is_empty(),
            "{:?}",
            String::from_utf8_lossy(&self.buffer)
        );
        match self.read_more() {
            Ok(0) => {}
            Ok(_) => panic!("not closed but {:?}", String::from_utf8_lossy(&self.buffer)),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof
                ) => {}
            Err(error) => panic!("not closed: {error}"),
        }
    }

    /// Reads until the server closes; gives what it said.
    ///
    /// # Panics
    /// If it does not close.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        loop {
            match self.read_more() {
                Ok(0) => return std::mem::take(&mut self.buffer),
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    panic!("not closed: {error}")
                }
                Err(_) => return std::mem::take(&mut self.buffer),
            }
        }
    }

    /// Checks that nothing comes for a moment.
    ///
    /// # Panics
    /// If something comes, or the server closes.
    #[track_caller]
    pub fn silent(&mut self) {
        self.patience(Duration::from_millis(200));
        assert!(
            !self.has_something(),
            "not silent: {:?}",
            String::from_utf8_lossy(&self.buffer)
        );
        self.patience(PATIENCE);
    }

    /// Whether something comes while [`patience`](Self::patience) lasts. It can be taken then.
    ///
    /// # Panics
    /// If the connection ends.
    #[track_caller]
    pub fn has_something(&mut self) -> bool {
        if !self.buffer.is_empty() {
            return true;
        }
        match self.read_more() {
            Ok(0) => panic!("closed"),
            Ok(_) => true,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// What is there, if anything; waits for it if nothing is.
    ///
    /// # Panics
    /// If the connection ends, or nothing comes.
    #[track_caller]
    pub fn take(&mut self) -> Vec<u8> {
        if self.buffer.is_empty() {
            let read = self.read_more().expect("something comes");
            assert!(read > 0, "closed");
        }
        std::mem::take(&mut self.buffer)
    }

    /// How long an answer may take.
    pub fn patience(&self, longest: Duration) {
        let longest = Some(longest);
        match &self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(longest),
            Stream::Unix(stream) => stream.set_read_timeout(longest),
            Stream::Tls(stream) => stream.sock.set_read_timeout(longest),
        }
        .expect("not zero");
    }

    /// Says that nothing more will be said, but still listens.
    pub fn shut_down_writing(&self) {
        let result = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tls(stream) => stream.sock.shutdown(Shutdown::Write),
        };
        // The other side may have closed first.
        drop(result);
    }

    /// Asks to cancel what this connection does, through a new connection, and waits until that
    /// one is closed.
    ///
    /// # Panics
    /// If it is answered.
    #[track_caller]
    pub fn cancel(&self, target: &Target) {
        cancel(target, &self.identity);
    }
}

/// Sends a cancel request, and waits until its connection is closed.
#[track_caller]
fn cancel(target: &Target, identity: &Identity) {
    let mut wire = Wire::open(target);
    wire.write(|out| encode::cancel_request(identity.pid, &identity.key, out));
    wire.closed();
}

impl Identity {
    /// Asks to cancel what this identity does, through a new connection, and waits until that one
    /// is closed.
    ///
    /// # Panics
    /// If it is answered.
    #[track_caller]
    pub fn cancel(&self, target: &Target) {
        cancel(target, self);
    }
}

/// A read with a time limit is interrupted when the process is stopped and goes on (signal(7)), as a machine that is
/// suspended does with it. That says nothing about the connection.
fn uninterrupted(mut read: impl FnMut() -> std::io::Result<usize>) -> std::io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
