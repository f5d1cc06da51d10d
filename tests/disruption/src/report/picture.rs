//! The timeline as a picture: what succeeded and failed in each second, broken watches, leaders, and what was done when.
//! Plain SVG, no library.

use std::fmt::Write as _;

use super::Report;
use crate::model::{LeaseSummary, Second};

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 976.0;
/// Below the title; the labels of marks stand here.
const MARK_LINE: f64 = 13.0;
const LOAD_HEIGHT: f64 = 150.0;
const FAILED_HEIGHT: f64 = 76.0;
const ROW: f64 = 26.0;
const SPACE: f64 = 22.0;

const INK: &str = "#1b2733";
const SOFT: &str = "#44576b";
const GRID: &str = "#dde3e8";
const LOOKED: &str = "#8fb8c9";
const CHANGED: &str = "#0f4c5c";
const FAILED: &str = "#c4302b";
const RETRY: &str = "#e6a117";
const BREAK: &str = "#7b3fa0";
const MARK: &str = "#5d6b7a";
const LEADERS: [&str; 2] = ["#3a7d5c", "#a9cdb8"];

impl Report {
    /// The timeline as SVG.
    #[must_use]
    pub fn picture(&self) -> String {
        let rows = mark_rows(self);
        let top = 66.0 + MARK_LINE * rows.iter().map(|row| *row as f64 + 1.0).fold(0.0, f64::max);
        let failed_top = top + LOAD_HEIGHT + SPACE;
        let rows_top = failed_top + FAILED_HEIGHT + SPACE;
        let bottom = rows_top + ROW * (1 + self.leases.len()) as f64;
        let mut canvas = Canvas { svg: String::new(), seconds: self.seconds.max(1.0) };
        canvas.begin(bottom + 44.0, "What clients noticed, second by second");
        canvas.text(16.0, 26.0, "start", INK, 16, &self.headline());
        canvas.legend(46.0);
        canvas.axis(top, bottom);
        canvas.load(self, top);
        canvas.failures(&self.timeline, failed_top);
        canvas.breaks(&self.timeline, rows_top);
        for (index, lease) in self.leases.iter().enumerate() {
            canvas.lease(lease, self.seconds, rows_top + ROW * (index + 1) as f64);
        }
        canvas.marks(self, &rows, top, bottom);
        canvas.svg.push_str("</svg>\n");
        canvas.svg
    }

    fn headline(&self) -> String {
        format!(
            "{} requests: {} reads and {} writes failed, {} told to retry; {} writes lost, {} events missed",
            self.succeeded() + self.failed_reads() + self.failed_writes(),
            self.failed_reads(),
            self.failed_writes(),
            self.told_to_retry(),
            self.writes.lost.len(),
            self.watches.missed.len()
        )
    }
}

/// Labels of marks close to each other stand in different lines.
fn mark_rows(report: &Report) -> Vec<usize> {
    let mut free_from: Vec<f64> = Vec::new();
    let place = |mark: &super::Mark| {
        let x = LEFT + (RIGHT - LEFT) * mark.at / report.seconds.max(1.0);
        let width = label_width(&mark.text);
        // Near the right edge a label stands to the left of its line.
        let begin = if x + width > RIGHT { x - width } else { x };
        let row = free_from.iter().position(|free| *free <= begin).unwrap_or(free_from.len());
        free_from.resize(free_from.len().max(row + 1), 0.0);
        free_from[row] = begin + width;
        row
    };
    report.marks.iter().map(place).collect()
}

/// About how wide a label is: the reader's font is not known here.
fn label_width(text: &str) -> f64 {
    text.chars().count() as f64 * 6.4 + 14.0
}

struct Canvas {
    svg: String,
    seconds: f64,
}

impl Canvas {
    fn x(&self, second: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (second / self.seconds).clamp(0.0, 1.0)
    }

