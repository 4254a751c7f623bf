//! A worker process: messages, a watch over its silence, its last words, and its end.

use super::protocol::{HEADER, Kind, header, parse_header};
use rl_core::{Error, Result};
#[cfg(unix)]
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The bytes that a pipe holds, and the most that Linux grants everybody.
#[cfg(target_os = "linux")]
const PIPE: [usize; 2] = [1 << 16, 1 << 20];
/// How long a worker may take to close its environments before it is killed.
const GRACE: Duration = Duration::from_secs(2);
/// The longest message of an error.
const MAX_ERROR: usize = 1 << 20;
/// What is kept of a worker's standard error, in bytes, and how much of it an error shows, in lines.
const LAST_WORDS: usize = 8192;
const LAST_LINES: usize = 20;

/// A running worker. Dropping it ends the process, which never outlives it.
pub(super) struct Worker {
    /// What it runs, for errors.
    name: String,
    timeout: Duration,
    process: Arc<Process>,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// Closed once the process has closed its standard error.
    stderr_ended: Receiver<()>,
    /// Dropped to end the watch.
    _watch: Sender<()>,
    command: Vec<u8>,
    reply: Vec<u8>,
    /// Why it is of no use any more.
    lost: Option<String>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("name", &self.name)
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}

/// A process, and whether it was waited for: its number may then be another's.
#[derive(Debug)]
struct Waited {
    child: Child,
    over: bool,
}

/// What the threads of a worker share.
#[derive(Debug)]
struct Process {
    child: Mutex<Waited>,
    /// Counts commands and replies: odd while a reply is awaited.
    messages: AtomicU64,
    /// The steps that the last command asks of an environment: each may take as long as a message.
    steps: AtomicU32,
    timed_out: AtomicBool,
    last_words: Mutex<VecDeque<u8>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    /// Kills it with all that it has started, which may hold its pipes open. Nothing once it was waited for.
    fn kill(&self) {
        let Waited { child, over } = &mut *lock(&self.child);
        if *over {
            return;
        }
        // It may have ended by itself, which is as well.
        #[cfg(unix)]
        let _ = rustix::process::kill_process_group(Pid::from_child(child), Signal::KILL);
        let _ = child.kill();
    }

    /// Waits until it has ended.
    fn wait(&self) -> std::io::Result<ExitStatus> {
        let Waited { child, over } = &mut *lock(&self.child);
        *over = true;
        child.wait()
    }

    /// Whether it has ended. Its number stays its own until it is waited for.
    fn has_ended(&self) -> bool {
        let Waited { child, over } = &mut *lock(&self.child);
        #[cfg(unix)]
        let ended = || {
            let (of, how) = (WaitId::Pid(Pid::from_child(child)), WaitIdOptions::EXITED);
            let status = waitid(of, how | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT);
            status.is_ok_and(|status| status.is_some())
        };
        #[cfg(not(unix))]
        let ended = || matches!(child.try_wait(), Ok(Some(_)));
        *over || ended()
    }

    /// Keeps the end of what the process writes to its standard error, until it closes it.
    fn listen(&self, mut stderr: ChildStderr) {
        let mut bytes = [0; 1024];
        while let Ok(n @ 1..) = stderr.read(&mut bytes) {
            let mut kept = lock(&self.last_words);
            kept.extend(&bytes[..n]);
            let excess = kept.len().saturating_sub(LAST_WORDS);
            kept.drain(..excess);
        }
    }

    /// Kills the process if a reply takes longer than `timeout`, and what it has left behind if it has ended: a process of
    /// its own may hold the pipe that a reply is awaited from. A step only counts its messages, so it pays nothing for this;
    /// the price is that a kill may come late by a few ticks.
    fn watch(&self, timeout: Duration, stop: &Receiver<()>) {
        let tick = (timeout / 8).clamp(Duration::from_millis(10), Duration::from_secs(1));
        let mut seen = (0, Instant::now());
        while stop.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
            let messages = self.messages.load(Ordering::Relaxed);
            if messages != seen.0 {
                seen = (messages, Instant::now());
            } else if messages % 2 == 1 {
                let steps = self.steps.load(Ordering::Relaxed);
                let silent = seen.1.elapsed() >= timeout.saturating_mul(steps);
                if silent || self.has_ended() {
                    self.timed_out.store(silent, Ordering::Release);
                    self.kill();
                    return;
                }
            }
        }
    }
}

