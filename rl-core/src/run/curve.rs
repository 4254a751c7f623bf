//! A picture of a run's metrics.

use super::{RunConfig, RunFolder};
use crate::{Error, Result, write_atomically};
use plotters::coord::Shift;
use plotters::prelude::*;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Points = Vec<(f64, f64)>;

/// Pixels of the picture.
const SIZE: (u32, u32) = (860, 560);
/// The share of its height that returns have; losses have the rest.
const RETURNS_SHARE: f64 = 0.68;
/// Panels of losses, side by side, since their scales differ.
const LOSSES: usize = 3;
const TRAINING: RGBColor = RGBColor(150, 170, 200);
const EVALUATION: RGBColor = RGBColor(190, 50, 40);
const REFERENCE: RGBColor = RGBColor(60, 60, 60);
const LOSS: RGBColor = RGBColor(70, 110, 90);
const FONT: &str = "sans-serif";

/// Draws what a run has learned so far as `learning_curve.svg` in its folder: the return of evaluations with its standard
/// deviation over their episodes, that of training, the published return where the run names one, and losses. Without any
/// return in the metrics nothing is drawn.
///
/// # Errors
/// [`Error::Io`]; [`Error::Corrupt`] for metrics that cannot be drawn.
pub fn learning_curve(folder: &RunFolder, config: &RunConfig) -> Result<()> {
    draw(folder, config)
}

pub(super) fn draw(folder: &RunFolder, config: &RunConfig) -> Result<()> {
    let path = folder.metrics_jsonl();
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
    let metrics =
        Metrics(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect());
    match picture(&metrics, config) {
        Ok(Some(svg)) => write_atomically(&folder.learning_curve(), svg.as_bytes()),
        Ok(None) => Ok(()),
        Err(error) => Err(Error::corrupt("learning curve", error)),
    }
}

/// The rows of a metrics file.
struct Metrics(Vec<serde_json::Map<String, serde_json::Value>>);

impl Metrics {
    /// The values of a metric by step.
    fn of(&self, name: &str) -> Points {
        let point = |row: &serde_json::Map<String, serde_json::Value>| {
            Some((row.get("step")?.as_f64()?, row.get(name)?.as_f64()?))
        };
        self.0.iter().filter_map(point).collect()
    }

    /// The metrics that are losses, in order of first appearance.
    fn losses(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for name in self.0.iter().flat_map(|row| row.keys()) {
            if name.ends_with("loss") && !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names.truncate(LOSSES);
        names
    }
}

type Drawn<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn picture(metrics: &Metrics, config: &RunConfig) -> Drawn<Option<String>> {
    let (training, evaluation) = (metrics.of("episode_return"), metrics.of("evaluation_return"));
    let Some(last) = training.iter().chain(&evaluation).map(|p| p.0).reduce(f64::max) else {
        return Ok(None);
    };
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let title = format!("{} on {}, seed {}", config.algorithm, config.env, config.seed);
        let root = root.titled(&title, (FONT, 18))?.margin(4, 8, 8, 16);
        let losses = metrics.losses();
        let height = root.dim_in_pixel().1;
        let share = if losses.is_empty() { 1.0 } else { RETURNS_SHARE };
        let (upper, lower) = root.split_vertically((f64::from(height) * share) as u32);
        let spread = band(&evaluation, &metrics.of("evaluation_std"));
        returns(&upper, last, [&training, &evaluation], &spread, config)?;
        for (area, name) in lower.split_evenly((1, losses.len().max(1))).iter().zip(&losses) {
            loss(area, last, name, metrics.of(name))?;
        }
        root.present()?;
    }
    Ok(Some(svg))
}

/// The outline of a mean plus and minus its standard deviation.
fn band(mean: &Points, std: &Points) -> Points {
    let at = |sign: f64| mean.iter().zip(std).map(move |(m, s)| (m.0, m.1 + sign * s.1));
    at(1.0).chain(at(-1.0).rev()).collect()
}

