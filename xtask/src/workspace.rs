//! Where things are: the repository's root, its target folder, and its Rust sources.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

/// The repository's root folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the manifest of xtask lies one folder below the root").to_owned()
}

/// A folder under `target/`, made when missing. It lies on the disk that the build uses, so that
/// what is measured there is a disk and not a file system in memory.
pub(crate) fn target_folder(name: &str) -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let folder = target.join(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// The folder of tools written in Python, in an environment of their own below `folder`, with the
/// packages that a file of the repository lists.
pub(crate) fn python_tools(folder: &Path, packages: &str) -> Result<PathBuf> {
    let environment = folder.join("venv");
    let python = environment.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    run(Command::new(&python).args(install).arg(root().join(packages)))?;
    Ok(environment.join("bin"))
}

/// The cargo that started us, or the one on the path.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// What a command printed, when it succeeded.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let done = command.output().with_context(|| format!("cannot run {}", shown(command)))?;
    ensure!(
        done.status.success(),
        "{} failed ({}):\n{}",
        shown(command),
        done.status,
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout)
        .with_context(|| format!("{} printed something else than text", shown(command)))
}

/// Runs a command in the foreground.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", shown(command)))?;
    ensure!(status.success(), "{} failed ({status})", shown(command));
    Ok(())
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(OsStr::new("?"));
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Every `.rs` file below `folder`, in order, build output and installed packages left out.
pub(crate) fn rust_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    files_in(folder, "rs")
}

/// Every file with an extension in a folder and in those below, in order; what is built or hidden is left out.
pub(crate) fn files_in(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            if path.is_dir() && !matches!(name, "target" | "node_modules") && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension() == Some(OsStr::new(extension)) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
