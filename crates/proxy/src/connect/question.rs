//! A connection of its own for asking a server short questions, over and over.

use std::rc::Rc;
use std::sync::Arc;

use pgweir_config::Host;
use pgweir_wire::backend::data_row;
use pgweir_wire::{encode, tag::backend as tag};

use super::login::Reader;
use super::{Error, reach, target};
use crate::worker::Worker;

/// A row's values as text.
pub type Row = Vec<Option<String>>;

/// See the module.
pub struct Asker(Reader);

impl Asker {
    /// Logs in at one host of a database.
    ///
    /// # Errors
    /// As for any other connection.
    pub async fn connect(
        worker: &Rc<Worker>,
        database: &Arc<str>,
        user: &str,
        host: &Host,
    ) -> Result<Self, Error> {
        let mut target = target(worker, database, &user.into())?;
        target.connect_query = None;
        let (stream, ..) = reach(worker, &target, host, &[]).await?;
        Ok(Self(Reader::new(stream)))
    }

    /// The rows that a query gives.
    ///
    /// # Errors
    /// When the server refuses, or is gone. Nothing more may be asked then.
    pub async fn ask(&mut self, query: &str) -> Result<Vec<Row>, Error> {
        let mut message = Vec::new();
        encode::query(query.as_bytes(), &mut message);
        self.0.send(&message).await?;
        let mut rows = Vec::new();
        loop {
            let (frame, body) = self.0.next().await?;
            match frame {
                tag::DATA_ROW => {
                    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                    let row = data_row(self.0.body(body))?;
                    rows.push(row.into_iter().map(|value| value.map(text)).collect());
                }
                tag::READY_FOR_QUERY => return Ok(rows),
                tag::ROW_DESCRIPTION
                | tag::COMMAND_COMPLETE
                | tag::PARAMETER_STATUS
                | tag::NOTICE_RESPONSE => {}
                other => return Err(Error::Unexpected(other)),
            }
        }
    }

    /// Waits until the server says goodbye, or just goes.
    pub async fn gone(&mut self) -> Error {
        loop {
            match self.0.next().await {
                Ok((tag::PARAMETER_STATUS | tag::NOTICE_RESPONSE, _)) => {}
                Ok((other, _)) => return Error::Unexpected(other),
                Err(error) => return error,
            }
        }
    }
}
