//! Threads for the passes of large networks.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;

/// A thread pool for passes with enough work: the calling thread and workers that wait for jobs. Results are
/// bit-identical for any number of threads. Clones share the workers.
///
/// An idle worker polls for about 100 microseconds, then sleeps. The caller waits for all of its workers at the end
/// of each pass, so using more threads than free cores is slower.
///
/// ```
/// use rl_core::Seeds;
/// use rl_nets::{Backend, Linear, Network};
/// let outputs = [1, 2].map(|threads| {
///     let backend = Backend::cpu().with_threads(threads)?;
///     let layer = Linear::new(256, 256)?;
///     let mut net = Network::new(layer, &backend, &mut Seeds::new(0).stream("init", 0))?;
///     net.predict(&[0.1; 256 * 64]).map(<[f32]>::to_vec)
/// });
/// let [one, two] = outputs;
/// assert_eq!(one?, two?);
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone)]
pub struct Threads {
    workers: Option<Arc<Workers>>,
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Threads").field(&self.count()).finish()
    }
}

struct Workers {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
    /// Held by the caller whose job is running.
    turn: Mutex<()>,
}

#[derive(Default)]
struct Shared {
    /// The number of jobs so far, which awake workers poll.
    jobs: AtomicU64,
    /// The number of workers still running the current job.
    busy: AtomicUsize,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// As in [`Shared::jobs`].
    jobs: u64,
    job: Option<Job>,
    asleep: usize,
    stop: bool,
    panic: Option<Box<dyn Any + Send>>,
}

/// The job of each thread, called with the thread's index.
type Job = &'static (dyn Fn(usize) + Sync);

/// The number of polls before a thread yields to others: about 100 microseconds, longer than the time between two
/// passes within a gradient step.
const LOOKS: u32 = 4_000;

/// The minimum number of multiplications per thread; starting a thread's work costs about as much as a hundred
/// thousand.
const SHARE: usize = 500_000;

/// The minimum number of rows per part: products of fewer rows use another method, which would change the result's
/// bits.
const FEWEST_ROWS: usize = super::product::FEW;

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Code that holds this lock does not panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, number: usize) {
        let mut seen = 0;
        loop {
            let mut looks = 0;
            while self.jobs.load(Ordering::Acquire) == seen && looks < LOOKS {
                std::hint::spin_loop();
                looks += 1;
            }
            let mut state = self.state();
            while state.jobs == seen && !state.stop {
                state.asleep += 1;
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.asleep -= 1;
            }
            if state.stop {
                return;
            }
            seen = state.jobs;
            let job = state.job;
            drop(state);
            if let Some(job) = job {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job(number))) {
                    self.state().panic = Some(panic);
                }
                self.busy.fetch_sub(1, Ordering::Release);
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.state().stop = true;
        // An empty job wakes the polling workers.
        self.shared.jobs.fetch_add(1, Ordering::Release);
        self.shared.wake.notify_all();
        for handle in self.handles.drain(..) {
            // A panic of a worker has already been passed to its caller.
            let _ = handle.join();
        }
    }
}

/// Waits for the workers, even if the caller's own part panics, and removes the job.
struct Wait<'a>(&'a Shared);

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut looks = 0;
        while self.0.busy.load(Ordering::Acquire) > 0 {
            looks += 1;
            if looks < LOOKS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        self.0.state().job = None;
    }
}

impl Threads {
    /// `count` threads: the calling thread and `count - 1` workers.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for zero; [`rl_core::Error::Env`] if a thread cannot be started.
    pub fn new(count: usize) -> rl_core::Result<Self> {
        rl_core::check::at_least("threads", 1, count as u64)?;
        rl_core::check::at_most("threads", 1 << 10, "threads that can be", count as u64)?;
        if count == 1 {
            return Ok(Self::one());
        }
        let shared = Arc::new(Shared::default());
        let mut workers =
            Workers { shared: shared.clone(), handles: Vec::new(), turn: Mutex::new(()) };
        for number in 1..count {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name(format!("learner {number}"));
            let handle = thread
                .spawn(move || shared.work(number))
                .map_err(|e| rl_core::Error::Env(format!("cannot start a worker thread: {e}")))?;
            workers.handles.push(handle);
        }
        Ok(Threads { workers: Some(Arc::new(workers)) })
    }

