//! Totals for a log line, read from the output of `/metrics`, so that log and dashboard never disagree.

/// The samples of one scrape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Totals<'a>(pub(crate) &'a str);

impl Totals<'_> {
    /// The sum over all labels.
    pub(crate) fn sum(&self, metric: &str) -> u64 {
        self.sum_where(metric, |_| true)
    }

    /// The sum over the samples with `label="value"`.
    pub(crate) fn with(&self, metric: &str, label: &str, value: &str) -> u64 {
        let wanted = format!("{label}=\"{value}\"");
        self.sum_where(metric, |labels| labels.split(',').any(|pair| pair == wanted))
    }

    fn sum_where(&self, metric: &str, wanted: impl Fn(&str) -> bool) -> u64 {
        let sample = |line: &str| {
            let rest = line.strip_prefix(metric)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.split_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            wanted(labels).then(|| value.trim().parse::<f64>().ok())?
        };
        self.0.lines().filter_map(sample).sum::<f64>() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_added_up() {
        let page = Totals(
            "# HELP a_total x\na_total{outcome=\"published\"} 5\na_total{outcome=\"not-json\"} 2\nb 7\na_total_more 9\n# EOF\n",
        );
        assert_eq!((page.sum("a_total"), page.sum("b"), page.sum("c")), (7, 7, 0));
        assert_eq!(page.with("a_total", "outcome", "published"), 5);
    }
}
