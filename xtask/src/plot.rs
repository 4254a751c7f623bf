//! Plots of the learning curve.

use crate::{Error, Result};
use plotters::prelude::*;
use std::path::Path;

/// Plots the recent return and, if recorded, the evaluation return over environment steps, from a metrics file.
pub(crate) fn learning_curve(metrics: &Path, picture: &Path, title: &str) -> Result<()> {
    let text = std::fs::read_to_string(metrics).map_err(|e| Error::io(metrics, e))?;
    let rows: Vec<serde_json::Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let series = |name: &str| -> Vec<(f64, f64)> {
        rows.iter()
            .filter_map(|r| Some((r.get("step")?.as_f64()?, r.get(name)?.as_f64()?)))
            .collect()
    };
    let (train, evaluation) = (series("episode_return"), series("evaluation_return"));
    let all = || train.iter().chain(&evaluation);
    let Some(last) = all().map(|p| p.0).reduce(f64::max) else {
        return Ok(());
    };
    let low = all().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let high = all().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
    let margin = 0.05 * (high - low).max(1e-3);
    let mut svg = String::new();
    {
        let draw = |e: &dyn std::fmt::Display| Error::usage(format_args!("learning curve: {e}"));
        let root = SVGBackend::with_string(&mut svg, (800, 450)).into_drawing_area();
        root.fill(&WHITE).map_err(|e| draw(&e))?;
        let mut chart = ChartBuilder::on(&root)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .margin_right(40)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..last, low - margin..high + margin)
            .map_err(|e| draw(&e))?;
        let whole = |x: &f64| format!("{x:.0}");
        let mesh = chart
            .configure_mesh()
            .x_desc("environment steps")
            .y_desc("return")
            .x_label_formatter(&whole)
            .draw();
        mesh.map_err(|e| draw(&e))?;
        for (points, colour, label) in
            [(train, BLUE, "training, last 100 episodes"), (evaluation, RED, "evaluation")]
        {
            if points.is_empty() {
                continue;
            }
            let line = LineSeries::new(points, colour.stroke_width(2));
            chart.draw_series(line).map_err(|e| draw(&e))?.label(label).legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2))
            });
        }
        let labels = chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .draw();
        labels.map_err(|e| draw(&e))?;
        root.present().map_err(|e| draw(&e))?;
    }
    Ok(rl_core::write_atomically(picture, svg.as_bytes())?)
}
