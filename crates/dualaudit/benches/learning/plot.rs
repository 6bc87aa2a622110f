//! Lines in a frame, as SVG.

use std::path::Path;

use plotters::prelude::{
    BLACK, ChartBuilder, Color, IntoDrawingArea, IntoLogRange, LineSeries, PathElement, RGBColor, SVGBackend,
    SeriesLabelPosition, WHITE,
};

const SIZE: (u32, u32) = (720, 380);
const FONT: (&str, u32) = ("sans-serif", 14);
/// Told apart by those who see few colours, too (M. Okabe and K. Ito, 2008).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Lines over numbers of executions.
pub(crate) struct Plot<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    /// The highest value that is shown; the lowest is 0.
    pub(crate) top: f64,
    pub(crate) labels: SeriesLabelPosition,
}

/// What a line is of, and its points.
pub(crate) type Line = (String, Vec<(f64, f64)>);

impl Plot<'_> {
    pub(crate) fn draw(&self, lines: &[Line], path: &Path) -> anyhow::Result<()> {
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let all = || lines.iter().flat_map(|(_, points)| points.iter().map(|&(x, _)| x));
        let (from, to) = (all().fold(f64::MAX, f64::min), all().fold(1.0, f64::max));
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, (FONT.0, 17))
            .margin(12)
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d((from..to).log_scale(), 0.0..self.top)?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&|x: &f64| format!("{x:.0}"))
            .y_label_formatter(&|y: &f64| format!("{y:.0}"))
            .label_style(FONT)
            .light_line_style(WHITE)
            .draw()?;
        for ((name, points), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
            let style = colour.stroke_width(2);
            let line = LineSeries::new(points.iter().copied(), style).point_size(3);
            chart
                .draw_series(line)?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        chart
            .configure_series_labels()
            .position(self.labels.clone())
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .label_font(FONT)
            .draw()?;
        area.present()?;
        Ok(())
    }
}
