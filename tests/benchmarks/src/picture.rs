//! Every measured start as a dot, medians as strokes: bare beside Pilothouse. Plain SVG, no library.

use std::fmt::Write as _;

use crate::sample::{Sample, Starts};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 210.0;
const RIGHT: f64 = 730.0;
const ROW: f64 = 44.0;
const TOP: f64 = 48.0;

/// The picture of both kinds of start.
pub(crate) fn starts(bare: &Starts, ours: &Starts) -> String {
    let rows = [
        ("first ready API server", "bare", &bare.api_ready, "#8a8f98"),
        ("", "Pilothouse", &ours.api_ready, "#0f4c5c"),
        ("both leases held", "bare", &bare.leases_held, "#8a8f98"),
        ("", "Pilothouse", &ours.leases_held, "#0f4c5c"),
    ];
    let most = rows.iter().map(|row| row.2.most()).fold(1.0, f64::max).ceil();
    let x = |seconds: f64| LEFT + (RIGHT - LEFT) * seconds / most;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\" role=\"img\" \
         aria-label=\"Seconds from the first process, bare and under Pilothouse\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" fill=\"#1b2733\">seconds from the first process; \
         one dot a start, strokes are medians</text>\n"
    );
    let bottom = TOP + ROW * 4.0;
    let step = if most > 12.0 { 2.0 } else { 1.0 };
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
    for (index, (group, label, sample, colour)) in rows.into_iter().enumerate() {
        let y = TOP + ROW * (index as f64 + 0.5);
        row(&mut svg, group, label, sample, colour, y, &x);
    }
    svg.push_str("</svg>\n");
    svg
}

fn row(
    svg: &mut String,
    group: &str,
    label: &str,
    sample: &Sample,
    colour: &str,
    y: f64,
    x: &dyn Fn(f64) -> f64,
) {
    let _infallible = writeln!(
        svg,
        "<text x=\"12\" y=\"{:.1}\" fill=\"#1b2733\">{group}</text>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{colour}\">{label}</text>",
        y + ROW / 2.0 + 4.0,
        LEFT - 12.0,
        y + 4.0
    );
    for seconds in &sample.0 {
        let _infallible = writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{colour}\" fill-opacity=\"0.45\"/>",
            x(*seconds)
        );
    }
    let median = x(sample.median());
    let _infallible = writeln!(
        svg,
        "<line x1=\"{median:.1}\" y1=\"{:.1}\" x2=\"{median:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"3\"/>",
        y - 14.0,
        y + 14.0
    );
}
