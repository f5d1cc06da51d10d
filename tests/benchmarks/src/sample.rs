//! Measured starts and what is said about many of them: median and range.

/// One measured start, in seconds since the first process was started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    /// Until the first API server answered /readyz with 200.
    pub(crate) api_ready: f64,
    /// Until the controller-manager's and the scheduler's lease were both held.
    pub(crate) leases_held: f64,
}

/// Many of them.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    pub(crate) api_ready: Sample,
    pub(crate) leases_held: Sample,
}

impl Starts {
    pub(crate) fn add(&mut self, start: Start) {
        self.api_ready.0.push(start.api_ready);
        self.leases_held.0.push(start.leases_held);
    }
}

/// Numbers of one kind.
#[derive(Debug, Default, Clone)]
pub(crate) struct Sample(pub(crate) Vec<f64>);

impl Sample {
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    /// The smallest value that at least `percent` of all do not exceed.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn most(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!((Sample(vec![3.0, 1.0, 2.0]).median() - 2.0).abs() < f64::EPSILON);
        assert!((Sample(vec![4.0, 1.0, 2.0, 3.0]).median() - 2.5).abs() < f64::EPSILON);
    }

    #[test]
    fn of_ten_the_99th_percentile_is_the_slowest() {
        let ten = Sample((1..=10).rev().map(f64::from).collect());
        assert!((ten.percentile(99.0) - 10.0).abs() < f64::EPSILON);
        assert!((ten.percentile(50.0) - 5.0).abs() < f64::EPSILON);
        assert!(Sample::default().percentile(50.0).is_nan());
    }
}