    /// The calling thread alone.
    pub fn one() -> Self {
        Threads { workers: None }
    }

    /// The number of threads.
    pub fn count(&self) -> usize {
        self.workers.as_ref().map_or(1, |workers| workers.handles.len() + 1)
    }

    /// Calls `f` once with each index below [`count`](Threads::count), each on its own thread; or calls only
    /// `otherwise` if the workers are busy with another job.
    fn run(&self, f: &(dyn Fn(usize) + Sync), otherwise: impl FnOnce()) {
        let Some(workers) = &self.workers else { return otherwise() };
        let _turn = match workers.turn.try_lock() {
            Ok(turn) => turn,
            // A job panicked; all workers have finished it nevertheless.
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return otherwise(),
        };
        let shared = &*workers.shared;
        // SAFETY: workers use the job only until they have taken themselves off `busy`, and this function
        // does not return, nor unwind, before all have: `Wait` sees to it. So `f` outlives its use.
        #[allow(unsafe_code)]
        let job = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), Job>(f) };
        shared.busy.store(workers.handles.len(), Ordering::Relaxed);
        let asleep = {
            let mut state = shared.state();
            // Discards the panic of an earlier job whose caller panicked too.
            state.panic = None;
            state.job = Some(job);
            state.jobs += 1;
            shared.jobs.store(state.jobs, Ordering::Release);
            state.asleep
        };
        if asleep > 0 {
            shared.wake.notify_all();
        }
        let wait = Wait(shared);
        f(0);
        drop(wait);
        let panic = shared.state().panic.take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Distributes the `rows` rows of the matrices `data`, with `work` multiplications in total, in contiguous
    /// ranges: `f` gets a range of rows and the corresponding part of each matrix. A matrix may be empty; otherwise
    /// its length must be a multiple of `rows`.
    pub fn share<const N: usize>(
        &self,
        rows: usize,
        work: usize,
        mut data: [&mut [f32]; N],
        f: impl Fn(Range<usize>, [&mut [f32]; N]) + Sync,
    ) {
        let parts = (rows / FEWEST_ROWS).min(work / SHARE).min(self.count());
        if parts <= 1 {
            return f(0..rows, data);
        }
        let matrices = data.each_mut().map(|matrix| Parts::new(matrix, rows));
        let take = |part: Range<usize>| {
            // SAFETY: either the whole is taken, or the part of each number once; those share no row.
            #[allow(unsafe_code)]
            let data = matrices.each_ref().map(|matrix| unsafe { matrix.rows(&part) });
            f(part, data);
        };
        let job = |number| {
            if number < parts {
                take(rows * number / parts..rows * (number + 1) / parts);
            }
        };
        self.run(&job, || take(0..rows));
    }

    /// Calls `f` with each of `items` and its part of `data`, given by `ranges`, which are ascending and disjoint;
    /// the parts are empty if `data` is. `work` is the total of all items. Each item's `f` runs on one thread, which
    /// does not distribute work further.
    pub(crate) fn each<T: Send>(
        &self,
        items: &mut [T],
        work: usize,
        (data, ranges): (&mut [f32], &[Range<usize>]),
        f: impl Fn(usize, &mut T, &mut [f32]) + Sync,
    ) {
        let (count, len) = (items.len(), data.len());
        if len > 0 {
            assert_eq!(ranges.len(), count, "each item has a part");
            let ends = ranges.iter().map(|range| range.end).chain([len]);
            let starts = ranges.iter().map(|range| range.start).chain([len]).skip(1);
            assert!(ends.zip(starts).all(|(end, next)| end <= next), "parts do not overlap");
        }
        let (cells, numbers) = (Parts::new(items, count), Parts::new(data, len));
        let one = |i: usize| {
            let range = if len > 0 { ranges[i].clone() } else { 0..0 };
            // SAFETY: each item is taken once, by the thread that has its number or below; parts do not
            // overlap, as checked above.
            #[allow(unsafe_code)]
            let (cell, part) = unsafe { (cells.rows(&(i..i + 1)), numbers.rows(&range)) };
            f(i, &mut cell[0], part);
        };
        // With more threads than items, each item is distributed over all threads instead.
        let threads = self.count();
        if work < 2 * SHARE || count < threads {
            return (0..count).for_each(one);
        }
        let job = |number: usize| (number..count).step_by(threads).for_each(one);
        self.run(&job, || (0..count).for_each(one));
    }
}

