//! A console connection: questions are answered from a snapshot, commands are performed here.

mod hosts;
mod switchover;

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use pgweir_admin::{Asked, Command, Error, FRAME_LEN_MAX, Notice, Role, Step};
use pgweir_pool::WorkerId;
use pgweir_session::Counts;
use pgweir_wire::{HEADER_LEN, header};
use tokio::sync::oneshot;

use crate::client::{ClientShared, ClientState};
use crate::mail::{Answer, Kill, Mail, Order, Shutdown, Whom};
use crate::shared::Shared;
use crate::stream::Stream;
use crate::worker::Worker;

/// How often a command that waits looks whether it is done.
const LOOK: Duration = Duration::from_millis(20);
/// How long an answer may wait for a client that does not read.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A client that has logged in to the console.
pub struct Console {
    worker: Rc<Worker>,
    client: Rc<ClientShared>,
    stream: Stream,
    /// Bytes that are no whole frame yet.
    held: Vec<u8>,
    session: pgweir_admin::Console,
    _presence: Presence,
}

impl Console {
    /// `held` is what the client sent behind its last login message.
    pub fn new(
        worker: Rc<Worker>,
        client: Rc<ClientShared>,
        stream: Stream,
        held: Vec<u8>,
        role: Role,
    ) -> Self {
        Self {
            _presence: Presence::new(&worker.shared),
            worker,
            client,
            stream,
            held,
            session: pgweir_admin::Console::new(role),
        }
    }

