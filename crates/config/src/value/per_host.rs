//! Something said of single hosts.

use super::basic::Item;
use super::name::Name;
use super::{Value, expected};
use crate::host::Host;

/// What is said of one host: `HOST = VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerHost<T> {
    /// The host.
    pub host: Host,
    /// What is said of it.
    pub value: T,
}

impl<T: PerHostValue> Value for PerHost<T> {
    const KIND: &'static str = T::OF_HOST;

    fn from_text(text: &str) -> Result<Self, String> {
        let (host, value) = text
            .rsplit_once('=')
            .ok_or_else(|| expected::<Self>(text))?;
        Ok(Self {
            host: Host::from_text(host.trim())?,
            value: T::from_text(value.trim())?,
        })
    }

    fn to_text(&self) -> Option<String> {
        Some(format!("{} = {}", self.host, self.value.to_text()?))
    }
}

impl<T: PerHostValue> Item for PerHost<T> {
    const LIST_KIND: &'static str = T::OF_HOSTS;
}

/// What can be said of a host.
pub(crate) trait PerHostValue: Value {
    /// What is expected of one.
    const OF_HOST: &'static str;
    /// What is expected of several.
    const OF_HOSTS: &'static str;
}

impl PerHostValue for u32 {
    const OF_HOST: &'static str = "a host and a number (\"db:5432 = 2\")";
    const OF_HOSTS: &'static str = "a list of hosts with numbers (\"db:5432 = 2\")";
}

impl PerHostValue for Name {
    const OF_HOST: &'static str = "a host and a name (\"db:5432 = west\")";
    const OF_HOSTS: &'static str = "a list of hosts with names (\"db:5432 = west\")";
}

/// What is said of a host in such a list.
pub(crate) fn of<'a, T>(list: &'a [PerHost<T>], host: &Host) -> Option<&'a T> {
    let mut said = list.iter();
    said.find(|it| it.host == *host).map(|it| &it.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_read_as_they_print() {
        for (text, printed) in [
            ("db:5433=2", "db:5433 = 2"),
            (" [::1] = 0 ", "[::1]:5432 = 0"),
        ] {
            let read = PerHost::<u32>::from_text(text).expect("it is one");
            assert_eq!(read.to_text().as_deref(), Some(printed));
            assert_eq!(PerHost::from_text(printed), Ok(read));
        }
        for text in ["db:5433", "= 2", "db:5433 = two", "db:0 = 2", "db = "] {
            assert!(PerHost::<u32>::from_text(text).is_err(), "{text}");
        }
        assert!(PerHost::<Name>::from_text("db = ").is_err());
    }
}