/// A matrix whose rows are distributed over several threads.
struct Parts<'a, T> {
    start: *mut T,
    width: usize,
    rows: usize,
    data: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: what is reached through it from several threads is rows that no two of them share, see `rows`, and
// their elements may be sent.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    fn new(data: &'a mut [T], rows: usize) -> Self {
        let width = data.len() / rows.max(1);
        assert_eq!(width * rows, data.len(), "a matrix has whole rows");
        Parts { start: data.as_mut_ptr(), width, rows, data: std::marker::PhantomData }
    }

    /// # Safety
    /// No row may be in two parts that are in use at a time.
    #[allow(unsafe_code)]
    unsafe fn rows(&self, part: &Range<usize>) -> &'a mut [T] {
        assert!(part.start <= part.end && part.end <= self.rows, "a part lies inside");
        let len = (part.end - part.start) * self.width;
        // SAFETY: the part lies inside the matrix, which is borrowed mutably for `'a`; the caller sees to it
        // that nothing else has these rows.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(part.start * self.width), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn each_row_and_each_item_is_taken_once() {
        for count in [1, 2, 3, 7] {
            let threads = Threads::new(count).unwrap();
            for rows in [1, 15, 16, 64, 101] {
                let (mut wide, mut narrow) = (vec![0.0f32; rows * 5], vec![0.0f32; rows]);
                let data = [&mut wide[..], &mut narrow, &mut []];
                threads.share(rows, 100 * SHARE, data, |part, [wide, narrow, none]| {
                    assert_eq!((wide.len(), narrow.len()), (part.len() * 5, part.len()));
                    assert!(none.is_empty());
                    wide.iter_mut().for_each(|x| *x += 1.0);
                    narrow.iter_mut().zip(part).for_each(|(x, row)| *x += row as f32);
                });
                assert!(wide.iter().all(|&x| x == 1.0));
                assert!(narrow.iter().enumerate().all(|(row, &x)| x == row as f32));
            }
            let (mut items, mut data) = (vec![0usize; 4], vec![0.0f32; 8]);
            let ranges = [0..2, 2..2, 3..6, 6..8];
            threads.each(&mut items, 100 * SHARE, (&mut data, &ranges), |i, item, part| {
                *item += part.len() + i;
                part.iter_mut().for_each(|x| *x += i as f32 + 1.0);
            });
            assert_eq!(items, [2, 1, 5, 5]);
            assert_eq!(data, [1.0, 1.0, 0.0, 3.0, 3.0, 3.0, 4.0, 4.0]);
            threads.each(&mut items, 100 * SHARE, (&mut [], &ranges), |_, item, part| {
                assert!(part.is_empty());
                *item = 0;
            });
            assert_eq!(items, [0; 4]);
        }
    }

    #[test]
    fn several_threads_work_and_a_panic_reaches_the_caller() {
        let threads = Threads::new(2).unwrap();
        let seen = Mutex::new(std::collections::HashSet::new());
        let look = |_, _: [&mut [f32]; 0]| {
            seen.lock().unwrap().insert(std::thread::current().id());
        };
        threads.share(64, 100 * SHARE, [], look);
        assert_eq!(seen.lock().unwrap().len(), 2);
        for failing in [0, 32] {
            let calls = AtomicUsize::new(0);
            let caught = catch_unwind(AssertUnwindSafe(|| {
                threads.share(64, 100 * SHARE, [], |part, _: [&mut [f32]; 0]| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    assert_ne!(part.start, failing, "one of the two parts fails");
                });
            }));
            assert!(caught.is_err() && calls.load(Ordering::Relaxed) == 2);
            let both =
                || threads.share(64, 100 * SHARE, [], |_, _: [&mut [f32]; 0]| panic!("both"));
            assert!(catch_unwind(AssertUnwindSafe(both)).is_err());
            // They continue to work afterwards.
            seen.lock().unwrap().clear();
            threads.share(64, 100 * SHARE, [], look);
            assert_eq!(seen.lock().unwrap().len(), 2);
        }
    }
}
