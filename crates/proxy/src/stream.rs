//! A connected socket, of a client or a server: TCP or Unix, plain or under TLS.
//!
//! Nothing outside this module knows which. A stream can leave the worker whose runtime watches
//! its socket and be taken up by another ([`Stream::detach`], [`Stream::attach`]).

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use pgweir_config::Settings;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

/// The socket itself.
#[derive(Debug)]
pub enum Socket {
    /// TCP, watched by this thread's runtime.
    Tcp(TcpStream),
    /// A Unix socket, watched by this thread's runtime.
    Unix(UnixStream),
    /// TCP, on its way from one worker to another.
    LooseTcp(std::net::TcpStream),
    /// A Unix socket, on its way from one worker to another.
    LooseUnix(std::os::unix::net::UnixStream),
    /// Lost in a change of worker that failed.
    Lost,
}

impl Socket {
    /// Its file descriptor; 0 if it is lost.
    pub fn fd(&self) -> u32 {
        let fd = match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
            Self::LooseTcp(stream) => stream.as_raw_fd(),
            Self::LooseUnix(stream) => stream.as_raw_fd(),
            Self::Lost => 0,
        };
        fd.unsigned_abs()
    }

    /// Takes the socket out of this thread's runtime, so that it can be sent away.
    ///
    /// # Errors
    /// From the operating system; the socket is then lost.
    pub fn detach(&mut self) -> io::Result<()> {
        self.replace_with(Self::detached)
    }

    fn detached(self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::LooseTcp(stream.into_std()?),
            Self::Unix(stream) => Self::LooseUnix(stream.into_std()?),
            loose => loose,
        })
    }

    fn attached(self) -> io::Result<Self> {
        Ok(match self {
            Self::LooseTcp(stream) => Self::Tcp(TcpStream::from_std(stream)?),
            Self::LooseUnix(stream) => Self::Unix(UnixStream::from_std(stream)?),
            watched => watched,
        })
    }

    fn replace_with(&mut self, change: fn(Self) -> io::Result<Self>) -> io::Result<()> {
        *self = change(std::mem::replace(self, Self::Lost))?;
        Ok(())
    }
}

