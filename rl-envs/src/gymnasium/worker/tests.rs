//! Workers that misbehave, played by `sh`: what each comes to, and that no process is left.
#![allow(clippy::unwrap_used, clippy::panic)] // How a test fails.

use super::*;
use std::fs;
use std::os::unix::process::ExitStatusExt;

fn sh(script: &str, timeout: Duration) -> Worker {
    let mut command = Command::new("sh");
    command.arg("-c").arg(script);
    Worker::spawn(command, "Fake-v0", timeout).unwrap()
}

fn error(script: &str) -> String {
    let mut worker = sh(script, Duration::from_secs(60));
    let sent = worker.send(Kind::Start, |payload| payload.push(0));
    let received = worker.receive(Kind::Start, 100).map(drop);
    let error = received.unwrap_err().to_string();
    // Whoever was first to notice, it is told again.
    sent.unwrap_or_default();
    error
}

/// A reply as the script of a fake worker prints it.
fn printed(kind: Kind, announced: u32, payload: &[u8]) -> String {
    let bytes = [&header(kind, announced)[..], payload].concat();
    let octal: String = bytes.iter().map(|b| format!("\\{b:03o}")).collect();
    format!("head -c 9 > /dev/null; printf '{octal}'")
}

#[test]
fn a_reply_is_read() {
    let script = format!("{}; cat > /dev/null", printed(Kind::Start, 3, b"abc"));
    let mut worker = sh(&script, Duration::from_secs(60));
    worker.send(Kind::Start, |payload| payload.push(0)).unwrap();
    assert_eq!(worker.receive(Kind::Start, 3).unwrap(), b"abc");
}

#[test]
fn long_replies_arrive_in_pieces() {
    let bytes = 200_000;
    let octal: String = header(Kind::Step, bytes).iter().map(|b| format!("\\{b:03o}")).collect();
    let script = format!(
        "head -c 9 > /dev/null; printf '{octal}'; head -c {bytes} /dev/zero; cat > /dev/null"
    );
    let mut worker = sh(&script, Duration::from_secs(60));
    worker.send(Kind::Step, |payload| payload.push(0)).unwrap();
    assert_eq!(worker.receive(Kind::Step, bytes as usize).unwrap(), vec![0; bytes as usize]);
}

#[test]
fn babble_is_no_reply() {
    let wait = "; cat > /dev/null";
    let said = error(&format!("head -c 9 > /dev/null; echo 'Welcome to the simulator'{wait}"));
    let expected = "environment: Fake-v0: the worker sent something that is no reply of this protocol, and was stopped";
    assert_eq!(said, expected);
    let said = error(&(printed(Kind::Reset, 0, b"") + wait));
    assert_eq!(said, expected);
    // Nothing is allocated for what is announced.
    let said = error(&(printed(Kind::Start, u32::MAX, b"") + wait));
    assert!(said.contains("a reply of 4294967295 bytes, where 100 are the most"), "{said}");
    let said = error(&(printed(Kind::Error, 1 << 30, b"") + wait));
    assert!(said.contains("a reply of 1073741824 bytes"), "{said}");
    let said = error(&(printed(Kind::Start, 2, b"abc") + wait));
    assert!(said.contains("more than its reply"), "{said}");
    let mut other_version = printed(Kind::Start, 0, b"");
    other_version = other_version.replacen("\\001\\001", "\\002\\001", 1);
    assert_eq!(error(&(other_version + wait)), expected);
}

#[test]
fn the_message_of_a_worker_is_the_error() {
    let said = error(&(printed(Kind::Error, 4, b"oops") + "; cat > /dev/null"));
    assert_eq!(said, "environment: Fake-v0: oops");
}

#[test]
fn a_worker_that_ends_leaves_its_last_words() {
    let said = error("seq 1 5000 >&2; echo 'ValueError: no' >&2; exit 3");
    assert!(
        said.starts_with(
            "environment: Fake-v0: the worker has ended, exit status: 3; its last words:\n"
        ),
        "{said}"
    );
    assert!(said.ends_with("\n5000\nValueError: no"), "{said}");
    assert_eq!(said.lines().count(), 1 + LAST_LINES);
    // In the midst of a reply, too.
    let said = error(&printed(Kind::Start, 50, b"abc"));
    assert_eq!(said, "environment: Fake-v0: the worker has ended, exit status: 0");
}

#[test]
fn a_killed_worker_is_noticed_at_once() {
    let mut worker = sh("exec cat > /dev/null", Duration::from_secs(60));
    worker.send(Kind::Step, |_| {}).unwrap();
    let started = Instant::now();
    let pid = lock(&worker.process.child).child.id().to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    let said = worker.receive(Kind::Step, 100).unwrap_err().to_string();
    assert_eq!(said, "environment: Fake-v0: the worker has ended, signal: 9 (SIGKILL)");
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(worker.send(Kind::Step, |_| {}).unwrap_err().to_string(), said);
    assert_eq!(worker.receive(Kind::Step, 100).unwrap_err().to_string(), said);
}

