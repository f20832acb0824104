//! Child processes: on their core, and gone when the benchmark is.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(2);

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Turns SIGINT and SIGTERM into an error at the next [`check_interrupt`], so that every guard gets to clean up.
pub(crate) fn catch_signals() -> Result<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    Ok(())
}

pub(crate) fn check_interrupt() -> Result<()> {
    if INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
        bail!("interrupted");
    }
    Ok(())
}

/// Where servers and the load generator run.
#[derive(Clone, Copy)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) load: usize,
}

impl Cores {
    /// The first two cores this process may use; one for both if there is only one.
    pub(crate) fn choose() -> Result<Self> {
        let allowed = rustix::thread::sched_getaffinity(None).context("asking which cores may be used")?;
        let mut cores = (0..rustix::thread::CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        let server = cores.next().context("no core may be used")?;
        Ok(Self { server, load: cores.next().unwrap_or(server) })
    }

    pub(crate) fn shared(self) -> bool {
        self.server == self.load
    }
}

/// Thousands of connections need as many descriptors, here and in every child, which inherits the limit.
pub(crate) fn raise_open_files(wanted: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let enough = |value: Option<u64>| value.is_none_or(|value| value >= wanted);
    if enough(limit.current) {
        return Ok(());
    }
    if !enough(limit.maximum)
        && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: Some(wanted) }).is_ok()
    {
        return Ok(());
    }
    if !enough(limit.maximum) {
        eprintln!("no more than {:?} files may be open, {wanted} are wanted: expect errors", limit.maximum);
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .with_context(|| format!("raising the limit of open files to {:?}", limit.maximum))
}

/// The file that `name` stands for in PATH.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps nginx and haproxy in sbin, which a user's PATH leaves out.
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A command that will run on one core, and gets SIGTERM should this process be killed.
pub(crate) fn on_core(core: usize, program: &Path) -> Result<Command> {
    on_cores(&[core], program)
}

/// A command that will run on these cores, and gets SIGTERM should this process be killed.
///
/// Both are done by programs that set themselves up and then become the command, so the process id is the
/// server's own, and its first instruction already runs on the right core.
pub(crate) fn on_cores(cores: &[usize], program: &Path) -> Result<Command> {
    let mut words: Vec<OsString> = Vec::new();
    if let Some(setpriv) = find_program("setpriv") {
        words.extend([setpriv.into(), "--pdeathsig".into(), "TERM".into()]);
    }
    let taskset = find_program("taskset").context("taskset (package util-linux) is not installed")?;
    let cores: Vec<String> = cores.iter().map(usize::to_string).collect();
    words.extend([taskset.into(), "-c".into(), cores.join(",").into(), program.into()]);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    Ok(command)
}

/// A running server. Dropping it ends it, by id, and waits until it is gone.
pub(crate) struct Running {
    child: Child,
    /// Other processes of the server, which go with `child` unless that has to be killed.
    others: Vec<Pid>,
    output: PathBuf,
}

impl Running {
    /// Starts `command` with what it prints going to the file `output`.
    pub(crate) fn start(mut command: Command, output: &Path) -> Result<Self> {
        let file = File::create(output).with_context(|| format!("creating {}", output.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        Ok(Self { child, others: Vec::new(), output: output.to_owned() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn adopt(&mut self, pid: u32) {
        self.others.extend(Pid::from_raw(pid as i32));
    }

    /// An error with what it printed last, if it has ended.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("ended with {status}; {}", self.last_words());
        }
        Ok(())
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        match wait_until(&mut self.child, limit)? {
            Some(status) => Ok(status),
            None => bail!("did not end within {limit:?}; {}", self.last_words()),
        }
    }

    /// All that it has printed so far.
    pub(crate) fn printed(&self) -> Result<String> {
        fs::read_to_string(&self.output).with_context(|| format!("reading {}", self.output.display()))
    }

    pub(crate) fn last_words(&self) -> String {
        let text = fs::read(&self.output).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        match lines.len() {
            0 => "it printed nothing".to_owned(),
            count => format!("its last words: {}", lines[count.saturating_sub(4)..].join(" | ")),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Ok(None) = self.child.try_wait() else { return };
        // Not yet waited for, so the id is still this child's.
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(pid, Signal::TERM);
        }
        if let Ok(Some(_)) = wait_until(&mut self.child, GRACE) {
            return;
        }
        // The others are looked after by the child as long as it lives, so their ids hold until now.
        for &pid in &self.others {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_until(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}