    /// Serves the client until it leaves; says why it left.
    pub async fn run(mut self) -> &'static str {
        self.client.enter(ClientState::Idle, Instant::now());
        loop {
            let head = match header(&self.held, FRAME_LEN_MAX) {
                Ok(Some(head)) if self.held.len() as u64 >= head.frame_len() => head,
                Ok(_) => {
                    tokio::select! {
                        read = self.stream.read_some(&mut self.held, 4096) => match read {
                            Ok(()) => continue,
                            Err(_) => return "client unexpected eof",
                        },
                        () = killed(&self.client) => return "admin forced disconnect",
                    }
                }
                Err(_) => return "bad packet",
            };
            if self.client.kill.get().is_some() {
                return "admin forced disconnect";
            }
            let frame: Vec<u8> = self.held.drain(..head.frame_len() as usize).collect();
            let mut out = Vec::new();
            let step = self
                .session
                .handle_frame(head.tag, &frame[HEADER_LEN..], &mut out);
            let closing = match step {
                Step::Next => false,
                Step::Close => true,
                Step::Show(asked) => {
                    self.count();
                    let shared = &self.worker.shared;
                    let mut snapshot =
                        crate::view::snapshot(shared, asked.question().needs()).await;
                    if let Some(text) = asked.text() {
                        snapshot.explained = crate::view::explained(shared, text);
                    }
                    self.session.show(asked, &snapshot, &mut out);
                    false
                }
                Step::Perform(asked) => {
                    self.count();
                    self.perform(asked, &mut out).await
                }
            };
            match tokio::time::timeout(ANSWER_TIMEOUT, self.stream.write_all(&out)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return "client unexpected eof",
                Err(_) => return "client does not read",
            }
            if closing {
                return "client close request";
            }
        }
    }

    /// As in PgBouncer, what the console is asked counts for its own database.
    fn count(&self) {
        let counts = Counts {
            queries: 1,
            transactions: 1,
            ..Counts::default()
        };
        crate::view::console_stats(&self.worker.shared, self.worker.id)
            .query_done(&counts, Duration::ZERO);
    }

    /// Performs a command; says whether the connection ends with it.
    async fn perform(&mut self, asked: Asked<Command>, out: &mut Vec<u8>) -> bool {
        let command = asked.question().clone();
        crate::report::command(&self.client, &command);
        if command == Command::Shutdown(pgweir_admin::Shutdown::Now) {
            // There is no answer: everything just ends.
            let _ = self
                .worker
                .shared
                .orders
                .send(Order::Shutdown(Shutdown::Now));
            return true;
        }
        let outcome = self.carry_out(command).await;
        self.session.performed(asked, outcome, out);
        false
    }

    async fn carry_out(&mut self, command: Command) -> Result<Vec<Notice>, Error> {
        match command {
            Command::Reload => {
                let (reply, wait) = oneshot::channel();
                let failed = |detail| Error::ReloadFailed {
                    detail: Some(detail),
                };
                self.order(Order::Reload(reply), wait).await.map_err(failed)
            }
            Command::Set { key, value } => {
                let (reply, wait) = oneshot::channel();
                let failed = |detail| Error::SetFailed {
                    detail: Some(detail),
                };
                let order = Order::Set { key, value, reply };
                self.order(order, wait).await.map_err(failed)
            }
            command => self.control(command).await.map(|()| Vec::new()),
        }
    }

    /// Commands that have nothing to say.
    async fn control(&mut self, command: Command) -> Result<(), Error> {
        let shared = Arc::clone(&self.worker.shared);
        match command {
            Command::Pause(Some(name)) if let Some(places) = self.host(&name) => {
                self.pause_host(&name, &places).await
            }
            Command::Resume(Some(name)) if let Some(places) = self.host(&name) => {
                self.resume_host(&name, &places)
            }
            Command::Switchover { database, to } => {
                self.switch_over(&database, to.as_deref()).await
            }
            Command::Pause(database) => {
                self.pause(database.as_deref())?;
                self.until_quiescent(database.as_deref()).await
            }
            Command::Suspend => self.suspend().await,
            Command::Resume(database) => self.resume(database.as_deref()),
            Command::Disable(database) => {
                self.known(Some(&database))?;
                shared.pools.lock().disable(&database);
                Ok(())
            }
            Command::Enable(database) => {
                self.known(Some(&database))?;
                shared.pools.lock().enable(&database);
                Ok(())
            }
            Command::Reconnect(database) => {
                self.known(database.as_deref())?;
                crate::reload::reconnect(&shared, database.as_deref());
                Ok(())
            }
            Command::Kill(database) => {
                self.pause(database.as_deref())?;
                let whom = Whom::Database(database.as_deref().map(Arc::from));
                self.kill(&whom, Kill::DatabaseRemoved).await;
                self.until_quiescent(database.as_deref()).await
            }
            Command::KillClient(id) => match self.kill(&Whom::Id(id), Kill::Admin).await {
                0 => Err(Error::NoClient),
                _ => Ok(()),
            },
            Command::WaitClose(database) => {
                self.known(database.as_deref())?;
                self.until(|pools| pools.refreshed(database.as_deref()))
                    .await
            }
            Command::Shutdown(how) => {
                let how = match how {
                    pgweir_admin::Shutdown::Now => Shutdown::Now,
                    pgweir_admin::Shutdown::WaitForServers => Shutdown::WaitForServers,
                    pgweir_admin::Shutdown::WaitForClients => Shutdown::WaitForClients,
                };
                // The main thread is there as long as the process is.
                let _ = shared.orders.send(Order::Shutdown(how));
                Ok(())
            }
            // Answered without asking, or not here.
            Command::Show(_)
            | Command::ExplainRoute(_)
            | Command::FakeSet
            | Command::Reload
            | Command::Set { .. } => Ok(()),
        }
    }

    async fn order(&self, order: Order, wait: oneshot::Receiver<Answer>) -> Answer {
        let gone = || "the pooler is going down".to_owned();
        self.worker.shared.orders.send(order).map_err(|_| gone())?;
        wait.await.map_err(|_| gone())?
    }

    fn known(&self, database: Option<&str>) -> Result<(), Error> {
        match database {
            Some(name) if self.worker.shared.config.load().database(name).is_none() => {
                Err(Error::NoSuchDatabase(name.to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn pause(&self, database: Option<&str>) -> Result<(), Error> {
        self.known(database)?;
        let shared = &self.worker.shared;
        if shared.suspension.is_in_force() || shared.pools.lock().is_paused(None) {
            return Err(Error::AlreadyPaused);
        }
        self.worker
            .pools(|pools| pools.pause(database, Instant::now()));
        Ok(())
    }

    async fn suspend(&mut self) -> Result<(), Error> {
        let shared = Arc::clone(&self.worker.shared);
        {
            let pools = shared.pools.lock();
            if pools.is_paused(None) {
                return Err(Error::AlreadyPaused);
            }
            if pools.is_any_paused() {
                return Err(Error::PausedDatabases);
            }
        }
        if !shared.suspend(true) {
            return Err(Error::AlreadyPaused);
        }
        let began = Instant::now();
        self.client.enter(ClientState::Waiting, began);
        let outcome = loop {
            let is_over = began.elapsed() > shared.config.load().settings.suspend_timeout;
            if self.unsent(is_over).await == 0 {
                break Ok(());
            }
            if self.client.is_cancelled() {
                shared.suspend(false);
                break Err(Error::Canceled);
            }
            if !shared.suspension.is_in_force() {
                // By somebody else.
                break Err(Error::NotPaused);
            }
            if self.client.kill.get().is_some() || self.has_left() {
                break Err(Error::ShuttingDown);
            }
            tokio::time::sleep(LOOK).await;
        };
        self.client.enter(ClientState::Idle, Instant::now());
        outcome
    }

    /// How many clients have bytes on their way; they are disconnected if it is over.
    async fn unsent(&self, is_over: bool) -> usize {
        let shared = &self.worker.shared;
        let mut unsent = 0;
        for worker in 0..shared.workers() {
            let (reply, wait) = oneshot::channel();
            let mail = Mail::Unsent {
                drop: is_over,
                reply,
            };
            shared.mail(WorkerId(worker as u16), mail);
            unsent += wait.await.unwrap_or(0);
        }
        unsent
    }

    fn resume(&self, database: Option<&str>) -> Result<(), Error> {
        self.known(database)?;
        if database.is_none() && self.worker.shared.suspend(false) {
            return Ok(());
        }
        let (paused, any) = {
            let pools = self.worker.shared.pools.lock();
            (pools.is_paused(database), pools.is_any_paused())
        };
        match database {
            Some(name) if !paused => return Err(Error::DatabaseNotPaused(name.to_owned())),
            None if !any => return Err(Error::NotPaused),
            _ => {}
        }
        self.worker
            .pools(|pools| pools.resume(database, Instant::now()));
        Ok(())
    }

    async fn kill(&self, whom: &Whom, why: Kill) -> usize {
        let shared = &self.worker.shared;
        let mut killed = 0;
        for worker in 0..shared.workers() {
            let (reply, wait) = oneshot::channel();
            shared.mail(
                WorkerId(worker as u16),
                Mail::Kill {
                    whom: whom.clone(),
                    why,
                    reply,
                },
            );
            killed += wait.await.unwrap_or(0);
        }
        killed
    }

    /// Waits until the pools are as they should be. Ends early when the client cancels, or is gone.
    async fn until(
        &mut self,
        mut done: impl FnMut(&pgweir_pool::Pools) -> bool,
    ) -> Result<(), Error> {
        self.client.enter(ClientState::Waiting, Instant::now());
        let outcome = loop {
            if done(&self.worker.shared.pools.lock()) {
                break Ok(());
            }
            if self.client.kill.get().is_some() || self.has_left() {
                break Err(Error::ShuttingDown);
            }
            if self.client.is_cancelled() {
                break Err(Error::Canceled);
            }
            tokio::time::sleep(LOOK).await;
        };
        self.client.enter(ClientState::Idle, Instant::now());
        outcome
    }

    /// Waits until nothing of a database is in use; a client that does not want to wait any longer
    /// has it resumed.
    async fn until_quiescent(&mut self, database: Option<&str>) -> Result<(), Error> {
        let mut resumed = false;
        let outcome = self
            .until(|pools| {
                resumed = !pools.is_paused(database);
                resumed || pools.quiescent(database)
            })
            .await;
        if resumed {
            // By somebody else.
            return Err(match database {
                Some(name) => Error::DatabaseNotPaused(name.to_owned()),
                None => Error::NotPaused,
            });
        }
        if outcome == Err(Error::Canceled) {
            self.worker
                .pools(|pools| pools.resume(database, Instant::now()));
        }
        outcome
    }

    /// Whether the client has closed. What it asks next, while its command waits, is kept.
    fn has_left(&mut self) -> bool {
        let mut chunk = [0; 1024];
        if self.held.len() >= chunk.len() {
            return false;
        }
        // The command looks again soon, so nobody need be woken.
        let mut cx = Context::from_waker(Waker::noop());
        match self.stream.poll_read(&mut cx, &mut chunk) {
            Poll::Pending => false,
            Poll::Ready(Ok(0) | Err(_)) => true,
            Poll::Ready(Ok(len)) => {
                self.held.extend_from_slice(&chunk[..len]);
                false
            }
        }
    }
}

/// That a console connection is there.
struct Presence(Arc<Shared>);

impl Presence {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.suspension.enter();
        Self(Arc::clone(shared))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if self.0.suspension.leave() && self.0.suspend(false) {
            tracing::info!("the last console connection is gone, continuing from SUSPEND");
        }
    }
}

/// Waits until somebody wants the client to be gone.
async fn killed(client: &ClientShared) {
    std::future::poll_fn(|cx| {
        client.register(cx);
        match client.kill.get() {
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
        }
    })
    .await;
}
