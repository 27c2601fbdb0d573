//! The release binary as a child process: its folder and settings, starting, ending, and what it costs.

use std::{
    fs::{self, File, OpenOptions},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{wire::Line, workspace};

/// How long a started product may take to answer, and an ended one to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// Scheduler ticks a second in `/proc`, fixed by the kernel's interface on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Builds the release binary and says where it is.
pub(crate) fn build() -> Result<PathBuf> {
    println!("building the release binary");
    workspace::run(workspace::cargo().args([
        "build",
        "--release",
        "--package",
        "angarium-server",
        "--bin",
        "angarium",
    ]))?;
    let binary = workspace::target_folder("release")?.join("angarium");
    ensure!(binary.exists(), "the build left no {}", binary.display());
    Ok(binary)
}

/// One installed Angarium: a folder with settings and a store, which outlives its processes.
#[derive(Debug)]
pub(crate) struct Installation {
    binary: PathBuf,
    folder: TempDir,
    address: SocketAddr,
    variables: Vec<(&'static str, String)>,
}

/// The secret that test tokens are signed with.
pub(crate) const JWT_SECRET: &str = "a secret of tests alone, 32 bytes or more of it";

impl Installation {
    /// A fresh folder under `target/`, with a port of its own.
    ///
    /// Waits between attempts are shortened to `retry_waits_percent`, so that a trial ends today.
    pub(crate) fn new(binary: &Path, retry_waits_percent: u32) -> Result<Installation> {
        let folder =
            tempfile::Builder::new().prefix("run-").tempdir_in(workspace::target_folder("trials")?)?;
        let address = free_address()?;
        let installation = Installation { binary: binary.to_owned(), folder, address, variables: Vec::new() };
        fs::write(
            installation.settings_file(),
            settings(address, folder_text(&installation), retry_waits_percent),
        )?;
        Ok(installation)
    }

    /// Lets mails become files, and says in which folder.
    pub(crate) fn with_mail_folder(&self) -> Result<PathBuf> {
        use std::io::Write;
        let folder = self.folder().join("mails");
        let mut file = OpenOptions::new().append(true).open(self.settings_file())?;
        write!(
            file,
            "\n[email]\ntransport = \"folder\"\nfolder = \"{}\"\nfrom = \"events@example.com\"\n",
            folder.display()
        )?;
        Ok(folder)
    }

    /// Sets variables of the environment, which go over the file.
    pub(crate) fn set(&mut self, variables: impl IntoIterator<Item = (&'static str, String)>) {
        self.variables.extend(variables);
    }

    /// Where the API listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder with the store.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the folder where it is, for whoever wants to know what happened.
    pub(crate) fn keep(&mut self) -> &Path {
        self.folder.disable_cleanup(true);
        self.folder.path()
    }

    /// Starts a process; `crash_at` arms a crash point, such as `before-commit:2`.
    pub(crate) fn start(&self, crash_at: Option<&str>) -> Result<Running> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_file())?;
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg("--config").arg(self.settings_file());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).env_remove("ANGARIUM_CRASH_AT");
        command.envs(crash_at.map(|point| ("ANGARIUM_CRASH_AT", point)));
        command.envs(self.variables.clone());
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start {}", self.binary.display()))?;
        Ok(Running { child, started, address: self.address, log: self.log_file() })
    }

    /// Runs another command of the binary with this installation's settings, and returns what it prints.
    pub(crate) fn command(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.binary);
        command.args(words).arg("--config").arg(self.settings_file()).stdin(Stdio::null());
        command.envs(self.variables.clone());
        let output = command.output().with_context(|| format!("cannot start {}", self.binary.display()))?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`angarium {}` failed: {complaint}", words.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Removes the store, as a lost disk would; the keys stay.
    pub(crate) fn lose_store(&self) -> Result<()> {
        for ending in ["", "-wal", "-shm"] {
            match fs::remove_file(self.folder().join(format!("angarium.db{ending}"))) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// What the processes have logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn settings_file(&self) -> PathBuf {
        self.folder().join("angarium.toml")
    }

    fn log_file(&self) -> PathBuf {
        self.folder().join("angarium.log")
    }
}

/// A started process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    started: Instant,
    address: SocketAddr,
    log: PathBuf,
}