impl Worker {
    /// Starts `command`; `name` says in errors what it runs.
    ///
    /// # Errors
    /// [`Error::Env`] if it cannot be started.
    pub(super) fn spawn(mut command: Command, name: &str, timeout: Duration) -> Result<Self> {
        let failed = |what: String| Error::Env(format!("{name}: cannot start {what}"));
        let program = command.get_program().display().to_string();
        // A group of its own, to be killed with all that it starts.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().map_err(|e| failed(format!("Python, '{program}': {e}")))?;
        let taken = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = taken else {
            return Err(failed(format!("'{program}' with pipes")));
        };
        let process = Arc::new(Process {
            child: Mutex::new(Waited { child, over: false }),
            messages: AtomicU64::new(0),
            steps: AtomicU32::new(1),
            timed_out: AtomicBool::new(false),
            last_words: Mutex::default(),
        });
        let ((ended, stderr_ended), (watch, stop)) = (channel(), channel());
        let worker = Worker {
            name: name.to_owned(),
            timeout,
            process: Arc::clone(&process),
            stdin: Some(stdin),
            stdout,
            stderr_ended,
            _watch: watch,
            command: Vec::new(),
            reply: vec![0; 4096],
            lost: None,
        };
        // The threads end by themselves: with the process, and with the worker.
        let listener = Arc::clone(&process);
        let threads = std::thread::Builder::new().name("gym stderr".to_owned()).spawn(move || {
            listener.listen(stderr);
            drop::<Sender<()>>(ended);
        });
        let threads = threads.and_then(|_| {
            std::thread::Builder::new()
                .name("gym watch".to_owned())
                .spawn(move || process.watch(timeout, &stop))
        });
        threads.map_err(|e| failed(format!("a thread: {e}")))?;
        Ok(worker)
    }

