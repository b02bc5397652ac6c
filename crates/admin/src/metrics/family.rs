//! Families of metrics, put together for one answer.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use prometheus::{Encoder, TextEncoder};

use super::Distribution;

/// In the order in which they are told.
#[derive(Default)]
pub(super) struct Families(Vec<Family>);

impl Families {
    /// What can grow and shrink.
    pub(super) fn gauge(&mut self, name: &str, help: &str) -> &mut Family {
        self.add(name, help, MetricType::GAUGE)
    }

    /// What only grows.
    pub(super) fn counter(&mut self, name: &str, help: &str) -> &mut Family {
        self.add(name, help, MetricType::COUNTER)
    }

    /// How long things took.
    pub(super) fn histogram(&mut self, name: &str, help: &str) -> &mut Family {
        self.add(name, help, MetricType::HISTOGRAM)
    }

    fn add(&mut self, name: &str, help: &str, kind: MetricType) -> &mut Family {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        let family = Family {
            family,
            kind,
            metrics: Vec::new(),
        };
        self.0.push(family);
        self.0.last_mut().expect("just pushed")
    }

    /// All that have something in them.
    pub(super) fn text(self) -> String {
        let full = self.0.into_iter().filter(|it| !it.metrics.is_empty());
        let families: Vec<MetricFamily> = full
            .map(|mut it| {
                it.family.set_metric(it.metrics);
                it.family
            })
            .collect();
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&families, &mut text)
            .expect("a Vec takes everything, and no family is empty");
        String::from_utf8(text).expect("it was made from strings")
    }
}

/// One of them.
pub(super) struct Family {
    family: MetricFamily,
    kind: MetricType,
    metrics: Vec<Metric>,
}

impl Family {
    /// A value.
    pub(super) fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        let mut metric = metric(labels);
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.metrics.push(metric);
    }

    /// One of a histogram.
    pub(super) fn add_distribution(&mut self, labels: &[(&str, &str)], of: &Distribution) {
        let buckets = of.buckets.iter().map(|(bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(*count);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(of.count);
        histogram.set_sample_sum(of.sum);
        let mut metric = metric(labels);
        metric.set_histogram(histogram);
        self.metrics.push(metric);
    }
}

fn metric(labels: &[(&str, &str)]) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    let mut metric = Metric::default();
    metric.set_label(pairs.collect());
    metric
}
