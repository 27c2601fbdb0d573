//! `fuzz`: inputs that nobody would think of, for everything that reads what strangers send.
//!
//! The targets in `fuzz/` have the layout of cargo-fuzz. Here they are built by the stable compiler: coverage
//! counters are options of its code generator, and a memory sanitiser would find little in a tree without
//! `unsafe` code of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::time::Instant;

use crate::workspace;

/// What makes a target fuzzable: a counter on every edge, and every comparison told to the fuzzer.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// The largest input: longer than any limit that a target's text has.
const INPUT_BYTES_MAX: u32 = 16 * 1024;

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct FuzzArgs {
    /// Only this target
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60, conflicts_with = "inputs", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) seconds: u32,
    /// Inputs for each target instead of seconds, and the same ones every time: from the seeds alone
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) inputs: Option<u32>,
}

/// How far a search goes.
#[derive(Debug, Clone, Copy)]
enum Bound {
    /// On from what earlier searches kept, with lots drawn anew.
    Seconds(u32),
    /// From the seeds in the repository, with the same lots every time. So that a change of the code fails its
    /// check for what it changed, and never for the luck of the draw.
    Inputs(u32),
}

/// Builds the targets, and lets each search.
pub(crate) fn run(args: &FuzzArgs) -> Result<()> {
    let bound = args.inputs.map_or(Bound::Seconds(args.seconds), Bound::Inputs);
    let known = targets()?;
    let chosen: Vec<&String> =
        known.iter().filter(|name| args.target.as_ref().is_none_or(|only| only == *name)).collect();
    ensure!(!chosen.is_empty(), "no target has that name; there are {}", known.join(", "));
    let binaries = build()?;
    for name in chosen {
        search(name, &binaries.join(name), bound)?;
    }
    Ok(())
}

/// The names of the targets: one file each.
fn targets() -> Result<Vec<String>> {
    let folder = workspace::root().join("fuzz/fuzz_targets");
    let files =
        workspace::rust_files(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    Ok(files.iter().filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())).collect())
}

/// Builds every target, and says in which folder.
fn build() -> Result<PathBuf> {
    let folder = workspace::target_folder("fuzz")?;
    let host = host()?;
    let mut command = workspace::cargo();
    // Named, so that the flags are for the targets and not for build scripts.
    command.args(["build", "--release", "--quiet", "--manifest-path", "fuzz/Cargo.toml", "--target", &host]);
    command.arg("--target-dir").arg(&folder).env("RUSTFLAGS", FLAGS.join(" "));
    workspace::run(&mut command)?;
    Ok(folder.join(host).join("release"))
}

/// The machine that we build for, as the compiler calls it.
fn host() -> Result<String> {
    let told = workspace::output(Command::new("rustc").arg("--version").arg("--verbose"))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say which machine it is for")?.to_owned())
}

fn search(name: &str, binary: &Path, bound: Bound) -> Result<()> {
    let finds = workspace::target_folder(&format!("fuzz-finds/{name}"))?;
    let mut command = Command::new(binary);
    limit(&mut command, name, bound)?;
    let seeds = workspace::root().join("fuzz/seeds").join(name);
    if seeds.exists() {
        command.arg(&seeds);
    }
    command
        .arg(format!("-max_len={INPUT_BYTES_MAX}"))
        .arg(format!("-artifact_prefix={}/", finds.display()))
        .args(["-timeout=5", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0"]);
    let log = finds.join("log");
    let file = fs::File::create(&log)?;
    let began = Instant::now();
    let status = command.stdout(file.try_clone()?).stderr(file).status();
    let status = status.with_context(|| format!("cannot start {}", binary.display()))?;
    let told = fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())?;
    if !status.success() {
        let end: Vec<&str> = told.lines().rev().take(40).collect();
        let end: Vec<&str> = end.into_iter().rev().collect();
        bail!("{name} found something; the input is in {}\n{}", finds.display(), end.join("\n"));
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{name:<20}{:>14} inputs tried in {seconds:.1} s, nothing found", tried(&told).unwrap_or("?"));
    Ok(())
}

/// Says how far to go, and names the folder into which the search writes what leads it further.
fn limit(command: &mut Command, name: &str, bound: Bound) -> Result<()> {
    match bound {
        Bound::Seconds(seconds) => {
            command.arg(workspace::target_folder(&format!("fuzz-corpus/{name}"))?);
            command.arg(format!("-max_total_time={seconds}"));
        }
        Bound::Inputs(inputs) => {
            let corpus = workspace::target_folder(&format!("fuzz-repeated/{name}"))?;
            fs::remove_dir_all(&corpus)?;
            fs::create_dir(&corpus)?;
            command.arg(corpus).args([
                format!("-runs={inputs}"),
                "-seed=1".to_owned(),
                "-reload=0".to_owned(),
            ]);
        }
    }
    Ok(())
}

fn tried(log: &str) -> Option<&str> {
    log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:")).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_declared() {
        let manifest = fs::read_to_string(workspace::root().join("fuzz/Cargo.toml")).unwrap();
        for name in targets().unwrap() {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        }
        assert_eq!(manifest.matches("[[bin]]").count(), targets().unwrap().len());
    }

    #[test]
    fn the_number_of_inputs_is_found_in_the_log() {
        assert_eq!(tried("a\nstat::number_of_executed_units: 1234\nb"), Some("1234"));
        assert_eq!(tried("nothing"), None);
    }
}
