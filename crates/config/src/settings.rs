//! `[pgweir]`: what holds for the whole process. Long because it is a table.

use std::path::PathBuf;
use std::time::Duration;

use crate::database::Database;
use crate::secret::Hidden;
use crate::table::{Table, table};
use crate::value::Raw;
use crate::value::ciphers::{Tls13Ciphers, TlsCiphers, TlsCurves};
use crate::value::name::Name;
use crate::value::size::Size;
use crate::value::time::Millis;
use crate::value::tls::{SslMode, TlsProtocols};
use crate::value::words::{
    AuthType, CheckQuery, ErrorStyle, LogFormat, LogLevel, PoolMode, SocketMode, SyslogFacility,
};

table! {
    /// What holds for the whole process. Names are PgBouncer's where it has the same thing.
    pub struct Settings {
        /// Addresses to listen on; `*` is every one, an empty list is none.
        listen_addr: Vec<String> = "127.0.0.1", ini "" => Restart;
        /// TCP port, and the number in the name of the Unix socket. 0: any free port.
        listen_port: u16 = "6432" => Restart;
        /// Addresses where metrics (`/metrics`) and health (`/healthz`, `/readyz`, `/startupz`) are told over HTTP; `*` is every one, an
        /// empty list is none.
        http_addr: Vec<String> = "", ini "" => Restart;
        /// TCP port for it.
        http_port: u16 = "9127" => Restart;
        /// Directory of the Unix socket. "": no Unix socket. `@name`: in the abstract namespace.
        unix_socket_dir: String = "/tmp" => Restart;
        /// Permission bits of the Unix socket.
        unix_socket_mode: SocketMode = "0777" => Restart;
        /// Group of the Unix socket, by name or number. "": that of the process.
        unix_socket_group: String = "" => Restart;
        /// Connections the kernel holds before they are accepted.
        listen_backlog: u32 = "1024", ini "128" => Restart;
        /// Whether other processes may listen on the same TCP ports, if they say so too; the kernel shares
        /// new connections out between them. `pgweir -R` needs it.
        so_reuseport: bool = "false" => Restart;
        /// Which of the processes in `[peers]` this one is. They pass cancel requests on to the one whose
        /// client it is, wherever a load balancer or the kernel has sent them. 0: it is none.
        peer_id: u16 = "0" => AtOnce;
        /// How long the kernel keeps a new connection to itself until its client says something, in
        /// seconds. 0: not at all.
        tcp_defer_accept: u32 = "0", ini "1" => AtOnce;
        /// A file that holds the number of the process while it runs.
        pidfile: Option<PathBuf> as "\"/run/pgweir/pgweir.pid\"" => Restart;
        /// The user to run as, when started as root: once the TCP ports are bound, and before anything
        /// else is opened. "": whoever starts it.
        user: String = "" => Restart;
        /// Threads that move data. 0: as many as the CPUs this process may use.
        workers: u16 = "0" => Restart;

        /// When a server connection goes back to its pool: when the client leaves, after each
        /// transaction, or after each statement. With `statement`, a query after which a
        /// transaction is still open gets an error that ends the connection; one query with all of
        /// a transaction in it, as `begin; …; commit`, passes.
        pool_mode: PoolMode = "transaction", ini "session" => AtOnce;
        /// Client connections at most. Those of the console and those that have not logged in yet
        /// count, but the console is refused to nobody. 0: no limit.
        max_client_conn: u32 = "5000", ini "100" => AtOnce;
        /// Server connections of one pool (a user on a database) at most. 0: no limit.
        default_pool_size: u32 = "20" => AtOnce;
        /// Server connections that a pool in use keeps at least.
        min_pool_size: u32 = "0" => AtOnce;
        /// Server connections beyond the size for clients that waited for `reserve_pool_timeout`.
        reserve_pool_size: u32 = "0" => AtOnce;
        /// How long a client waits before the reserve is used. 0: it never is.
        reserve_pool_timeout: Duration = "5s" => AtOnce;
        /// Server connections of one database at most, over all its users. 0: no limit.
        max_db_connections: u32 = "0" => AtOnce;
        /// Client connections of one database at most. 0: no limit.
        max_db_client_connections: u32 = "0" => AtOnce;
        /// Server connections of one user at most, over all databases. 0: no limit.
        max_user_connections: u32 = "0" => AtOnce;
        /// Client connections of one user at most. 0: no limit.
        max_user_client_connections: u32 = "0" => AtOnce;

        /// Whether the connection that idled longest is used next, rather than the one used last.
        server_round_robin: bool = "false" => AtOnce;
        /// Prepared statements kept on each server connection. 0: names of statements are not
        /// tracked.
        max_prepared_statements: u32 = "200" => AtOnce;
        /// Largest named prepared statement that is kept, as the text of its Parse message.
        max_statement_size: Size = "1MB" => AtOnce;
        /// Cleans a server connection when a session ends. "": nothing does.
        server_reset_query: String = "DISCARD ALL" => AtOnce;
        /// Whether it is also sent between transactions, in every pool mode.
        server_reset_query_always: bool = "false" => AtOnce;
        /// A connection that idled for longer is checked before it is used. 0: always.
        server_check_delay: Duration = "30s" => AtOnce;
        /// The query that checks it. `<empty>`: an empty one. "": no check.
        server_check_query: CheckQuery = "<empty>" => AtOnce;
        /// Age at which a server connection is closed once nobody uses it. 0: after one use.
        server_lifetime: Duration = "1h" => AtOnce;
        /// A server connection that idled for longer is closed. 0: never.
        server_idle_timeout: Duration = "10min" => AtOnce;
        /// What is kept of a database that has no section of its own, because `"*"` serves it, ends
        /// after nobody has used it for so long, its counters included. 0: never.
        autodb_idle_timeout: Duration = "1h" => AtOnce;
        /// A pool that has neither clients nor server connections ends after so long. It is made anew
        /// for who comes next. 0: it stays.
        pool_idle_timeout: Duration = "0" => AtOnce;
        /// Whether a client in session mode whose server connection is to be closed, after RECONNECT
        /// or a reload, is disconnected as soon as it is in no transaction, rather than waited for.
        server_fast_close: bool = "false" => AtOnce;
        /// Connecting and logging in to a server must be done within. 0: no limit.
        server_connect_timeout: Duration = "15s" => AtOnce;
        /// Longest pause between attempts after a failed login; pauses grow up to it.
        server_login_retry: Duration = "15s" => AtOnce;
        /// The addresses of a host's name are believed for so long, or for less if a name server says so. Then
        /// whoever needs a connection asks again; connections to addresses that the name has no longer are
        /// closed as soon as nobody uses them. 0: each connection asks.
        dns_max_ttl: Duration = "15s" => AtOnce;
        /// That a name has no address, or that nobody could tell, is believed for so long.
        dns_nxdomain_ttl: Duration = "15s" => AtOnce;
        /// How often the serial numbers of the zones that names are in are asked; if one has changed, the names
        /// in it are asked again. 0: never. Otherwise name servers are asked instead of the system.
        dns_zone_check_period: Duration = "0" => AtOnce;
        /// A file like /etc/resolv.conf that says which name servers to ask, instead of the system. /etc/hosts
        /// goes before them.
        resolv_conf: Option<PathBuf> as "\"/etc/pgweir/resolv.conf\"" => Restart;

        /// Who asks the hosts of a cluster what they are (`routing` of a database). Not given: the `user` of
        /// the database, or `auth_user`. Give it the role `pg_monitor`, without which it does not see the
        /// timeline that a standby follows before its next restartpoint.
        monitor_user: Option<Name> as "\"pooler\"" => AtOnce;
        /// The zone in which this process runs: reads go to hosts in the same one (`zones` of a database).
        zone: Option<Name> as "\"west\"" => AtOnce;
        /// How often each host of a cluster is asked; more often while something is wrong. An answer that takes
        /// longer counts as none.
        monitor_interval: Duration = "1s" => AtOnce;

        /// A client must have logged in within. 0: no limit.
        client_login_timeout: Duration = "60s" => AtOnce;
        /// A client waits for a server connection for so long, then is refused. 0: for ever.
        query_wait_timeout: Duration = "2min" => AtOnce;
        /// A client that has waited for a server connection for so long is told so, with a NOTICE.
        /// 0: never.
        query_wait_notify: Duration = "0", ini "5" => AtOnce;
        /// A query may run for so long, then client and server connection are closed. 0: for ever.
        query_timeout: Duration = "0" => AtOnce;
        /// A transaction may take so long, then it is ended. 0: for ever.
        transaction_timeout: Duration = "0" => AtOnce;
        /// A client may idle inside a transaction for so long, then it is closed. 0: for ever.
        idle_transaction_timeout: Duration = "0" => AtOnce;
        /// A client may idle outside a transaction for so long, then it is closed. 0: for ever.
        client_idle_timeout: Duration = "0" => AtOnce;
        /// A cancel request waits for a server for so long, then is dropped. 0: for ever.
        cancel_wait_timeout: Duration = "10s" => AtOnce;

        /// What a client does not take in so long after SUSPEND ends its connection.
        suspend_timeout: Duration = "10s" => AtOnce;

        /// Largest message that is let through.
        max_packet_size: Size = "2147483647" => AtOnce;
        /// The buffer each worker reads into.
        pkt_buf: Size = "64kB" => Restart;
        /// Whether the kernel probes connections that are silent.
        tcp_keepalive: bool = "true" => AtOnce;
        /// After how much silence. 0: the kernel's default.
        tcp_keepidle: Duration = "0" => AtOnce;
        /// How long the kernel waits for the answer to a probe. 0: the kernel's default.
        tcp_keepintvl: Duration = "0" => AtOnce;
        /// After how many probes without an answer a connection ends. 0: the kernel's default.
        tcp_keepcnt: u32 = "0" => AtOnce;
        /// The kernel's buffers for what is received and sent, of each connection. 0: the kernel decides,
        /// and adapts them.
        tcp_socket_buffer: u32 = "0" => AtOnce;
        /// Unacknowledged data ends a connection after. A plain number is milliseconds. 0: the
        /// kernel's default.
        tcp_user_timeout: Millis = "0" => AtOnce;
        /// Parameters of the startup message that are accepted and dropped.
        ignore_startup_parameters: Vec<String> = "" => AtOnce;

        /// Whether each client's `application_name` gets its address behind it at login.
        application_name_add_host: bool = "false" => AtOnce;
        /// Whether simple queries are refused, so that nobody can smuggle in a second statement.
        disable_pqexec: bool = "false" => AtOnce;
        /// What every client is told with a NOTICE at login. "": nothing.
        login_notify_message: String = "" => AtOnce;
        /// Whether clients are told at login who pools, and how: with the parameters
        /// `pgbouncer.version`, `pgbouncer.pool_mode` and `pgbouncer.max_prepared_statements`.
        report_pooler: bool = "false", ini "1" => AtOnce;

        /// Whether clients use TLS. The verifying modes demand a certificate of the client.
        client_tls_sslmode: SslMode = "disable" => AtOnce;
        /// Private key for clients' connections, PEM.
        client_tls_key_file: Option<PathBuf> as "\"/etc/pgweir/server.key\"" => AtOnce;
        /// Certificate for clients' connections, PEM, with its chain.
        client_tls_cert_file: Option<PathBuf> as "\"/etc/pgweir/server.crt\"" => AtOnce;
        /// Authorities whose certificates clients may show, PEM.
        client_tls_ca_file: Option<PathBuf> as "\"/etc/pgweir/clients-ca.crt\"" => AtOnce;
        /// Versions of TLS spoken with clients.
        client_tls_protocols: TlsProtocols = "secure" => AtOnce;
        /// Ciphers of TLS 1.2 spoken with clients, in OpenSSL's notation, the favourite first. What is
        /// not spoken is passed over; that is all but AES-GCM and ChaCha20 with keys of the moment.
        client_tls_ciphers: TlsCiphers = "default" => AtOnce;
        /// Ciphers of TLS 1.3 spoken with clients. None: all.
        client_tls13_ciphers: Option<Tls13Ciphers> as "\"TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256\"" => AtOnce;
        /// Curves for agreeing on keys with clients: a list of X25519MLKEM768, X25519, prime256v1 and
        /// secp384r1, or `auto` for all.
        client_tls_ecdhcurve: TlsCurves = "auto" => AtOnce;
        /// Whether servers are reached over TLS, and whose certificate is believed.
        server_tls_sslmode: SslMode = "prefer" => Reconnect;
        /// Authorities whose certificates servers may show, PEM. With it, `require` checks the chain
        /// as `verify-ca` does. None: `verify-full` trusts the system's, `verify-ca` is an error, and
        /// the other modes check nothing.
        server_tls_ca_file: Option<PathBuf> as "\"/etc/pgweir/servers-ca.crt\"" => Reconnect;
        /// Private key shown to servers, PEM.
        server_tls_key_file: Option<PathBuf> as "\"/etc/pgweir/client.key\"" => Reconnect;
        /// Certificate shown to servers, PEM.
        server_tls_cert_file: Option<PathBuf> as "\"/etc/pgweir/client.crt\"" => Reconnect;
        /// Versions of TLS spoken with servers.
        server_tls_protocols: TlsProtocols = "secure" => Reconnect;
        /// Ciphers of TLS 1.2 spoken with servers, as `client_tls_ciphers`.
        server_tls_ciphers: TlsCiphers = "default" => Reconnect;
        /// Ciphers of TLS 1.3 spoken with servers. None: all.
        server_tls13_ciphers: Option<Tls13Ciphers> as "\"TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256\"" => Reconnect;

        /// How clients prove who they are: `any` (they need not, and are whom their database's `user`
        /// says), `trust` (nor need they, but there must be such a user), `plain`, `md5`,
        /// `scram-sha-256`, `cert` (by the common name of a certificate, with a `client_tls_sslmode`
        /// that verifies it), `hba` (each as `auth_hba_file` says), `ldap` (by a password that a directory
        /// knows, see `auth_ldap_options`), or `pam` (by one that the system's PAM knows, see `pam_service`).
        auth_type: AuthType = "scram-sha-256", ini "md5" => AtOnce;
        /// With `auth_type = hba`: the file that says who is asked what, in lines as those of
        /// PostgreSQL's `pg_hba.conf`.
        auth_hba_file: Option<PathBuf> as "\"/etc/pgweir/hba.conf\"" => AtOnce;
        /// The file of its maps (`map=` of `cert` and `peer`), in lines of `map system-user user`.
        auth_ident_file: Option<PathBuf> as "\"/etc/pgweir/ident.conf\"" => AtOnce;
        /// Rounds of hashing, for a SCRAM login against a password in plain text, 1 to 1000000. Those
        /// of a SCRAM verifier stand in it.
        scram_iterations: u32 = "4096" => AtOnce;
        /// With `auth_type = ldap`: where the directory is and how a user is found in it, in PostgreSQL's
        /// words for a line of `pg_hba.conf`. Servers of `ldaps` must have a certificate that the system
        /// trusts. Not shown to anybody: there may be a password in it.
        auth_ldap_options: Option<Hidden> as "\"ldapserver=ldap.example.net ldapbasedn='dc=example,dc=net'\"" => AtOnce;
        /// With `auth_type = pam`: the name of the service, which has a file below /etc/pam.d.
        pam_service: String = "pgweir", ini "pgbouncer" => AtOnce;
        /// File of users and secrets, in lines of `"user" "secret"`.
        auth_file: Option<PathBuf> as "\"/etc/pgweir/userlist.txt\"" => AtOnce;
        /// Who asks the server for the secrets of users that no file has, with `auth_query`. Not given:
        /// nobody does.
        auth_user: Option<Name> as "\"pooler\"" => AtOnce;
        /// What it asks: `$1` is the user who logs in, and the answer a row of the user's name and
        /// secret. A secret that is NULL lets nobody in with a password.
        auth_query: String = "SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END FROM pg_authid WHERE rolname=$1 AND rolcanlogin" => AtOnce;
        /// The database, of those in this configuration, in which it asks. Not given: the one that the
        /// client wants.
        auth_dbname: Option<Name> as "\"postgres\"" => AtOnce;
        /// Users who may do everything on the console.
        admin_users: Vec<String> = "" => AtOnce;
        /// Users who may look on the console.
        stats_users: Vec<String> = "" => AtOnce;

        /// How errors look to clients that are pgweir's own, and not the server's. `postgresql`: each
        /// with the SQLSTATE that fits, with DETAIL and HINT. `pgbouncer`: as there, nothing but
        /// the text, and SQLSTATE 08P01 whatever the matter is.
        error_style: ErrorStyle = "postgresql", ini "pgbouncer" => AtOnce;

        /// How much is logged.
        log_level: LogLevel = "info" => AtOnce;
        /// How much more than `log_level` is logged. 1: why things happen, 2: every step.
        verbose: u32 = "0" => AtOnce;
        /// A file that the log is appended to, besides standard error. Opened again at each reload, so
        /// that it can be moved away.
        logfile: Option<PathBuf> as "\"/var/log/pgweir.log\"" => AtOnce;
        /// How a line of the log is written: `text` for people, `json` for programs, `pgbouncer` for
        /// programs that know PgBouncer.
        log_format: LogFormat = "text", ini "pgbouncer" => Restart;
        /// Whether the log goes to the system's log too, always with PgBouncer's words.
        syslog: bool = "false" => AtOnce;
        /// By which name.
        syslog_ident: String = "pgweir", ini "pgbouncer" => AtOnce;
        /// As what.
        syslog_facility: SyslogFacility = "daemon" => AtOnce;
        /// Whether logins are logged.
        log_connections: bool = "true" => AtOnce;
        /// Whether ends of connections are logged, with the reason.
        log_disconnections: bool = "true" => AtOnce;
        /// Whether errors that clients are sent are logged.
        log_pooler_errors: bool = "true" => AtOnce;
        /// Whether a line of statistics is logged each `stats_period`.
        log_stats: bool = "true" => AtOnce;
        /// Over which averages are taken.
        stats_period: Duration = "60s" => AtOnce;
        /// Connections that are still open so long after a shutdown began are closed. 0: it waits
        /// for them.
        shutdown_timeout: Duration = "0" => AtOnce;
    }
}

impl Settings {
    /// Who asks the hosts of a cluster what they are.
    pub fn monitor_user<'a>(&'a self, database: &'a Database) -> Option<&'a str> {
        let forced = database.user.as_deref();
        let asks = database.auth_user.as_deref();
        (self.monitor_user.as_deref().or(forced).or(asks)).or(self.auth_user.as_deref())
    }

    /// What holds where a file of PgBouncer says nothing: PgBouncer's own defaults.
    pub(crate) fn of_ini() -> Settings {
        let mut settings = Settings::default();
        for key in Settings::KEYS {
            if let Some(default) = key.ini_default {
                (key.assign)(&mut settings, &Raw::Ini(default.to_owned()))
                    .expect("defaults are read by a test");
            }
        }
        settings
    }
}
