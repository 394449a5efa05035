//! `bench plot`: runs of a suite as bars, a group per query.

use std::collections::BTreeSet;
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;

use clap::Args;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::{
    BLACK, ChartBuilder, Color, IntoDrawingArea, RGBColor, Rectangle, SVGBackend,
    SeriesLabelPosition, WHITE,
};

use super::figures::Run;
use crate::failure::Failure;
use crate::output;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Each file is what --json of `pelton bench pdsh` or `pelton bench ssb` wrote; its name is in the legend.
Bars are the best runs in milliseconds; a query that a file has not got has no bar of it.

Examples:
  pelton bench plot cpu.json cuda.json --out bars.svg";

/// Colours that also those tell apart who see fewer (Okabe and Ito), used in turn.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(240, 228, 66),
];

/// Pixels of a group's width, of the least width, and of the height.
const GROUP_WIDTH: u32 = 56;
const WIDTH_MIN: u32 = 480;
const HEIGHT: u32 = 400;

/// The font of all text: its family, and its size in pixels.
const FONT: (&str, u32) = ("sans-serif", 14);

/// The part of a group's width that its bars take.
const FILLED: f64 = 0.8;

/// Flags of `bench plot`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PlotArgs {
    /// Figures of runs
    #[arg(required = true, value_name = "RUN.json")]
    runs: Vec<PathBuf>,

    /// File to write
    #[arg(long, value_name = "FILE.svg")]
    out: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// A file cannot be read or written, or there is nothing to draw.
pub fn run(args: &PlotArgs, terminal: Terminal) -> Result<(), Failure> {
    let runs = args.runs.iter().map(|path| Run::read(path));
    let runs = runs.collect::<Result<Vec<_>, _>>()?;
    let drawing = drawing(&runs)?;
    output::to_file(&args.out, |out| Ok(out.write_all(drawing.as_bytes())?))?;
    terminal.note(&format!("drawn in {}", args.out.display()));
    Ok(())
}

/// The axis of the groups: one wide each, with the query's number in its middle.
struct Groups(Vec<usize>);

impl Ranged for Groups {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let part = value / self.0.len() as f64;
        first + (part * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        (0..self.0.len()).map(|group| group as f64 + 0.5).collect()
    }

    fn range(&self) -> Range<f64> {
        0.0..self.0.len() as f64
    }
}

impl ValueFormatter<f64> for Groups {
    fn format_ext(&self, middle: &f64) -> String {
        let query = self.0.get(*middle as usize);
        query.map_or_else(String::new, ToString::to_string)
    }
}

/// The text of an SVG file.
fn drawing(runs: &[Run]) -> Result<String, Failure> {
    let queries: BTreeSet<usize> = (runs.iter())
        .flat_map(|run| run.best.keys().copied())
        .collect();
    let queries: Vec<usize> = queries.into_iter().collect();
    let most = (runs.iter())
        .flat_map(|run| run.best.values().copied())
        .fold(0.0, f64::max);
    if queries.is_empty() {
        return Err(Failure::new("there is no query to draw"));
    }
    let width =
        WIDTH_MIN.max(GROUP_WIDTH.saturating_mul(u32::try_from(queries.len()).unwrap_or(1)));
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (width, HEIGHT)).into_drawing_area();
        area.fill(&WHITE).map_err(Failure::new)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(Groups(queries.clone()), 0.0..most * 1.1)
            .map_err(Failure::new)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .max_light_lines(0)
            .label_style(FONT)
            .x_labels(queries.len())
            .x_desc("query")
            .y_desc("best run, ms")
            .draw()
            .map_err(Failure::new)?;
        let bar = FILLED / runs.len() as f64;
        for ((index, run), colour) in runs.iter().enumerate().zip(COLOURS.into_iter().cycle()) {
            let bars = run.best.iter().filter_map(|(query, milliseconds)| {
                let group = queries.binary_search(query).ok()? as f64;
                let left = group + (1.0 - FILLED) / 2.0 + bar * index as f64;
                let corners = [(left, 0.0), (left + bar, *milliseconds)];
                Some(Rectangle::new(corners, colour.filled()))
            });
            chart
                .draw_series(bars)
                .map_err(Failure::new)?
                .label(run.name())
                .legend(move |(x, y)| {
                    Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled())
                });
        }
        chart
            .configure_series_labels()
            .label_font(FONT)
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()
            .map_err(Failure::new)?;
        area.present().map_err(Failure::new)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, best: &[(usize, f64)]) -> Run {
        Run {
            path: PathBuf::from(name),
            best: best.iter().copied().collect(),
        }
    }

    #[test]
    fn a_bar_for_each_query_of_each_run() {
        let runs = [
            run("a/before.json", &[(1, 10.0), (6, 20.0), (22, 5.0)]),
            run("b/<after>.json", &[(1, 8.0), (22, 5.0)]),
        ];
        let text = drawing(&runs).unwrap_or_default();
        assert!(
            text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"),
            "{text}"
        );
        // Bars and a square of the legend.
        assert_eq!(text.matches("#0072B2").count(), 3 + 1, "{text}");
        assert_eq!(text.matches("#E69F00").count(), 2 + 1, "{text}");
        for label in ["before", "&lt;after&gt;", "best run, ms", "\n22\n"] {
            assert!(text.contains(label), "no {label} in {text}");
        }
        assert_eq!(
            drawing(&runs).ok(),
            Some(text),
            "the same runs are the same text"
        );
    }

    #[test]
    fn there_is_no_picture_of_nothing() {
        assert!(drawing(&[run("none.json", &[])]).is_err());
    }
}
