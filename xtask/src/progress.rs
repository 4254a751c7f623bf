//! Progress display during training.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rl_core::{Callback, Context, Result, Signal};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// A progress bar with rate, remaining time and recent return; plain lines without a terminal.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    /// The first step of a resumed run.
    first_step: u64,
    last_line: Instant,
}

impl Progress {
    pub(crate) fn new(first_step: u64, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let template = "{bar:30} {human_pos}/{human_len} steps  {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_position(first_step);
            bar
        });
        let now = Instant::now();
        Progress { bar, started: now, first_step, last_line: now }
    }

    fn describe(&self, step: u64, total: u64, recent_return: Option<f64>) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(1e-9);
        let rate = (step - self.first_step) as f64 / seconds;
        let left = (total.saturating_sub(step)) as f64 / rate.max(1e-9);
        let left = indicatif::HumanDuration(Duration::from_secs_f64(left.min(1e9)));
        let episode_return = recent_return.map_or("-".to_owned(), |r| format!("{r:.1}"));
        format!("{rate:.0} steps/s, {left:#} left, recent return {episode_return}")
    }
}

impl<V, A> Callback<V, A> for Progress {
    fn after_round(&mut self, context: &mut Context<'_, V, A>) -> Result<Signal> {
        let (step, total) = (context.progress.step, context.progress.total);
        // Reading the clock costs more than a step of CartPole, so it is not read at every step.
        if !context.is_due(256) && step < total {
            return Ok(Signal::Continue);
        }
        match &self.bar {
            Some(bar) => {
                bar.set_position(step);
                bar.set_message(self.describe(step, total, context.recent_return()));
                if step >= total {
                    bar.finish();
                }
            }
            None if self.last_line.elapsed() >= Duration::from_secs(5) || step >= total => {
                self.last_line = Instant::now();
                let text = self.describe(step, total, context.recent_return());
                eprintln!("{step}/{total} steps: {text}");
            }
            None => {}
        }
        Ok(Signal::Continue)
    }
}