    fn begin(&mut self, height: f64, label: &str) {
        self.raw(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
             font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" role=\"img\" aria-label=\"{label}\">\n\
             <rect width=\"{WIDTH}\" height=\"{height:.0}\" fill=\"#ffffff\"/>\n"
        ));
    }

    fn legend(&mut self, y: f64) {
        let mut x = LEFT;
        for (colour, label, width) in [
            (LOOKED, "reads, lists", 104.0),
            (CHANGED, "writes, deletions", 132.0),
            (FAILED, "failed", 72.0),
            (RETRY, "told to retry", 104.0),
            (BREAK, "watch broke", 100.0),
            (LEADERS[0], "a leader's time", 100.0),
        ] {
            self.bar(x, y - 10.0, 11.0, 11.0, colour);
            self.text(x + 16.0, y, "start", SOFT, 12, label);
            x += width + 16.0;
        }
    }

    /// Seconds along the bottom, and their lines through everything.
    fn axis(&mut self, top: f64, bottom: f64) {
        let step = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0]
            .into_iter()
            .find(|step| self.seconds / step <= 16.0)
            .unwrap_or(3600.0);
        let mut second = 0.0;
        while second <= self.seconds {
            let x = self.x(second);
            self.line(x, top, x, bottom, GRID, "");
            self.text(x, bottom + 17.0, "middle", SOFT, 12, &format!("{second:.0}"));
            second += step;
        }
        self.text(RIGHT, bottom + 34.0, "end", SOFT, 12, "seconds from the beginning of the load");
    }

    fn load(&mut self, report: &Report, top: f64) {
        let most = report.timeline.iter().map(|it| it.looked + it.changed).max().unwrap_or(0).max(1);
        let most = round_up(f64::from(most));
        self.scale(top, LOAD_HEIGHT, most, "succeeded per second");
        for (index, second) in report.timeline.iter().enumerate() {
            let changed = LOAD_HEIGHT * f64::from(second.changed) / most;
            let looked = LOAD_HEIGHT * f64::from(second.looked) / most;
            self.second_bar(index, top + LOAD_HEIGHT - changed, changed, CHANGED);
            self.second_bar(index, top + LOAD_HEIGHT - changed - looked, looked, LOOKED);
        }
    }

    fn failures(&mut self, timeline: &[Second], top: f64) {
        let failed = |second: &Second| second.failed.values().sum::<u32>();
        let most = timeline.iter().map(|it| failed(it) + it.told_to_retry).max().unwrap_or(0);
        // Never so fine that a single failure fills the panel.
        let most = round_up(f64::from(most.max(5)));
        self.scale(top, FAILED_HEIGHT, most, "failed per second");
        for (index, second) in timeline.iter().enumerate() {
            let bad = FAILED_HEIGHT * f64::from(failed(second)) / most;
            let retry = FAILED_HEIGHT * f64::from(second.told_to_retry) / most;
            self.second_bar(index, top + FAILED_HEIGHT - bad, bad, FAILED);
            self.second_bar(index, top + FAILED_HEIGHT - bad - retry, retry, RETRY);
        }
    }

    fn breaks(&mut self, timeline: &[Second], top: f64) {
        let middle = top + ROW / 2.0;
        self.text(LEFT - 12.0, middle + 4.0, "end", SOFT, 12, "watches that broke");
        self.line(LEFT, middle, RIGHT, middle, GRID, "");
        for (index, second) in timeline.iter().enumerate().filter(|(_, second)| second.watch_breaks > 0) {
            let x = self.x(index as f64 + 0.5);
            let count = second.watch_breaks;
            self.raw(format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{middle:.1}\" r=\"9\" fill=\"{BREAK}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"10\" fill=\"#ffffff\">{count}</text>\n",
                middle + 3.5
            ));
        }
    }

    fn lease(&mut self, lease: &LeaseSummary, end: f64, top: f64) {
        let label = lease.name.trim_start_matches("kube-");
        self.text(LEFT - 12.0, top + ROW / 2.0 + 4.0, "end", SOFT, 12, &format!("{label} leader"));
        let ends = lease.tenures.iter().skip(1).map(|next| next.from).chain([end]);
        let mut colour = 0;
        for (tenure, until) in lease.tenures.iter().zip(ends) {
            if tenure.holder.is_empty() {
                continue;
            }
            let (from, until) = (self.x(tenure.from), self.x(until));
            self.bar(from, top + 5.0, (until - from).max(1.5), ROW - 10.0, LEADERS[colour % 2]);
            // client-go's identity is the hostname and a random part.
            let holder = tenure.holder.rsplit_once('_').map_or(&*tenure.holder, |(host, _)| host);
            if until - from > holder.chars().count() as f64 * 6.2 + 10.0 {
                let ink = if colour % 2 == 0 { "#ffffff" } else { INK };
                self.text(from + 5.0, top + ROW / 2.0 + 3.5, "start", ink, 11, holder);
            }
            colour += 1;
        }
    }

    fn marks(&mut self, report: &Report, rows: &[usize], top: f64, bottom: f64) {
        for (mark, row) in report.marks.iter().zip(rows) {
            let x = self.x(mark.at);
            let y = top - 6.0 - MARK_LINE * *row as f64;
            self.line(x, y - 8.0, x, bottom, MARK, " stroke-dasharray=\"4 3\"");
        }
        // Above all lines, on a rim of white: labels stand across the lines of later marks.
        self.raw(format_args!("<g stroke=\"#ffffff\" stroke-width=\"3\" paint-order=\"stroke\">\n"));
        for (mark, row) in report.marks.iter().zip(rows) {
            let (x, y) = (self.x(mark.at), top - 6.0 - MARK_LINE * *row as f64);
            if x + label_width(&mark.text) > RIGHT {
                self.text(x - 4.0, y, "end", INK, 12, &mark.text);
            } else {
                self.text(x + 4.0, y, "start", INK, 12, &mark.text);
            }
        }
        self.raw(format_args!("</g>\n"));
    }

    /// The numbers at the left of a panel, its line at the bottom, and what it shows.
    fn scale(&mut self, top: f64, height: f64, most: f64, label: &str) {
        self.line(LEFT, top + height, RIGHT, top + height, SOFT, "");
        self.line(LEFT, top, RIGHT, top, GRID, "");
        self.text(LEFT - 8.0, top + 4.0, "end", SOFT, 12, &format!("{most:.0}"));
        self.text(LEFT - 8.0, top + height + 4.0, "end", SOFT, 12, "0");
        self.text(LEFT - 40.0, top + height / 2.0 + 4.0, "end", SOFT, 12, label);
    }

    fn second_bar(&mut self, index: usize, y: f64, height: f64, colour: &str) {
        if height > 0.0 {
            let (from, until) = (self.x(index as f64), self.x(index as f64 + 1.0));
            let space = ((until - from) * 0.12).min(1.5);
            self.bar(from + space / 2.0, y, (until - from - space).max(0.5), height, colour);
        }
    }

    fn bar(&mut self, x: f64, y: f64, width: f64, height: f64, colour: &str) {
        self.raw(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>\n"
        ));
    }

    fn line(&mut self, x1: f64, y1: f64, x2: f64, y2: f64, colour: &str, more: &str) {
        self.raw(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"{more}/>\n"
        ));
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, colour: &str, size: u8, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        self.raw(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"{colour}\">{text}</text>\n"
        ));
    }

    fn raw(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _infallible = self.svg.write_fmt(arguments);
    }
}

/// The next number that reads well at an axis.
fn round_up(number: f64) -> f64 {
    let magnitude = 10_f64.powf(number.log10().floor());
    [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * magnitude)
        .find(|candidate| *candidate >= number)
        .unwrap_or(number)
}
