//! `chaos-beside`: what stands beside webhooks, all of it at once, in a process that is killed again and again.
//!
//! Voice notes, sources, mails, an inbox, chains and owners' alerts. Whoever asks keeps a book of what was
//! answered; after each kill the stopped store is counted anew, and at the end every book is compared with
//! what the API shows, what arrived, and what is on disk.

mod chains;
mod fading;
mod failures;
mod handles;
mod inbox;
mod mails;
mod notes;
mod recount;
mod sources;
mod stage;

use std::{collections::BTreeSet, future::Future, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    api::HANDLE,
    clock,
    mail_peer::MailPeer,
    product::{self, Installation, Running},
    random::Random,
    statistics::{micros, millis},
};
use failures::{INTERVAL_SECONDS, Owner};
use inbox::Posted;
use recount::{When, recount};
use stage::{Findings, Stage};

/// The load goes on for so long after the last restart.
const LAST_STRETCH: Duration = Duration::from_secs(2);
/// The waits of policy `email` become 0.6 to 180 s, those of syncs 50 to 400 ms.
const RETRY_WAITS_PERCENT: u32 = 1;
/// Every so many lives of the process are one in which the mail server is away.
const MAILS_STOP_EVERY: u32 = 4;
/// Faults that are shown.
const SHOWN: usize = 20;

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct BesideArgs {
    /// How often the process is killed, 0.2 to 4 seconds apart
    #[arg(long, default_value_t = 10)]
    kills: u32,
    /// Repeats the moments of an earlier run
    #[arg(long)]
    seed: Option<u64>,
    /// Uses this binary instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// Runs it, and fails on anything lost, stuck, twice, invented or miscounted.
pub(crate) async fn run(args: BesideArgs) -> Result<()> {
    let binary = args.binary.map_or_else(product::build, Ok)?;
    let seed = args.seed.unwrap_or_else(|| clock::since_epoch().as_secs());
    println!("chaos-beside: {} kills; repeat with --seed {seed}", args.kills);
    let peer = MailPeer::start().await?;
    let mut installation = Installation::new(&binary, RETRY_WAITS_PERCENT)?;
    installation.set(peer.settings());
    let documents = installation.folder().join("documents");
    installation.set([
        ("ANGARIUM_CONTEXT_FOLDERS", documents.display().to_string()),
        ("ANGARIUM_VOICE_PER_HANDLE_MAX", "100000".to_owned()),
    ]);
    let stage = Arc::new(Stage::new(installation.address(), installation.folder().to_owned(), peer).await?);
    let found = conduct(&installation, &stage, args.kills, seed).await;
    if !found.as_ref().is_ok_and(|findings| findings.faults.is_empty()) {
        println!("store and log are kept in {}", installation.keep().display());
    }
    let Findings { done, faults } = found?;
    for (what, times) in done {
        println!("{what:<28}{times}");
    }
    for fault in faults.iter().take(SHOWN) {
        println!("  {fault}");
    }
    ensure!(faults.is_empty(), "{} faults; repeat with --seed {seed}", faults.len());
    Ok(())
}

async fn conduct(installation: &Installation, stage: &Arc<Stage>, kills: u32, seed: u64) -> Result<Findings> {
    let mut running = installation.start(None)?;
    running.ready().await?;
    let last = prepare(stage).await?;
    let mut crowd = Crowd::gather(stage, seed, last);
    let (mut random, mut findings, mut first_answers) =
        (Random::seeded(seed), Findings::default(), Vec::new());
    for kill in 0..kills {
        // In one life of so many nobody takes mails.
        match kill % MAILS_STOP_EVERY {
            2 => stage.peer.go_down().await?,
            3 => stage.peer.come_up().await?,
            _ => {}
        }
        let moment = random.between(Duration::from_millis(200), Duration::from_secs(4));
        crowd.none_fails_for(moment).await.with_context(|| last_words(&running))?;
        running.kill()?;
        findings.faults.extend(recount(&stage.folder, INTERVAL_SECONDS, When::Killed)?);
        running = installation.start(None)?;
        first_answers.push(running.ready().await?);
    }
    if kills % MAILS_STOP_EVERY == 3 {
        stage.peer.come_up().await?;
    }
    crowd.none_fails_for(LAST_STRETCH).await.with_context(|| last_words(&running))?;
    stage.stop();
    let books = crowd.books().await.with_context(|| last_words(&running))?;
    // What was answered last is looked at by another process than the one that answered.
    running.kill()?;
    running = installation.start(None)?;
    first_answers.push(running.ready().await?);
    findings.absorb(books.judge(stage).await.with_context(|| last_words(&running))?);
    end(installation, running, stage, &mut findings).await?;
    let sorted = micros(&first_answers);
    let (middle, worst) = (millis(sorted.percentile(50.0)), millis(sorted.greatest()));
    println!("{:<28}{middle} in the middle, {worst} at worst", "restart to first answer");
    Ok(findings)
}

fn last_words(running: &Running) -> String {
    format!("the end of the log is {:?}", running.last_words())
}

/// Who listens, what is decided, and who is told, before anybody asks for anything. Answers when the last item
/// of the long inbox was made.
async fn prepare(stage: &Stage) -> Result<String> {
    let types = ["voice_note.*", "context_store.*", "inbox.*", "chain.*"];
    stage.owner(HANDLE)?.subscribe(&stage.receiver.url("/ear"), &types, json!({})).await?;
    chains::prepare(stage).await?;
    Owner::Told.prepare(stage).await?;
    Owner::Untold.prepare(stage).await?;
    fading::prepare(stage).await
}

/// Stops the process in peace, and counts once more: nothing may be unfinished now.
async fn end(
    installation: &Installation,
    mut running: Running,
    stage: &Stage,
    findings: &mut Findings,
) -> Result<()> {
    stage.heard().await?;
    running.ask_to_stop()?;
    let status = running.ended().await?;
    findings.expect(status.success(), || format!("asked to stop, the process ended with {status}"));
    findings.faults.extend(recount(&stage.folder, INTERVAL_SECONDS, When::Quiet)?);
    installation.command(&["audit", "verify"]).context("the audit log")?;
    Ok(())
}

/// Everybody who asks for something, each in a task of their own.
struct Crowd {
    tasks: JoinSet<Result<Book>>,
    posted: Posted,
}

/// What one of them was answered.
enum Book {
    Notes(Vec<notes::Note>),
    Sources(Vec<sources::Source>),
    Mails(Vec<mails::Audience>),
    Posts,
    Ending(fading::Ending),
    Skimmers(usize),
    Tenants(Vec<handles::Tenant>),
    Reader(Box<inbox::Reader>),
    Sessions(Vec<chains::Session>),
    Failures(Owner, BTreeSet<String>),
}

/// The books of all.
#[derive(Default)]
struct Books {
    notes: Vec<notes::Note>,
    sources: Vec<sources::Source>,
    audiences: Vec<mails::Audience>,
    readers: Vec<inbox::Reader>,
    sessions: Vec<chains::Session>,
    failures: Vec<(Owner, BTreeSet<String>)>,
    posted: Posted,
    ending: fading::Ending,
    skimmers: usize,
    tenants: Vec<handles::Tenant>,
}

impl Crowd {
    fn gather(stage: &Arc<Stage>, seed: u64, last: String) -> Crowd {
        let mut crowd = Crowd { tasks: JoinSet::new(), posted: Posted::default() };
        let all = || Arc::clone(stage);
        for worker in 0..2 {
            crowd.add(notes::work(all(), worker), Book::Notes);
            crowd.add(sources::work(all(), worker), Book::Sources);
            crowd.add(chains::work(all(), worker), Book::Sessions);
            crowd.add(mails::work(all(), worker), Book::Mails);
        }
        let posted = Arc::clone(&crowd.posted);
        crowd.add(inbox::post(all(), Arc::clone(&posted)), |()| Book::Posts);
        for number in 0..3 {
            let reader = inbox::read(all(), Arc::clone(&posted), number, seed);
            crowd.add(reader, |reader| Book::Reader(Box::new(reader)));
        }
        crowd.add(fading::work(all(), seed), Book::Ending);
        crowd.add(fading::skim(all(), last), Book::Skimmers);
        crowd.add(handles::work(all()), Book::Tenants);
        for owner in [Owner::Told, Owner::Untold] {
            crowd.add(owner.work(all()), move |events| Book::Failures(owner, events));
        }
        crowd
    }

    fn add<T>(
        &mut self,
        work: impl Future<Output = Result<T>> + Send + 'static,
        book: impl FnOnce(T) -> Book + Send + 'static,
    ) {
        self.tasks.spawn(async move { work.await.map(book) });
    }

    /// Lets them ask for a while; whoever was answered otherwise than promised ends the trial.
    async fn none_fails_for(&mut self, while_: Duration) -> Result<()> {
        tokio::select! {
            () = sleep(while_) => Ok(()),
            Some(ended) = self.tasks.join_next() => match ended.context("a caller panicked")? {
                Ok(_) => bail!("a caller stopped by itself"),
                Err(error) => Err(error),
            },
        }
    }

    /// Waits until each has their last answer.
    async fn books(mut self) -> Result<Books> {
        let mut books = Books { posted: self.posted, ..Books::default() };
        while let Some(ended) = self.tasks.join_next().await {
            match ended.context("a caller panicked")?? {
                Book::Notes(notes) => books.notes.extend(notes),
                Book::Sources(sources) => books.sources.extend(sources),
                Book::Mails(audiences) => books.audiences.extend(audiences),
                Book::Posts => {}
                Book::Ending(ending) => books.ending = ending,
                Book::Skimmers(skimmers) => books.skimmers = skimmers,
                Book::Tenants(tenants) => books.tenants.extend(tenants),
                Book::Reader(reader) => books.readers.push(*reader),
                Book::Sessions(sessions) => books.sessions.extend(sessions),
                Book::Failures(owner, events) => books.failures.push((owner, events)),
            }
        }
        Ok(books)
    }
}

impl Books {
    async fn judge(self, stage: &Stage) -> Result<Findings> {
        // What ends in the background ends first: it leaves files behind, or is told of.
        let mut findings = handles::judge(stage, self.tenants).await.context("handles")?;
        findings.absorb(notes::judge(stage, self.notes).await.context("voice notes")?);
        findings.absorb(sources::judge(stage, self.sources).await.context("sources")?);
        stage.heard().await?;
        findings.absorb(mails::judge(stage, self.audiences).await.context("mails")?);
        findings.absorb(inbox::judge(stage, self.readers, self.posted).await.context("the inbox")?);
        findings.absorb(fading::judge(stage, self.ending, self.skimmers).await.context("other inboxes")?);
        findings.absorb(chains::judge(stage, self.sessions).await.context("chains")?);
        for (owner, events) in self.failures {
            findings.absorb(owner.judge(stage, events).await.context("owners' alerts")?);
        }
        Ok(findings)
    }
}