impl Running {
    /// Waits until the process answers, and says how long that took from its start.
    pub(crate) async fn ready(&mut self) -> Result<Duration> {
        let mut line = Line::to(self.address);
        while self.started.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended while starting: {status}\n{}", self.last_words());
            }
            let request =
                Request::get("/healthz").header("host", "angarium").body(Full::<Bytes>::default())?;
            if line.send(request).await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(self.started.elapsed());
            }
            sleep(Duration::from_millis(2)).await;
        }
        bail!("the server did not answer within {PATIENCE:?}\n{}", self.last_words())
    }

    /// When the process was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Ends the process without a word of warning.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks the process to stop.
    pub(crate) fn ask_to_stop(&self) -> Result<()> {
        workspace::run(Command::new("kill").args(["-TERM", &self.child.id().to_string()]))
    }

    /// Waits for the process to end by itself.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus> {
        self.ended_within(PATIENCE)
            .await?
            .ok_or_else(|| anyhow!("the server did not end within {PATIENCE:?}"))
    }

    /// How the process ended, if it did so in time.
    pub(crate) async fn ended_within(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            let status = self.child.try_wait()?;
            if status.is_some() || Instant::now() >= deadline {
                return Ok(status);
            }
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Processor time used so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds(&fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?)
    }

    /// Resident memory now, in MiB.
    pub(crate) fn resident_mib(&self) -> Result<f64> {
        resident_mib(&fs::read_to_string(format!("/proc/{}/status", self.child.id()))?)
    }

    /// The end of the log, for a failure's message.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A process that has ended already needs neither.
        self.child.kill().unwrap_or_default();
        self.child.wait().ok();
    }
}

/// Whether a process ended as a crash point ends it.
pub(crate) fn aborted(status: ExitStatus) -> bool {
    const SIGABRT: i32 = 6;
    status.signal() == Some(SIGABRT)
}

/// Appends of 4 KiB that the disk under `folder` makes durable in a second.
pub(crate) fn durable_appends_per_second(folder: &Path, time: Duration) -> Result<f64> {
    use std::io::Write;
    let mut file = File::create(folder.join("appends"))?;
    let block = [b'.'; 4096];
    let began = Instant::now();
    let mut appends = 0_u32;
    while began.elapsed() < time {
        file.write_all(&block)?;
        file.sync_data()?;
        appends += 1;
    }
    let rate = f64::from(appends) / began.elapsed().as_secs_f64();
    fs::remove_file(folder.join("appends"))?;
    Ok(rate)
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn folder_text(installation: &Installation) -> &str {
    installation.folder().to_str().expect("the target folder's path is text")
}

fn settings(address: SocketAddr, folder: &str, retry_waits_percent: u32) -> String {
    format!(
        "[listen]\naddress = \"{address}\"\npublic_url = \"http://{address}\"\n\n\
         [store]\npath = \"{folder}/angarium.db\"\n\n\
         [auth]\nhs256_secret = \"{JWT_SECRET}\"\n\n\
         [egress]\nallow = [\"127.0.0.0/8:*\"]\nallow_http = true\n\n\
         [delivery]\nretry_waits_percent = {retry_waits_percent}\n\n\
         [limits]\nreads_per_minute = 0\nwrites_per_minute = 0\nv1_per_hour = 0\n\
         refused_credentials_per_minute = 0\n\
         public_per_minute = 0\nreports_per_minute = 0\nsignals_per_minute = 0\n\n\
         [log]\nlevel = \"warn\"\n"
    )
}

/// User and system time in `/proc/<pid>/stat`: the 14th and 15th fields, counted after the
/// program's name, which may itself contain blanks and brackets.
fn cpu_seconds(stat: &str) -> Result<f64> {
    let (_, fields) = stat.rsplit_once(')').context("/proc/<pid>/stat names no program")?;
    let ticks: Vec<f64> =
        fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
    ensure!(ticks.len() == 2, "/proc/<pid>/stat has no processor times");
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

fn resident_mib(status: &str) -> Result<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("/proc/<pid>/status has no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_a_strange_program_name() {
        let stat = "4242 (an (odd) name) S 1 4242 4242 0 -1 4194560 900 0 1 0 150 50 0 0 20 0 5 0 1 2 3";
        assert!((cpu_seconds(stat).unwrap() - 2.0).abs() < 1e-9);
        cpu_seconds("4242 (cut) S 1").unwrap_err();
    }

    #[test]
    fn resident_memory_is_read_in_mib() {
        let status = "Name:\tangarium\nVmPeak:\t  90000 kB\nVmRSS:\t   20480 kB\n";
        assert!((resident_mib(status).unwrap() - 20.0).abs() < 1e-9);
        resident_mib("Name:\tzombie\n").unwrap_err();
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_told_apart_by_its_signal() {
        let ended_by = |signal: &str| {
            let script = format!("kill -{signal} $$");
            Command::new("sh").args(["-c", &script]).status().unwrap()
        };
        assert!(aborted(ended_by("ABRT")));
        assert!(!aborted(ended_by("KILL")));
    }

    #[tokio::test]
    async fn a_process_that_goes_on_is_waited_for_only_so_long_and_killed_when_dropped() {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let id = child.id();
        let address = free_address().unwrap();
        let mut running = Running { child, started: Instant::now(), address, log: PathBuf::new() };
        assert_eq!(running.ended_within(Duration::ZERO).await.unwrap(), None);
        drop(running);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }
}
