//! Logging in to a server, message by message.

use pgweir_auth::Login;
use pgweir_session::Parameters;
use pgweir_wire::backend::{self, Authentication, Fields};
use pgweir_wire::{encode, header, tag};

use super::Error;
use crate::stream::Stream;

/// The longest message that a server may send during login, in bytes.
const LOGIN_MESSAGE_MAX: u32 = 1 << 20;

/// Reads messages one by one.
pub(super) struct Reader {
    pub(super) stream: Stream,
    buffer: Vec<u8>,
    /// Start of the message that was last given out.
    at: usize,
}

impl Reader {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            at: 0,
        }
    }

    /// The bytes of a body, until the next message is asked for.
    pub(super) fn body(&self, at: std::ops::Range<usize>) -> &[u8] {
        &self.buffer[at]
    }

    /// The next message: its tag and where its body lies in the buffer.
    pub(super) async fn next(&mut self) -> Result<(u8, std::ops::Range<usize>), Error> {
        loop {
            if let Some(head) = header(&self.buffer[self.at..], LOGIN_MESSAGE_MAX)?
                && self.buffer.len() - self.at >= head.frame_len() as usize
            {
                let body = self.at + pgweir_wire::HEADER_LEN..self.at + head.frame_len() as usize;
                self.at = body.end;
                if head.tag == tag::backend::ERROR_RESPONSE {
                    let fields = Fields::new(&self.buffer[body]);
                    let text = |field: Option<&[u8]>| {
                        String::from_utf8_lossy(field.unwrap_or_default()).into_owned()
                    };
                    return Err(Error::Refused {
                        sqlstate: text(fields.sqlstate()),
                        message: text(fields.message()),
                    });
                }
                return Ok((head.tag, body));
            }
            self.buffer.drain(..self.at);
            self.at = 0;
            self.stream.read_some(&mut self.buffer, 4096).await?;
        }
    }

    pub(super) async fn send(&mut self, message: &[u8]) -> Result<(), Error> {
        Ok(self.stream.write_all(message).await?)
    }
}

/// Proves to the server who we are.
pub(super) async fn authenticate(reader: &mut Reader, login: Login) -> Result<(), Error> {
    let mut login = Some(login);
    let mut client = None;
    let mut last = None;
    loop {
        let (frame, body) = reader.next().await?;
        match frame {
            tag::backend::NEGOTIATE_PROTOCOL_VERSION | tag::backend::NOTICE_RESPONSE => continue,
            tag::backend::AUTHENTICATION => {}
            other => return Err(Error::Unexpected(other)),
        }
        let mut answer = Vec::new();
        match backend::authentication(&reader.buffer[body])? {
            Authentication::Ok => {
                // A server that ends a SCRAM exchange half-way has not proved who it is.
                if client.is_some() || last.is_some() {
                    return Err(Error::Unexpected(frame));
                }
                return Ok(());
            }
            Authentication::Cleartext => {
                let login = login.as_ref().ok_or(Error::Unexpected(frame))?;
                encode::password(login.cleartext()?, &mut answer);
            }
            Authentication::Md5 { salt } => {
                let login = login.as_ref().ok_or(Error::Unexpected(frame))?;
                encode::password(&login.md5(salt)?, &mut answer);
            }
            Authentication::Sasl { mechanisms } => {
                let login = login.take().ok_or(Error::Unexpected(frame))?;
                let offered: Vec<&[u8]> = mechanisms.collect();
                let (state, mechanism, first) = login.sasl_start(&offered, rand::random())?;
                encode::sasl_initial(mechanism, Some(&first), &mut answer);
                client = Some(state);
            }
            Authentication::SaslContinue(challenge) => {
                let state = client.take().ok_or(Error::Unexpected(frame))?;
                let (state, response) = state.step(challenge)?;
                encode::sasl_response(&response, &mut answer);
                last = Some(state);
            }
            Authentication::SaslFinal(outcome) => {
                last.take()
                    .ok_or(Error::Unexpected(frame))?
                    .verify(outcome)?;
                continue;
            }
            Authentication::Other(method) => return Err(Error::Method(method)),
        }
        reader.send(&answer).await?;
    }
}

/// What a server says between the login and its first ReadyForQuery.
#[derive(Default)]
pub(super) struct Welcome {
    pub(super) parameters: Parameters,
    pub(super) pid: u32,
    pub(super) key: Vec<u8>,
}

/// Learns what the server reports.
pub(super) async fn welcome(reader: &mut Reader) -> Result<Welcome, Error> {
    let mut welcome = Welcome::default();
    loop {
        let (frame, body) = reader.next().await?;
        let body = &reader.buffer[body];
        match frame {
            tag::backend::PARAMETER_STATUS => {
                let parameter = backend::parameter_status(body)?;
                welcome.parameters.insert(parameter.name, parameter.value);
            }
            tag::backend::BACKEND_KEY_DATA => {
                let key = backend::backend_key(body)?;
                welcome.pid = key.pid;
                welcome.key = key.key.to_vec();
            }
            tag::backend::READY_FOR_QUERY => return Ok(welcome),
            tag::backend::NOTICE_RESPONSE | tag::backend::NEGOTIATE_PROTOCOL_VERSION => {}
            other => return Err(Error::Unexpected(other)),
        }
    }
}