#[test]
fn silence_has_an_end() {
    let timeout = Duration::from_millis(300);
    let mut worker = sh("echo 'thinking' >&2; exec tail -f /dev/null", timeout);
    let started = Instant::now();
    worker.send(Kind::Step, |_| {}).unwrap();
    let said = worker.receive(Kind::Step, 100).unwrap_err().to_string();
    let expected = "environment: Fake-v0: no reply within 0.3 s; the worker was stopped; its last words:\nthinking";
    assert_eq!(said, expected);
    assert!(started.elapsed() > timeout);
}

/// Whether there is a process of this number that is not dead, if not yet waited for by whoever inherited it.
fn is_running(pid: &str) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next());
    !matches!(state, Some('Z' | 'X'))
}

/// What a worker has started holds its pipes, and is ended with it.
#[test]
fn nobody_stands_in_for_a_worker() {
    let folder = std::env::temp_dir().join(format!("rl-envs-worker-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let pid = folder.join("pid");
    let begin = format!("sleep 1000 & echo $! > {}; head -c 8 > /dev/null;", pid.display());
    for (end, timeout, expected) in [
        ("kill -9 $$", Duration::from_secs(60), "the worker has ended, signal: 9 (SIGKILL)"),
        (
            "exec tail -f /dev/null",
            Duration::from_millis(300),
            "no reply within 0.3 s; the worker was stopped",
        ),
    ] {
        let mut worker = sh(&format!("{begin} {end}"), timeout);
        let started = Instant::now();
        worker.send(Kind::Step, |_| {}).unwrap();
        let said = worker.receive(Kind::Step, 100).unwrap_err().to_string();
        assert_eq!(said, format!("environment: Fake-v0: {expected}"));
        let pid = fs::read_to_string(&pid).unwrap();
        // Killed, it takes a moment to go.
        while is_running(pid.trim()) {
            assert!(started.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
    }
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn idleness_is_no_silence() {
    let timeout = Duration::from_millis(80);
    let script = format!("{}; cat > /dev/null", printed(Kind::Start, 0, b""));
    let mut worker = sh(&script, timeout);
    worker.send(Kind::Start, |payload| payload.push(0)).unwrap();
    worker.receive(Kind::Start, 3).unwrap();
    let (_open, never) = channel::<()>();
    assert_eq!(never.recv_timeout(4 * timeout), Err(RecvTimeoutError::Timeout));
    assert!(!worker.process.has_ended());
}

/// Its number may be another's by then.
#[test]
fn who_was_waited_for_is_not_killed() {
    let worker = sh("exit 3", Duration::from_secs(60));
    assert_eq!(worker.process.wait().unwrap().code(), Some(3));
    assert!(worker.process.has_ended() && lock(&worker.process.child).over);
    // The same number, given to a process that goes on.
    let other = sh("exec cat > /dev/null", Duration::from_secs(60));
    std::mem::swap(&mut lock(&worker.process.child).child, &mut lock(&other.process.child).child);
    worker.process.kill();
    std::mem::swap(&mut lock(&worker.process.child).child, &mut lock(&other.process.child).child);
    assert!(!other.process.has_ended());
}

#[test]
fn a_missing_program_is_named() {
    let command = Command::new("/no/such/python");
    let said = Worker::spawn(command, "Fake-v0", GRACE).unwrap_err().to_string();
    let expected = "environment: Fake-v0: cannot start Python, '/no/such/python': No such file or directory (os error 2)";
    assert_eq!(said, expected);
}

/// Whether this process has a child of that number, running or not yet waited for.
fn is_child(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // After the name, which may hold anything: the state and the parent.
    let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
    parent == Some(&std::process::id().to_string())
}

#[test]
#[cfg(target_os = "linux")]
fn no_process_is_left() {
    let mut pids = Vec::new();
    for i in 0..200 {
        let script = match i % 4 {
            // Ends with its pipe; does not end at all; has ended already; is killed.
            0 | 3 => "exec cat > /dev/null",
            1 if i % 40 == 1 => "trap '' TERM; exec 2>&-; exec tail -f /dev/null",
            _ => "exit 1",
        };
        let worker = sh(script, Duration::from_secs(60));
        pids.push(lock(&worker.process.child).child.id());
        assert!(i % 4 != 0 || is_child(pids[i]));
        if i % 4 == 3 {
            worker.process.kill();
        }
    }
    let left: Vec<&u32> = pids.iter().filter(|pid| is_child(**pid)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_process_that_stays_is_killed() {
    let worker = sh("exec tail -f /dev/null", Duration::from_secs(60));
    let process = Arc::clone(&worker.process);
    let started = Instant::now();
    drop(worker);
    assert!(started.elapsed() >= GRACE);
    let status = process.wait().unwrap();
    assert_eq!(status.signal(), Some(9));
}