fn returns(
    area: &Area<'_>,
    last: f64,
    [training, evaluation]: [&Points; 2],
    spread: &Points,
    config: &RunConfig,
) -> Drawn<()> {
    let reference = config.reference.as_ref().map(|reference| reference.value);
    let all = training.iter().chain(evaluation).chain(spread).map(|p| p.1).chain(reference);
    let mut chart = ChartBuilder::on(area)
        .x_label_area_size(34)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..last, range(all))?;
    mesh(&mut chart, "environment steps", "return", 6)?;
    let shade = Polygon::new(spread.clone(), EVALUATION.mix(0.15));
    if spread.len() > 2 {
        chart.draw_series(std::iter::once(shade))?;
    }
    let mut curve = |points: &Points, colour: RGBColor, width: u32, label: String| -> Drawn<()> {
        if points.is_empty() {
            return Ok(());
        }
        let style = colour.stroke_width(width);
        let line = LineSeries::new(points.iter().copied(), style);
        chart
            .draw_series(line)?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        Ok(())
    };
    curve(training, TRAINING, 1, "training, mean of the last 100 episodes".to_owned())?;
    if let Some(value) = reference {
        let label = format!("published: {value}");
        curve(&vec![(0.0, value), (last, value)], REFERENCE, 1, label)?;
    }
    let label = match evaluation.last() {
        Some((_, value)) => format!("evaluation ± its episodes' deviation; last {value:.1}"),
        None => String::new(),
    };
    curve(evaluation, EVALUATION, 3, label)?;
    let rising = evaluation.first().zip(evaluation.last()).is_none_or(|(a, b)| b.1 >= a.1);
    let corner =
        if rising { SeriesLabelPosition::LowerRight } else { SeriesLabelPosition::UpperRight };
    chart
        .configure_series_labels()
        .position(corner)
        .margin(8)
        .label_font((FONT, 12))
        .background_style(WHITE.mix(0.85))
        .draw()?;
    Ok(())
}

fn loss(area: &Area<'_>, last: f64, name: &str, points: Points) -> Drawn<()> {
    let mut chart = ChartBuilder::on(area)
        .margin_top(8)
        .x_label_area_size(18)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..last, range(points.iter().map(|p| p.1)))?;
    mesh(&mut chart, "", &name.replace('_', " "), 3)?;
    chart.draw_series(LineSeries::new(points, LOSS.stroke_width(1)))?;
    Ok(())
}

type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

/// Axes with few lines.
fn mesh(chart: &mut Chart<'_, '_>, x: &str, y: &str, labels: usize) -> Drawn<()> {
    chart
        .configure_mesh()
        .disable_x_mesh()
        .max_light_lines(0)
        .bold_line_style(BLACK.mix(0.1))
        .x_labels(labels)
        .y_labels(labels)
        .x_desc(x)
        .y_desc(y)
        .label_style((FONT, 12))
        .x_label_formatter(&|x| short(*x))
        .y_label_formatter(&|y| short(*y))
        .draw()?;
    Ok(())
}

/// A range around all finite values, with a margin.
fn range(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let finite = values.filter(|x| x.is_finite());
    let ends = finite.fold(None, |ends: Option<(f64, f64)>, x| {
        Some(ends.map_or((x, x), |(low, high)| (low.min(x), high.max(x))))
    });
    let (low, high) = ends.unwrap_or((0.0, 1.0));
    let margin = 0.05 * (high - low).max(1e-6 * high.abs().max(1e-3));
    low - margin..high + margin
}

/// `20k`, `1.5M`, `0.25`.
fn short(x: f64) -> String {
    let digits = |x: f64, unit: &str| {
        let text = format!("{x:.2}");
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match x.abs() {
        size if size >= 1e6 => digits(x / 1e6, "M"),
        size if size >= 1e4 => digits(x / 1e3, "k"),
        size if size >= 0.1 || size == 0.0 => digits(x, ""),
        _ => format!("{x:.0e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 0.25, -150.0, 20_000.0, 1_500_000.0, 0.003].map(short);
        assert_eq!(texts, ["0", "0.25", "-150", "20k", "1.5M", "3e-3"]);
    }

    #[test]
    fn the_picture_shows_evaluations_reference_and_losses() {
        let row = |step: u64| {
            let value = serde_json::json!({
                "step": step, "episode_return": step, "evaluation_return": 2 * step,
                "evaluation_std": 1.0, "value_loss": 0.5, "kl": 0.1,
            });
            serde_json::from_value(value).unwrap()
        };
        let mut config = RunConfig::new("ppo", "CartPole-v1", 100);
        let metrics = Metrics(vec![row(50), row(100)]);
        let svg = picture(&metrics, &config).unwrap().unwrap();
        assert!(svg.contains("value loss") && !svg.contains("kl"));
        assert!(svg.contains("<polygon") && svg.contains("last 200.0"));
        assert!(!svg.contains("published"));
        config.reference = Some(super::super::Reference { value: 500.0, source: "x".to_owned() });
        assert!(picture(&metrics, &config).unwrap().unwrap().contains("published: 500"));
        assert_eq!(picture(&Metrics(Vec::new()), &config).unwrap(), None);
    }
}
