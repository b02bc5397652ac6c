//! Where Unix sockets are: in a directory, or in Linux's abstract namespace, which has no files.

use std::path::PathBuf;

/// The path of the socket of a directory and port. One that begins with `@` becomes a name of the abstract namespace,
/// which the kernel knows by the NUL in its place (unix(7)); that is how libpq does it, too.
pub fn path(dir: &str, port: u16) -> PathBuf {
    let path = format!("{dir}/.s.PGSQL.{port}");
    match path.strip_prefix('@') {
        Some(name) => format!("\0{name}").into(),
        None => path.into(),
    }
}

/// Whether a path is a name of the abstract namespace.
pub fn is_abstract(path: &std::path::Path) -> bool {
    path.as_os_str().as_encoded_bytes().first() == Some(&0)
}

/// A path as people write it.
pub fn shown(path: &std::path::Path) -> String {
    path.display().to_string().replacen('\0', "@", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_or_a_name() {
        let file = path("/tmp", 6432);
        assert_eq!(file, PathBuf::from("/tmp/.s.PGSQL.6432"));
        assert!(!is_abstract(&file));
        let name = path("@pooler", 6432);
        assert_eq!(name, PathBuf::from("\0pooler/.s.PGSQL.6432"));
        assert!(is_abstract(&name));
        assert_eq!(shown(&name), "@pooler/.s.PGSQL.6432");
    }
}
