//! Text of a configuration in, one checked model out; and what changed between two of them.
//!
//! A format (TOML, PgBouncer's ini) is read into a plain list of sections, keys and
//! values. The tables in [`Settings`], [`Database`], [`User`] and [`Peer`] say what each key is, and turn
//! those lists into the model; the same tables answer `SHOW CONFIG` and `SET`, and write
//! `config/reference.toml`. No file is opened here: the caller reads, and puts its file's name in
//! front of each [`Mistake`] that does not name one.
//!
//! # Promises
//!
//! - **C1** every mistake of a file is reported at once, with line and key.
//! - **C2** the two formats give the same model: a format yields sections, and only the tables know
//!   keys.
//! - **C3** a difference between two models names what it touches, and nothing else is disturbed.

mod check;
mod database;
mod difference;
mod document;
mod host;
mod ini;
mod mistake;
mod model;
mod peer;
mod percent;
mod place;
mod secret;
mod set;
mod settings;
mod show;
mod suggest;
mod table;
mod to_toml;
mod toml_text;
mod url_text;
mod user;
mod value;

#[cfg(test)]
mod tests;

pub use crate::check::oddities;
pub use crate::database::{Database, DatabaseRef};
pub use crate::difference::{Changed, Difference, difference};
pub use crate::host::{BadHost, Host};
pub use crate::ini::{Ini, Places, from_ini, is_ini};
pub use crate::mistake::{Mistake, Rejected};
pub use crate::model::{AuthQuery, Config};
pub use crate::peer::Peer;
pub use crate::secret::{Hidden, Secret};
pub use crate::settings::Settings;
pub use crate::show::{Notation, ShownSetting, without_effect};
pub use crate::to_toml::to_toml;
pub use crate::toml_text::{line_of, parse};
pub use crate::url_text::from_url;
pub use crate::user::User;
pub use crate::value::ciphers::{Curve, Suite, Tls13Ciphers, TlsCiphers, TlsCurves};
pub use crate::value::endpoint::{Endpoint, Login};
pub use crate::value::name::Name;
pub use crate::value::per_host::PerHost;
pub use crate::value::size::Size;
pub use crate::value::time::Millis;
pub use crate::value::tls::{SslMode, TlsProtocols};
pub use crate::value::words::{
    AuthType, Balance, CheckQuery, Consistency, ErrorStyle, LoadBalanceHosts, LogFormat, LogLevel,
    PoolMode, PrimaryReads, Routing, SocketMode, SyslogFacility,
};
