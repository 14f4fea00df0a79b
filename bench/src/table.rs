//! The table of results.

use std::io::{self, Write as _};

/// A row: a figure of both servers and its target.
#[derive(Debug)]
pub struct Row {
    /// The workload.
    pub workload: &'static str,
    /// The figure and its unit.
    pub figure: &'static str,
    /// The figure of the raw server.
    pub raw: Option<f64>,
    /// The figure of duologue.
    pub duologue: f64,
    /// The result that is compared to the target.
    pub result: Option<Outcome>,
}

/// A result and its target.
#[derive(Debug, Clone, Copy)]
pub enum Outcome {
    /// A ratio that should be at least this.
    AtLeast(f64, f64),
    /// A ratio or a figure that should be at most this.
    AtMost(f64, f64),
    /// A ratio without a target.
    Ratio(f64),
}

impl Row {
    /// A figure that must be at least a fraction of the raw server's.
    pub fn at_least(workload: &'static str, figure: &'static str, raw: f64, duologue: f64, target: f64) -> Self {
        let result = Some(Outcome::AtLeast(duologue / raw, target));
        Self { workload, figure, raw: Some(raw), duologue, result }
    }

    /// An additional figure for the preceding row.
    pub fn more(workload: &'static str, figure: &'static str, raw: f64, duologue: f64) -> Self {
        Self { workload, figure, raw: Some(raw), duologue, result: Some(Outcome::Ratio(duologue / raw)) }
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1_000.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Prints the table as Markdown.
pub fn print(rows: &[Row]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "| | figure | raw | duologue | result | target | |")?;
    writeln!(out, "|---|---|---:|---:|---:|---:|---|")?;
    for row in rows {
        let (result, target, verdict) = match row.result {
            Some(Outcome::AtLeast(value, target)) => (number(value), format!("≥ {target}"), value >= target),
            Some(Outcome::AtMost(value, target)) => (number(value), format!("≤ {target}"), value <= target),
            Some(Outcome::Ratio(value)) => (number(value), String::new(), true),
            None => (String::new(), String::new(), true),
        };
        let verdict = match (target.is_empty(), verdict) {
            (true, _) => "",
            (_, true) => "met",
            (_, false) => "missed",
        };
        let raw = row.raw.map(number).unwrap_or_default();
        let duologue = number(row.duologue);
        writeln!(out, "| {} | {} | {raw} | {duologue} | {result} | {target} | {verdict} |", row.workload, row.figure)?;
    }
    Ok(())
}
