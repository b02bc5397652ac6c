//! SHOW HELP: the commands there are. A notice instead of rows, as in PgBouncer.

use pgweir_wire::encode::{self, ErrorFields};

/// What SHOW HELP says.
const COMMANDS: &str = "
\tSHOW HELP|CONFIG|DATABASES|POOLS|CLIENTS|SERVERS|USERS|VERSION
\tSHOW PEERS|PEER_POOLS
\tSHOW FDS|SOCKETS|ACTIVE_SOCKETS|LISTS|MEM|STATE
\tSHOW DNS_HOSTS|DNS_ZONES
\tSHOW HOSTS|ROUTES
\tEXPLAIN ROUTE <statement>
\tSHOW STATS|STATS_TOTALS|STATS_AVERAGES|TOTALS
\tSET key = arg
\tRELOAD
\tPAUSE [<db>]
\tRESUME [<db>]
\tSWITCHOVER <db> [TO <host>]
\tDISABLE <db>
\tENABLE <db>
\tRECONNECT [<db>]
\tKILL [<db>]
\tKILL_CLIENT <client_id>
\tSUSPEND
\tSHUTDOWN
\tSHUTDOWN WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS
\tWAIT_CLOSE [<db>]";

/// Writes it.
pub(crate) fn notice(out: &mut Vec<u8>) {
    encode::notice_once(&notice_fields("Console usage", Some(COMMANDS)), out);
}

/// The fields of a notice of the console.
pub(crate) fn notice_fields<'a>(message: &'a str, detail: Option<&'a str>) -> ErrorFields<'a> {
    ErrorFields {
        severity: "NOTICE",
        sqlstate: "00000",
        message,
        detail,
        hint: None,
    }
}
