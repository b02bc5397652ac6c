//! What a server says, whole frames only.

use pgweir_wire::backend::Fields;

/// A frame: its tag, and its body in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// The tag.
    pub tag: u8,
    /// Everything after the length.
    pub body: Vec<u8>,
}

impl Frame {
    /// The values of a DataRow, NULL as "NULL".
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    pub fn row(&self) -> Vec<String> {
        assert_eq!(self.tag, b'D', "{self:?}");
        let (count, mut rest) = self.body.split_at(2);
        let count = u16::from_be_bytes([count[0], count[1]]);
        (0..count)
            .map(|_| {
                let (len, after) = rest.split_first_chunk::<4>().expect("a length");
                let Ok(len) = usize::try_from(i32::from_be_bytes(*len)) else {
                    rest = after;
                    return "NULL".to_owned();
                };
                let (value, after) = after.split_at(len);
                rest = after;
                String::from_utf8_lossy(value).into_owned()
            })
            .collect()
    }

    /// The error or notice in it.
    ///
    /// # Panics
    /// If it is neither.
    #[track_caller]
    pub fn error(&self) -> ServerError {
        assert!(matches!(self.tag, b'E' | b'N'), "{self:?}");
        let fields = Fields::new(&self.body);
        let text =
            |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        ServerError {
            fields: fields_of(&self.body),
            severity: text(fields.severity()),
            sqlstate: text(fields.sqlstate()),
            message: text(fields.message()),
            detail: text(fields.field(b'D')).into(),
            hint: text(fields.field(b'H')).into(),
        }
    }

    /// The body as text, without the NUL at its end.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.body.strip_suffix(&[0]).unwrap_or(&self.body)).into_owned()
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.body[..self.body.len().min(200)];
        write!(
            out,
            "{}[{}] {:?}",
            char::from(self.tag),
            self.body.len(),
            String::from_utf8_lossy(shown)
        )
    }
}

/// The letters of the fields in an error or notice, in their order.
fn fields_of(body: &[u8]) -> Box<str> {
    let fields = body.split(|byte| *byte == 0);
    fields
        .filter_map(|field| field.first().map(|letter| char::from(*letter)))
        .collect()
}

/// An error or a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// `ERROR`, `FATAL`, …
    pub severity: String,
    /// Five characters.
    pub sqlstate: String,
    /// What happened.
    pub message: String,
    /// May be empty.
    pub detail: Box<str>,
    /// May be empty.
    pub hint: Box<str>,
    /// The letters of all fields that there are, in their order.
    pub fields: Box<str>,
}
