//! Somebody else's cloud as a child process: it says first where it is and with which keys, and then answers questions,
//! each in a line of JSON.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::workspace;

/// The packages of the peers, by version.
const PACKAGES: &str = "xtask/python/ses.txt";

/// A script of `xtask/python` with moto's server.
pub(crate) struct CloudPeer {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    about: Value,
}

impl CloudPeer {
    /// Installs the packages if they are not there, and starts a script.
    pub(crate) fn start(script: &str, arguments: &[&str]) -> Result<CloudPeer> {
        let tools = workspace::python_tools(&workspace::target_folder("ses")?, PACKAGES)?;
        let mut command = Command::new(tools.join("python"));
        command.arg(workspace::root().join("xtask/python").join(script)).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("cannot start the peer")?;
        let questions = child.stdin.take().context("the peer has no input")?;
        let answers = BufReader::new(child.stdout.take().context("the peer has no output")?);
        let mut peer = CloudPeer { child, questions, answers, about: Value::Null };
        peer.about = peer.line()?;
        Ok(peer)
    }

    /// What it said of itself; empty if nothing of that name.
    pub(crate) fn about(&self, name: &str) -> &str {
        self.about[name].as_str().unwrap_or_default()
    }

    /// Puts a question.
    pub(crate) fn ask(&mut self, question: &Value) -> Result<Value> {
        writeln!(self.questions, "{question}")?;
        self.line()
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the peer said {line:?}"))
    }
}

impl Drop for CloudPeer {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().ok();
    }
}
