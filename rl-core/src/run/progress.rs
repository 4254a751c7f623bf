//! A progress bar.

use super::{Reporter, Status};
use crate::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// A progress bar with rate, remaining time and returns; plain lines where there is no terminal.
pub struct ProgressDisplay {
    bar: Option<ProgressBar>,
    lines: Option<Box<dyn Write>>,
    started: Instant,
    last_line: Option<Instant>,
}

impl std::fmt::Debug for ProgressDisplay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProgressDisplay").field("bar", &self.bar).finish_non_exhaustive()
    }
}

/// Time between two lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

impl ProgressDisplay {
    /// A bar on the standard error stream, or lines where that is no terminal.
    pub fn stderr() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::lines(std::io::stderr());
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let template = "{bar:30} {human_pos}/{human_len} steps  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        ProgressDisplay { bar: Some(bar), lines: None, started: Instant::now(), last_line: None }
    }

    /// A line every five seconds, and one at the end.
    pub fn lines(writer: impl Write + 'static) -> Self {
        let lines: Box<dyn Write> = Box::new(writer);
        ProgressDisplay { bar: None, lines: Some(lines), started: Instant::now(), last_line: None }
    }

    fn describe(&self, status: &Status) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(1e-9);
        let rate = status.step.saturating_sub(status.first_step) as f64 / seconds;
        let left = status.total.saturating_sub(status.step) as f64 / rate.max(1e-9);
        let left = indicatif::HumanDuration(Duration::from_secs_f64(left.min(1e9)));
        let number = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:.1}"));
        let (evaluated, recent) = (number(status.evaluation_return), number(status.recent_return));
        format!("{rate:.0} steps/s, {left:#} left, evaluation {evaluated}, training {recent}")
    }
}

impl Reporter for ProgressDisplay {
    fn report(&mut self, status: &Status) -> Result<()> {
        let over = status.step >= status.total;
        if let Some(bar) = &self.bar {
            bar.set_length(status.total);
            bar.set_position(status.step);
            bar.set_message(self.describe(status));
            if over {
                bar.finish();
            }
        }
        let now = Instant::now();
        let last = *self.last_line.get_or_insert(now);
        if self.lines.is_some() && (over || now.duration_since(last) >= LINE_EVERY) {
            self.last_line = Some(now);
            let text = self.describe(status);
            let (step, total) = (status.step, status.total);
            if let Some(lines) = &mut self.lines {
                // A line that cannot be written is not worth the run.
                let _ = writeln!(lines, "{step}/{total} steps: {text}");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_last_line_names_both_returns() {
        let page = Page::default();
        let mut lines = ProgressDisplay::lines(page.clone());
        let status = Status {
            step: 10,
            total: 20,
            first_step: 0,
            recent_return: Some(1.5),
            evaluation_return: None,
        };
        lines.report(&status).unwrap();
        lines.report(&Status { step: 20, evaluation_return: Some(2.0), ..status }).unwrap();
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert!(text.starts_with("20/20 steps: "), "{text}");
        assert!(text.ends_with("evaluation 2.0, training 1.5\n"), "{text}");
        assert_eq!(text.lines().count(), 1);
    }
}
