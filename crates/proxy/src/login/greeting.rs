//! What the pooler itself has to say to a client that has logged in.

use pgweir_session::Mode;
use pgweir_wire::encode;

use crate::report;
use crate::worker::Worker;

/// Who pools, and how, if clients are told (`report_pooler`).
pub(super) fn parameters(worker: &Worker, mode: Mode, out: &mut Vec<u8>) {
    let config = worker.shared.config.load();
    if !config.settings.report_pooler {
        return;
    }
    let mode = match mode {
        Mode::Session => "session",
        Mode::Transaction => "transaction",
        Mode::Statement => "statement",
    };
    let prepared = config.settings.max_prepared_statements.to_string();
    for (name, value) in [
        ("pgbouncer.version", pgweir_admin::PGBOUNCER_VERSION),
        ("pgbouncer.pool_mode", mode),
        ("pgbouncer.max_prepared_statements", &prepared),
    ] {
        encode::parameter_status(name.as_bytes(), value.as_bytes(), out);
    }
}

/// `login_notify_message`, if there is one.
pub(super) fn message(worker: &Worker, out: &mut Vec<u8>) {
    let message = &worker.shared.config.load().settings.login_notify_message;
    if !message.is_empty() {
        report::notice(message, out);
    }
}
