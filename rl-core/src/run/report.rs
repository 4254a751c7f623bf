//! What is shown of a run while it trains.

use crate::{Callback, Context, Result, Signal};
use std::cell::RefCell;
use std::rc::Rc;

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// Environment steps taken, summed over all environments.
    pub step: u64,
    /// Environment steps in the whole run.
    pub total: u64,
    /// The step that this process began at: 0, or that of the checkpoint which it resumed.
    pub first_step: u64,
    /// The mean return of the recent training episodes, exploration included, once one has ended.
    pub recent_return: Option<f64>,
    /// The mean return of the newest evaluation, once there was one.
    pub evaluation_return: Option<f64>,
}

/// Shows how far a run has come. It is told every 256 steps, or every round where that is longer, and at the run's end.
pub trait Reporter {
    /// Shows the status.
    ///
    /// # Errors
    /// Any error stops the run.
    fn report(&mut self, status: &Status) -> Result<()>;
}

/// Hands the status to a reporter, if there is one. The callback is there in either case, so that checkpoints do not
/// depend on what is shown.
pub(super) struct Reporting {
    pub(super) reporter: Option<Rc<RefCell<dyn Reporter>>>,
    pub(super) first_step: u64,
    pub(super) evaluation_return: Option<f64>,
}

/// Steps between two reports: reading the clock costs more than a step of CartPole.
const EVERY: u64 = 256;

impl<V, A> Callback<V, A> for Reporting {
    fn after_round(&mut self, context: &mut Context<'_, V, A>) -> Result<Signal> {
        let evaluated = context.metrics.mean("evaluation_return");
        self.evaluation_return = evaluated.or(self.evaluation_return);
        let (step, total) = (context.progress.step, context.progress.total);
        let due = context.is_due(EVERY) || step >= total;
        if let Some(reporter) = self.reporter.as_ref().filter(|_| due) {
            reporter.borrow_mut().report(&Status {
                step,
                total,
                first_step: self.first_step,
                recent_return: context.recent_return(),
                evaluation_return: self.evaluation_return,
            })?;
        }
        Ok(Signal::Continue)
    }
}
