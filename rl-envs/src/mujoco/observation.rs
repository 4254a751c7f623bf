/// A row that a task appends its observation to, rounded to `f32`.
///
/// ```
/// use rl_envs::Observation;
/// let mut row = [0.0; 3];
/// let mut observation = Observation::new(&mut row);
/// observation.extend(&[1.0, 2.0]);
/// observation.extend_with(&[30.0], |x| x.clamp(-10.0, 10.0));
/// assert_eq!(observation.width(), 3);
/// assert_eq!(row, [1.0, 2.0, 10.0]);
/// ```
#[derive(Debug)]
pub struct Observation<'a> {
    row: &'a mut [f32],
    width: usize,
}

impl<'a> Observation<'a> {
    /// An observation that is written to `row`. What does not fit is counted, not written.
    pub fn new(row: &'a mut [f32]) -> Self {
        Observation { row, width: 0 }
    }

    /// The number of elements so far.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Appends `values`.
    pub fn extend(&mut self, values: &[f64]) {
        self.extend_with(values, |x| x);
    }

    /// Appends what `map` makes of `values`.
    pub fn extend_with(&mut self, values: &[f64], map: impl Fn(f64) -> f64) {
        let rest = self.row.iter_mut().skip(self.width);
        rest.zip(values).for_each(|(out, &x)| *out = map(x) as f32);
        self.width += values.len();
    }
}