    /// Writes what the process reads before its first command, watched like a message: a small pipe is full before all is
    /// read. A process that has ended says so where a reply is awaited.
    pub(super) fn hand_over(&mut self, bytes: &[u8]) {
        self.process.messages.fetch_add(1, Ordering::Relaxed);
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(bytes);
        }
        self.process.messages.fetch_add(1, Ordering::Relaxed);
    }

    /// Makes room for replies of so many bytes in their pipe, so that a picture comes in one piece. Where it is refused, as to a
    /// user with very many pipes, it comes in several.
    pub(super) fn make_room(&self, bytes: usize) {
        #[cfg(target_os = "linux")]
        if bytes > PIPE[0] {
            let size = bytes.min(PIPE[1]).next_power_of_two();
            let _ = rustix::pipe::fcntl_setpipe_size(&self.stdout, size);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = bytes;
    }

    /// Sends a command whose payload `fill` appends to the buffer.
    ///
    /// # Errors
    /// [`Error::Env`] if the worker has ended.
    pub(super) fn send(&mut self, kind: Kind, fill: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        self.send_steps(1, kind, fill)
    }

    /// Like [`send`](Worker::send), a command of several steps.
    pub(super) fn send_steps(
        &mut self,
        steps: u32,
        kind: Kind,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<()> {
        if let Some(lost) = &self.lost {
            return Err(Error::Env(lost.clone()));
        }
        self.command.clear();
        self.command.extend(header(kind, 0));
        fill(&mut self.command);
        let Ok(length) = u32::try_from(self.command.len() - HEADER) else {
            return Err(Error::Env(format!("{}: a command of more than 4 GiB", self.name)));
        };
        self.command[..HEADER].copy_from_slice(&header(kind, length));
        self.process.steps.store(steps, Ordering::Relaxed);
        self.process.messages.fetch_add(1, Ordering::Relaxed);
        let written = match &mut self.stdin {
            Some(stdin) => stdin.write_all(&self.command),
            None => Err(ErrorKind::BrokenPipe.into()),
        };
        written.map_err(|_| self.ended())
    }

    /// Waits for the reply to the last command, of at most `max` bytes; returns its payload.
    ///
    /// # Errors
    /// [`Error::Env`] with the worker's message, or if it has ended, is silent for too long or sends something else.
    pub(super) fn receive(&mut self, kind: Kind, max: usize) -> Result<&[u8]> {
        if let Some(lost) = &self.lost {
            return Err(Error::Env(lost.clone()));
        }
        let (mut got, mut expected) = (0, None);
        loop {
            match self.stdout.read(&mut self.reply[got..]) {
                Ok(0) => return Err(self.ended()),
                Ok(n) => got += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Err(self.ended()),
            }
            if expected.is_none()
                && let Some((bytes, _)) = self.reply[..got].split_first_chunk()
            {
                let Some((length, is_error)) = parse_header(*bytes, kind) else {
                    return Err(self.babbled("something that is no reply of this protocol"));
                };
                let max = if is_error { MAX_ERROR } else { max };
                if length > max {
                    let problem = format!("a reply of {length} bytes, where {max} are the most");
                    return Err(self.babbled(&problem));
                }
                expected = Some((HEADER + length, is_error));
            }
            match expected {
                Some((length, _)) if got > length => {
                    return Err(self.babbled("more than its reply"));
                }
                Some((length, is_error)) if got == length => {
                    self.process.messages.fetch_add(1, Ordering::Relaxed);
                    let payload = &self.reply[HEADER..length];
                    if !is_error {
                        return Ok(payload);
                    }
                    let message = String::from_utf8_lossy(payload);
                    return Err(Error::Env(format!("{}: {message}", self.name)));
                }
                // Grown with what has come, not with what was announced.
                Some((length, _)) if got == self.reply.len() => {
                    self.reply.resize(length.min(2 * got), 0);
                }
                _ => {}
            }
        }
    }

    /// A reply that does not have the form that was agreed on.
    pub(super) fn malformed(&mut self) -> Error {
        self.babbled("a reply of another form than was agreed on")
    }

    fn babbled(&mut self, what: &str) -> Error {
        self.process.kill();
        self.lose(format!("the worker sent {what}, and was stopped"))
    }

    /// Why a pipe was closed.
    fn ended(&mut self) -> Error {
        self.stdin = None;
        // What it wrote last may still be on its way.
        let _ = self.stderr_ended.recv_timeout(Duration::from_millis(500));
        if self.process.timed_out.load(Ordering::Acquire) {
            let steps = self.process.steps.load(Ordering::Relaxed);
            let seconds = self.timeout.saturating_mul(steps).as_secs_f64();
            return self.lose(format!("no reply within {seconds} s; the worker was stopped"));
        }
        self.process.kill();
        let status = self.process.wait();
        let status = status.map_or_else(|e| e.to_string(), |status| status.to_string());
        self.lose(format!("the worker has ended, {status}"))
    }

    fn lose(&mut self, why: String) -> Error {
        let kept: Vec<u8> = lock(&self.process.last_words).iter().copied().collect();
        let text = String::from_utf8_lossy(&kept);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let lines = &lines[lines.len().saturating_sub(LAST_LINES)..];
        let mut message = format!("{}: {why}", self.name);
        if !lines.is_empty() {
            message.push_str("; its last words:\n");
            message.push_str(&lines.join("\n"));
        }
        self.lost = Some(message.clone());
        Error::Env(message)
    }

    /// Asks the process to end, without waiting for it: several can then end at the same time.
    pub(super) fn dismiss(&mut self) {
        self.stdin = None;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.dismiss();
        // The process closes its standard error as it ends.
        let _ = self.stderr_ended.recv_timeout(GRACE);
        self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(all(test, unix))]
mod tests;