fn loose() -> io::Error {
    io::Error::other("socket is between two workers")
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::LooseTcp(_) | Self::LooseUnix(_) | Self::Lost => Poll::Ready(Err(loose())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::LooseTcp(_) | Self::LooseUnix(_) | Self::Lost => Poll::Ready(Err(loose())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::LooseTcp(_) | Self::LooseUnix(_) | Self::Lost => Poll::Ready(Err(loose())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::LooseTcp(_) | Self::LooseUnix(_) | Self::Lost => Poll::Ready(Err(loose())),
        }
    }
}

/// A socket, perhaps under TLS.
#[derive(Debug)]
pub enum Stream {
    /// As it is.
    Plain(Socket),
    /// Under TLS.
    Tls(Box<TlsStream<Socket>>),
}

impl Stream {
    /// Whether it is under TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// `TLSv1.3/TLS_AES_256_GCM_SHA384`, or nothing for a plain one.
    pub fn tls_description(&self) -> String {
        let Self::Tls(stream) = self else {
            return String::new();
        };
        let (_, connection) = stream.get_ref();
        let version = match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLS",
        };
        let suite = connection
            .negotiated_cipher_suite()
            .map(|suite| format!("{:?}", suite.suite()));
        // rustls names the suites of TLS 1.3 TLS13_…, IANA and OpenSSL TLS_….
        format!(
            "{version}/{}",
            suite.unwrap_or_default().replacen("TLS13_", "TLS_", 1)
        )
    }

    fn socket_ref(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Our end, for TCP.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self.socket_ref() {
            Socket::Tcp(stream) => stream.local_addr().ok(),
            _ => None,
        }
    }

    /// The other end, for TCP.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match self.socket_ref() {
            Socket::Tcp(stream) => stream.peer_addr().ok(),
            _ => None,
        }
    }

    /// The file descriptor of its socket.
    pub fn fd(&self) -> u32 {
        self.socket_ref().fd()
    }

    /// Who runs the process at the other end, for Unix sockets.
    pub fn peer_uid(&self) -> Option<u32> {
        match self.socket_ref() {
            Socket::Unix(stream) => stream.peer_cred().ok().map(|cred| cred.uid()),
            _ => None,
        }
    }

    /// Whether the other side has closed, though not all that it sent has been read: the end of the
    /// stream is behind that.
    pub fn has_hung_up(&self) -> bool {
        fn seen(ready: impl Future<Output = io::Result<Ready>>) -> bool {
            let mut cx = Context::from_waker(Waker::noop());
            match pin!(ready).poll(&mut cx) {
                Poll::Ready(Ok(ready)) => ready.is_read_closed(),
                _ => false,
            }
        }
        match self.socket_ref() {
            Socket::Tcp(stream) => seen(stream.ready(Interest::READABLE)),
            Socket::Unix(stream) => seen(stream.ready(Interest::READABLE)),
            _ => false,
        }
    }

    /// Waits until the other side has closed, whatever it has sent before that.
    pub async fn hung_up(&self) {
        const LOOK: std::time::Duration = std::time::Duration::from_millis(250);
        loop {
            let ready = match self.socket_ref() {
                Socket::Tcp(stream) => stream.ready(Interest::READABLE).await,
                Socket::Unix(stream) => stream.ready(Interest::READABLE).await,
                _ => return,
            };
            if ready.is_ok_and(|ready| ready.is_read_closed()) {
                return;
            }
            // There is something to read: nothing tells when the end comes behind it.
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits for the first byte and says, without taking it, whether it begins a TLS handshake.
    pub async fn starts_with_handshake(&self) -> bool {
        const HANDSHAKE: u8 = 0x16;
        match self.socket_ref() {
            Socket::Tcp(stream) => {
                let mut byte = [0];
                matches!(stream.peek(&mut byte).await, Ok(1)) && byte[0] == HANDSHAKE
            }
            _ => false,
        }
    }

    fn socket(&mut self) -> &mut Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_mut().0,
        }
    }

    /// Takes the socket out of this thread's runtime, so that the stream can be sent away.
    ///
    /// # Errors
    /// From the operating system; the stream is then of no use any more.
    pub fn detach(&mut self) -> io::Result<()> {
        self.socket().detach()
    }

    /// Has this thread's runtime watch the socket.
    ///
    /// # Errors
    /// From the operating system; the stream is then of no use any more.
    pub fn attach(&mut self) -> io::Result<()> {
        self.socket().replace_with(Socket::attached)
    }

    /// Reads into `buf`; 0 bytes mean that the other side has closed.
    ///
    /// A read that does not fill the buffer tells the runtime that the socket is empty: the next
    /// call waits for the kernel's event and costs no system call.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        let result = match self {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, &mut buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, &mut buf),
        };
        match result {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(buf.filled().len())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes what the kernel takes.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    /// Writes what the kernel takes of several pieces.
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, slices),
        }
    }

    /// Sends what TLS has encrypted and not sent; nothing to do for a plain stream.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    /// Says goodbye: TLS's close_notify, then the end of the stream.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }

    /// Reads at least one byte to the end of `buf`. Who stops waiting for it finds `buf` as it was.
    ///
    /// # Errors
    /// `UnexpectedEof` when the other side has closed.
    pub async fn read_some(&mut self, buf: &mut Vec<u8>, most: usize) -> io::Result<()> {
        let start = buf.len();
        let read = std::future::poll_fn(|cx| {
            buf.resize(start + most, 0);
            let read = self.poll_read(cx, &mut buf[start..]);
            let len = match &read {
                Poll::Ready(Ok(len)) => *len,
                _ => 0,
            };
            buf.truncate(start + len);
            read
        });
        match read.await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Writes all of it and flushes.
    ///
    /// # Errors
    /// From the operating system, or TLS.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let len = std::future::poll_fn(|cx| self.poll_write(cx, bytes)).await?;
            if len == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[len..];
        }
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }
}

/// Bytes that the kernel did not take yet, in order.
///
/// Owns no memory while there are none.
#[derive(Debug, Default)]
pub struct Backlog {
    bytes: Vec<u8>,
    /// How many of them are written.
    done: usize,
    /// Whether TLS may hold back what was written.
    unflushed: bool,
}

