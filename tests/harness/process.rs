//! Processes that end with us.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use std::os::unix::process::CommandExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};

/// A program that is about to start.
#[derive(Debug)]
pub struct Starting {
    command: Command,
    log: PathBuf,
    /// The namespace of the network that it is to be in, as a file.
    network: Option<String>,
}

impl Starting {
    /// A program that gets `end` when this process ends; its output goes to `log`.
    ///
    /// `setpriv` asks the kernel for that signal, and then becomes the program.
    pub fn new(program: impl AsRef<OsStr>, end: &str, log: &Path) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", end]);
        Self::then(command, program, log)
    }

    /// The same under the user that PostgreSQL runs under, which is never root.
    pub fn unprivileged(program: impl AsRef<OsStr>, end: &str, log: &Path) -> Self {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", end])
            .args(become_unprivileged());
        Self::then(command, program, log)
    }

    fn then(mut command: Command, program: impl AsRef<OsStr>, log: &Path) -> Self {
        // Whoever runs the tests in the background may have them, and so what they start, ignore
        // SIGINT and SIGQUIT.
        without_libpq_variables(&mut command)
            .args(["--", "env", "--default-signal"])
            .arg(program);
        Self {
            command,
            log: log.to_owned(),
            network: own_network(),
        }
    }

    /// In another namespace of the network than the thread that starts it.
    #[must_use]
    pub fn within(mut self, namespace: &str) -> Self {
        self.network = Some(namespace.to_owned());
        self
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// One more variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// If that is not possible.
    pub fn start(self) -> Process {
        let Self {
            mut command,
            log,
            network,
        } = self;
        if let Some(network) = network {
            let mut inside = Command::new("nsenter");
            inside.arg(format!("--net={network}"));
            inside.arg(command.get_program()).args(command.get_args());
            for (name, value) in command.get_envs() {
                match value {
                    Some(value) => inside.env(name, value),
                    None => inside.env_remove(name),
                };
            }
            command = inside;
        }
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("the log is in a room of ours");
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("there are free file descriptors"))
            .stderr(file)
            .current_dir("/")
            // Ctrl-C is for the tests; what they started learns of their end from the kernel.
            .process_group(0);
        let child =
            spawn(command).unwrap_or_else(|error| panic!("setpriv (package util-linux): {error}"));
        Process { child, log }
    }
}

/// The namespace of the network that this thread is in, if it is not that of the process: then what it starts
/// is to be in it too, whichever thread does the starting.
fn own_network() -> Option<String> {
    let (process, thread) = (std::process::id(), nix::unistd::gettid());
    let own = format!("/proc/{process}/task/{thread}/ns/net");
    let of = |file: &str| fs::read_link(file).ok();
    (of(&own) != of("/proc/self/ns/net")).then_some(own)
}

/// The arguments of `setpriv` that give up root; none if this is not root.
pub(crate) fn become_unprivileged() -> Vec<String> {
    match unprivileged() {
        Some(user) => {
            vec![
                format!("--reuid={}", user.uid),
                format!("--regid={}", user.gid),
                "--clear-groups".to_owned(),
            ]
        }
        None => Vec::new(),
    }
}

/// Whom PostgreSQL runs as. None: as ourselves, for we are not root.
///
/// # Panics
/// If the system has no user `nobody`.
pub fn unprivileged() -> Option<User> {
    if !Uid::effective().is_root() {
        return None;
    }
    let user = |name| User::from_name(name).ok().flatten();
    Some(
        user("postgres")
            .or_else(|| user("nobody"))
            .expect("every system has a user nobody"),
    )
}

/// libpq's variables would change what clients and servers do.
pub(crate) fn without_libpq_variables(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC")
}

/// The kernel's promise holds for the *thread* that started a process, so one thread that stays
/// starts them all.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                for (mut command, reply) in inbox {
                    // Whoever asked waits for the answer, so it is there.
                    let _ = reply.send(command.spawn());
                }
            })
            .expect("a thread can be started");
        Mutex::new(orders)
    });
    let (reply, answer) = channel();
    spawner
        .lock()
        .expect("nobody panics while holding it")
        .send((command, reply))
        .expect("the spawner waits for orders for ever");
    answer.recv().expect("the spawner answers every order")
}

/// A running program, which is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Its process ID. It is ours until [`wait`](Self::wait) has returned.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it has ended already and was waited for.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).expect("process IDs are small");
        kill(Pid::from_raw(id), signal)
            .unwrap_or_else(|error| panic!("{signal} for {id}: {error}"));
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it has not ended within `longest`.
    pub fn wait(&mut self, longest: Duration) -> ExitStatus {
        let deadline = Instant::now() + longest;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "process {} still runs after {longest:?}\n{}",
                self.id(),
                self.log()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it, with nothing left to say.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// A line of `/proc/PID/status` with an amount, such as `VmHWM`, in bytes.
    ///
    /// # Panics
    /// If there is no such line.
    pub fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .expect("a known name");
        line.trim()
            .trim_end_matches(" kB")
            .parse::<u64>()
            .expect("a number")
            * 1024
    }

    /// Processor time it has used, its children's not counted.
    ///
    /// # Panics
    /// If it has ended.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("it runs");
        let (_, after_name) = stat.rsplit_once(')').expect("the name is in parentheses");
        let ticks: u64 = after_name
            .split_ascii_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().expect("a number"))
            .sum();
        // A tick is a hundredth of a second on every Linux.
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
