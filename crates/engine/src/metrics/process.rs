//! What the operating system says about our process, read when a scraper asks. Linux only: elsewhere
//! these figures are not there.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::figures::{self, Figure};

/// The ticks in a second that the kernel counts processor time in: 100 in every Linux for programs.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        if let Some(bytes) = resident_bytes() {
            put(&mut encoder, &figures::PROCESS_MEMORY, &ConstGauge::new(bytes))?;
        }
        if let Some(times) = Times::read() {
            put(&mut encoder, &figures::PROCESS_CPU, &ConstCounter::new(times.cpu_seconds))?;
            put(&mut encoder, &figures::PROCESS_START, &ConstGauge::new(times.started_at))?;
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            put(&mut encoder, &figures::PROCESS_FILES, &ConstGauge::new(files.count() as i64))?;
        }
        Ok(())
    }
}

fn put(encoder: &mut DescriptorEncoder, figure: &Figure, metric: &impl EncodeMetric) -> fmt::Result {
    let help = format!("{}.", figure.help);
    let encoder =
        encoder.encode_descriptor(figure.name, &help, figure.unit.as_ref(), metric.metric_type())?;
    metric.encode(encoder)
}

fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

struct Times {
    cpu_seconds: f64,
    started_at: f64,
}

impl Times {
    fn read() -> Option<Times> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let boot = fs::read_to_string("/proc/stat").ok()?;
        let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Times::parse(&stat, boot)
    }

    /// The name of the program stands in brackets and may hold anything, so the rest is counted from
    /// the last one: state is field 3, the two processor times 14 and 15, the start 22.
    fn parse(stat: &str, boot: f64) -> Option<Times> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        Some(Times {
            cpu_seconds: (ticks(14)? + ticks(15)?) / TICKS_PER_SECOND,
            started_at: boot + ticks(22)? / TICKS_PER_SECOND,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_whatever_the_program_is_called() {
        let stat = "42 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 9 0 6000 1 2";
        let times = Times::parse(stat, 1000.0).expect("times");
        assert!((times.cpu_seconds - 2.0).abs() < 1e-9 && (times.started_at - 1060.0).abs() < 1e-9);
        assert!(Times::parse("42 (x", 0.0).is_none() && Times::parse("42 (x) S 1", 0.0).is_none());
    }
}
