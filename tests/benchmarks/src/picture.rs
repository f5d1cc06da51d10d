//! Every measurement as a dot, medians as strokes, the floor beside Pilothouse. Plain SVG, no library.

use std::fmt::Write as _;

use crate::sample::Sample;

const WIDTH: f64 = 790.0;
const LEFT: f64 = 290.0;
const RIGHT: f64 = 760.0;
const ROW: f64 = 44.0;
const TOP: f64 = 48.0;
/// Below the last row: the numbers of the axis.
const FOOT: f64 = 36.0;
/// Seconds between lines, the first that gives no more than so many lines.
const STEPS: [f64; 6] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0];
const MOST_LINES: f64 = 12.0;

/// Rows about one thing.
pub(crate) struct Group<'a> {
    /// What.
    pub(crate) text: &'a str,
    /// Who.
    pub(crate) rows: Vec<Row<'a>>,
}

/// One row of dots.
pub(crate) struct Row<'a> {
    label: &'a str,
    sample: &'a Sample,
    colour: &'static str,
}

impl<'a> Row<'a> {
    /// What Pilothouse is measured against.
    pub(crate) fn floor(label: &'a str, sample: &'a Sample) -> Self {
        Self { label, sample, colour: "#8a8f98" }
    }

    /// Pilothouse.
    pub(crate) fn ours(sample: &'a Sample) -> Self {
        Self { label: "Pilothouse", sample, colour: "#0f4c5c" }
    }

    /// The same under another name.
    pub(crate) fn labelled(self, label: &'a str) -> Self {
        Self { label, ..self }
    }
}

/// The picture: a title, the same for who cannot see it, and the rows.
pub(crate) fn dots(title: &str, described: &str, groups: &[Group<'_>]) -> String {
    let rows = || groups.iter().flat_map(|group| &group.rows);
    let most = rows().map(|row| row.sample.most()).fold(1.0, f64::max).ceil();
    let bottom = TOP + ROW * rows().count() as f64;
    let height = bottom + FOOT;
    let x = |seconds: f64| LEFT + (RIGHT - LEFT) * seconds / most;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\" role=\"img\" \
         aria-label=\"{described}\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" fill=\"#1b2733\">{title}</text>\n"
    );
    let step = STEPS.into_iter().find(|step| most / step <= MOST_LINES).unwrap_or(most);
    let mut tick = 0.0;
    while tick <= most {
        let at = x(tick);
        let _infallible = writeln!(
            svg,
            "<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#dde3e8\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#44576b\">{tick:.0}</text>",
            bottom + 18.0
        );
        tick += step;
    }
    let mut y = TOP + ROW / 2.0;
    for group in groups {
        let middle = y + ROW * (group.rows.len() as f64 - 1.0) / 2.0 + 4.0;
        let _infallible =
            writeln!(svg, "<text x=\"12\" y=\"{middle:.1}\" fill=\"#1b2733\">{}</text>", group.text);
        for row in &group.rows {
            draw(&mut svg, row, y, &x);
            y += ROW;
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, row: &Row<'_>, y: f64, x: &dyn Fn(f64) -> f64) {
    let colour = row.colour;
    let _infallible = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{colour}\">{}</text>",
        LEFT - 12.0,
        y + 4.0,
        row.label
    );
    for seconds in &row.sample.0 {
        let _infallible = writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{colour}\" fill-opacity=\"0.45\"/>",
            x(*seconds)
        );
    }
    let median = x(row.sample.median());
    let _infallible = writeln!(
        svg,
        "<line x1=\"{median:.1}\" y1=\"{:.1}\" x2=\"{median:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"3\"/>",
        y - 14.0,
        y + 14.0
    );
}