impl Backlog {
    /// Whether everything has been handed to the kernel.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.unflushed
    }

    /// Adds bytes behind those that wait.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.done
    }

    /// Writes `batch` to `stream`; what the kernel does not take is kept.
    ///
    /// # Errors
    /// From the operating system or TLS: the connection is broken.
    pub fn write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        batch: &pgweir_session::Batch,
        input: &[u8],
    ) -> io::Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        if !self.bytes.is_empty() {
            batch.copy_after(input, 0, &mut self.bytes);
            return self.drain(cx, stream);
        }
        let written = match batch.single(input) {
            Some(slice) => stream.poll_write(cx, slice),
            None => {
                let mut slices = smallvec::SmallVec::<[io::IoSlice<'_>; 16]>::new();
                // The kernel takes 1024 pieces at a time (IOV_MAX).
                slices.extend(batch.slices(input).take(1024).map(io::IoSlice::new));
                stream.poll_write_vectored(cx, &slices)
            }
        };
        let written = match written {
            Poll::Ready(result) => result?,
            Poll::Pending => 0,
        };
        self.unflushed = stream.is_tls();
        if written < batch.len() {
            batch.copy_after(input, written, &mut self.bytes);
        }
        if self.unflushed || !self.bytes.is_empty() {
            self.drain(cx, stream)
        } else {
            Ok(())
        }
    }

    /// Writes what waits, as far as the kernel takes it.
    ///
    /// # Errors
    /// From the operating system or TLS: the connection is broken.
    pub fn drain(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> io::Result<()> {
        while self.done < self.bytes.len() {
            match stream.poll_write(cx, &self.bytes[self.done..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(len)) => self.done += len,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
        }
        self.bytes = Vec::new();
        self.done = 0;
        if self.unflushed {
            match stream.poll_flush(cx) {
                Poll::Ready(result) => {
                    result?;
                    self.unflushed = false;
                }
                Poll::Pending => {}
            }
        }
        Ok(())
    }
}

/// Keepalive and timeouts of a TCP socket, to clients and to servers.
///
/// # Errors
/// From the operating system.
pub fn tune(stream: &impl AsFd, settings: &Settings) -> io::Result<()> {
    let socket = SockRef::from(stream);
    if settings.tcp_keepalive {
        let mut keepalive = TcpKeepalive::new();
        if !settings.tcp_keepidle.is_zero() {
            keepalive = keepalive.with_time(settings.tcp_keepidle);
        }
        if !settings.tcp_keepintvl.is_zero() {
            keepalive = keepalive.with_interval(settings.tcp_keepintvl);
        }
        if settings.tcp_keepcnt > 0 {
            keepalive = keepalive.with_retries(settings.tcp_keepcnt);
        }
        socket.set_tcp_keepalive(&keepalive)?;
    }
    if settings.tcp_socket_buffer > 0 {
        let size = settings.tcp_socket_buffer as usize;
        socket.set_send_buffer_size(size)?;
        socket.set_recv_buffer_size(size)?;
    }
    let timeout = settings.tcp_user_timeout.duration();
    if !timeout.is_zero() {
        socket.set_tcp_user_timeout(Some(timeout))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A connection to ourselves, made as settings say.
    fn tuned(text: &str) -> socket2::Socket {
        let config = pgweir_config::parse(&format!("[pgweir]\n{text}")).expect("it is one");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has one");
        let stream = std::net::TcpStream::connect(address).expect("it listens");
        tune(&stream, &config.settings).expect("the kernel knows all of it");
        stream.into()
    }

    #[test]
    fn what_the_kernel_is_told_of_a_connection() {
        let plain = tuned("tcp_keepalive = false");
        assert!(!plain.keepalive().expect("known"));
        let kernels = tuned("");
        assert!(kernels.keepalive().expect("known"));
        let told = tuned(
            "tcp_keepidle = \"77s\"\ntcp_keepintvl = \"7s\"\ntcp_keepcnt = 3\n\
             tcp_user_timeout = 12345\ntcp_socket_buffer = 16384",
        );
        let seconds = Duration::from_secs;
        assert_eq!(told.tcp_keepalive_time().expect("known"), seconds(77));
        assert_eq!(told.tcp_keepalive_interval().expect("known"), seconds(7));
        assert_eq!(told.tcp_keepalive_retries().expect("known"), 3);
        let user_timeout = told.tcp_user_timeout().expect("known");
        assert_eq!(user_timeout, Some(Duration::from_millis(12345)));
        // The kernel doubles what it is told (socket(7)).
        assert_eq!(told.recv_buffer_size().expect("known"), 2 * 16384);
        assert_eq!(told.send_buffer_size().expect("known"), 2 * 16384);
        // What is not said is the kernel's, which is something else.
        assert_ne!(kernels.tcp_keepalive_time().expect("known"), seconds(77));
        assert_eq!(kernels.tcp_user_timeout().expect("known"), None);
    }
}
