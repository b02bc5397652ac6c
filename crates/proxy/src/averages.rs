//! What happened per second, over each `stats_period`.

use std::time::{Duration, Instant};

use crate::shared::Shared;
use crate::stats::Totals;

/// At the end of each `stats_period`: new averages, and a line in the log.
pub fn roll_averages(shared: &Shared, now: Instant) {
    let (period, wanted) = {
        let settings = &shared.config.load().settings;
        (
            settings.stats_period.max(Duration::from_secs(1)),
            settings.log_stats,
        )
    };
    let elapsed = {
        let mut averaged = shared.averaged.lock();
        let elapsed = now.saturating_duration_since(*averaged);
        if elapsed < period {
            return;
        }
        *averaged = now;
        elapsed
    };
    let mut sum = Totals::default();
    for database in shared.stats.lock().values_mut() {
        sum = sum.plus(&database.roll(elapsed));
    }
    let mut overall = shared.overall.lock();
    overall.averages = sum.averages(&overall.before, elapsed);
    overall.before = sum;
    let rates = &overall.averages;
    let line = format!(
        "stats: {} xacts/s, {} queries/s, {} client parses/s, {} server parses/s, {} binds/s, \
         {} client logins/s, in {} B/s, out {} B/s, xact {} μs, query {} μs, wait {} μs",
        rates.transactions,
        rates.queries,
        rates.client_parses,
        rates.server_parses,
        rates.binds,
        rates.logins,
        rates.received,
        rates.sent,
        rates.transaction_us,
        rates.query_us,
        rates.wait_us
    );
    drop(overall);
    crate::systemd::status(&line);
    if wanted {
        tracing::info!("{line}");
    }
}
