//! LDAP directories: OpenLDAP's slapd, with a few people in it.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::certificates::certificates;
use crate::port::free_port;
use crate::process::{Process, Starting};
use crate::room::Room;
use crate::wait::eventually;

/// A directory `dc=example,dc=net` of a test, which is ended when this is dropped.
///
/// `cn=admin` (password `admin-secret`) may search below `ou=people`, and nobody else may. The entries
/// there have a `uid`, and the password `UID-ldap`.
#[derive(Debug)]
pub struct Directory {
    _room: Room,
    port: u16,
    tls_port: u16,
    _process: Process,
}

impl Directory {
    /// Starts one with people of these names; who stands there twice has two entries.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start(people: &[&str]) -> Self {
        let room = Room::new("directory");
        let (port, tls_port) = (free_port(), free_port());
        let file = room.join("slapd.conf");
        fs::create_dir(room.join("data")).expect("ours");
        fs::write(&file, settings(&room)).expect("ours");
        let entries = room.join("entries.ldif");
        fs::write(&entries, ldif(people)).expect("ours");
        let made = Command::new(program("slapadd"))
            .arg("-f")
            .arg(&file)
            .arg("-l")
            .arg(&entries)
            .output()
            .expect("slapd is installed");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        let urls = format!("ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}");
        let process = Starting::new(program("slapd"), "KILL", &room.join("log"))
            .arg("-f")
            .arg(&file)
            .args(["-d", "0", "-h", &urls])
            .start();
        let directory = Self {
            _room: room,
            port,
            tls_port,
            _process: process,
        };
        for port in [port, tls_port] {
            eventually("slapd accepts connections", || {
                TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
            });
        }
        directory
    }

    /// Where it speaks without TLS, and with StartTLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it speaks with TLS only. Its certificate is that of [`certificates`]' server.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }
}

/// Debian keeps it where only root looks.
fn program(name: &str) -> PathBuf {
    Path::new("/usr/sbin").join(name)
}

fn settings(room: &Room) -> String {
    let mut text = String::new();
    for schema in ["core", "cosine", "inetorgperson"] {
        let _ = writeln!(text, "include /etc/ldap/schema/{schema}.schema");
    }
    let files = certificates();
    for (key, value) in [
        ("modulepath", Path::new("/usr/lib/ldap")),
        ("TLSCACertificateFile", &files.authority()),
        ("TLSCertificateFile", &files.server()),
        ("TLSCertificateKeyFile", &files.server_key()),
    ] {
        let _ = writeln!(text, "{key} {}", value.display());
    }
    let data = room.join("data");
    text += "moduleload back_mdb\ndatabase mdb\nmaxsize 1048576\nsuffix dc=example,dc=net\n\
             rootdn cn=admin,dc=example,dc=net\nrootpw admin-secret\n\
             access to * by anonymous auth\n";
    let _ = writeln!(text, "directory {}", data.display());
    text
}

fn ldif(people: &[&str]) -> String {
    let mut text = "dn: dc=example,dc=net\nobjectClass: dcObject\nobjectClass: organization\n\
                    dc: example\no: example\n\n\
                    dn: ou=people,dc=example,dc=net\nobjectClass: organizationalUnit\nou: people\n\n"
        .to_owned();
    for (number, uid) in people.iter().enumerate() {
        // The first of a name has it in the name of its entry, too.
        let cn = match people[..number].contains(uid) {
            false => (*uid).to_owned(),
            true => format!("{uid} {number}"),
        };
        let _ = write!(
            text,
            "dn: cn={cn},ou=people,dc=example,dc=net\nobjectClass: inetOrgPerson\ncn: {cn}\nsn: {uid}\n\
             uid: {uid}\nuserPassword: {uid}-ldap\n\n"
        );
    }
    text
}
