//! Voice notes: announced, uploaded and completed, some of them wrongly, some not to the end, some removed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::stage::{Findings, QUIET_WITHIN, Stage};
use crate::{
    api::HANDLE,
    asker::{Asker, by_nobody, text_of},
    patience::eventually,
};

const NOTES: &str = "/mobile/voice-notes";
const PAUSE: Duration = Duration::from_millis(30);
/// Every so many files are large, so that processes end in the middle of them.
const LARGE_EVERY: u32 = 6;
const SMALL_MILLIS: u32 = 300;
const LARGE_MILLIS: u32 = 120_000;

/// What a note must have become in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Ready,
    /// It was no recording.
    Failed,
    /// Nobody said that it was complete, though it was uploaded.
    Uploaded,
    /// Nobody uploaded it.
    Announced,
    Removed,
}

/// A note that was accepted.
#[derive(Debug)]
pub(super) struct Note {
    id: String,
    name: String,
    fate: Fate,
}

/// Sends one note after the other until it is enough.
pub(super) async fn work(stage: Arc<Stage>, worker: u32) -> Result<Vec<Note>> {
    let mut asker = stage.asker(&stage.owner(HANDLE)?);
    let mut notes = Vec::new();
    while stage.goes_on_after(PAUSE).await {
        let n = u32::try_from(notes.len())?;
        notes.push(send(&mut asker, worker, n).await?);
    }
    Ok(notes)
}

async fn send(asker: &mut Asker, worker: u32, n: u32) -> Result<Note> {
    let fate = match n % 8 {
        3 => Fate::Failed,
        5 => Fate::Uploaded,
        6 => Fate::Announced,
        7 => Fate::Removed,
        _ => Fate::Ready,
    };
    let name = format!("note-{worker}-{n}.wav");
    let millis = if n.is_multiple_of(LARGE_EVERY) { LARGE_MILLIS } else { SMALL_MILLIS };
    let file = if fate == Fate::Failed { no_recording() } else { wav(millis) };
    let wish = json!({ "contentType": "audio/wav", "sizeBytes": file.len(), "fileName": name });
    let announced = asker.write(NOTES, &wish, &name).await?.expect(StatusCode::CREATED)?;
    let id = text_of(&announced, "voiceNoteId")?;
    let again = asker.write(NOTES, &wish, &name).await?.expect(StatusCode::CREATED)?;
    ensure!(again["voiceNoteId"] == id, "{name} was announced twice by one key: {announced} and {again}");
    if fate != Fate::Announced {
        upload(asker, &announced, file).await?;
    }
    if !matches!(fate, Fate::Announced | Fate::Uploaded) {
        let path = format!("{NOTES}/{id}/upload-complete");
        asker.write(&path, &json!({}), &format!("{name}-complete")).await?.expect(StatusCode::OK)?;
    }
    if fate == Fate::Removed {
        asker
            .remove(&format!("{NOTES}/{id}"), &format!("{name}-gone"))
            .await?
            .expect(StatusCode::NO_CONTENT)?;
    }
    Ok(Note { id, name, fate })
}

/// Sends a file to where its announcement says. One that was uploaded although nobody heard the answer is there already.
pub(super) async fn upload(asker: &mut Asker, announced: &Value, file: Vec<u8>) -> Result<()> {
    let url = text_of(&announced["upload"], "url")?;
    let path = &url[url.find("/v2/").with_context(|| format!("{url} is no address of ours"))?..];
    let answer = asker.insist(&by_nobody(Method::PUT, path, "audio/wav", file)?).await?;
    match answer.status {
        StatusCode::NO_CONTENT => Ok(()),
        StatusCode::CONFLICT if answer.asked > 1 => Ok(()),
        status => bail!("an upload, sent {} times, was answered {status}: {announced}", answer.asked),
    }
}

/// Waits until nothing is listened to any more, and compares.
pub(super) async fn judge(stage: &Stage, notes: Vec<Note>) -> Result<Findings> {
    let (mut findings, listed) = (Findings::default(), settled(stage).await?);
    let named: Vec<String> = listed.iter().filter_map(|shown| text_of(shown, "fileName").ok()).collect();
    let kept = notes.iter().filter(|note| note.fate != Fate::Removed);
    findings.compare("voice note", &kept.map(|note| note.name.clone()).collect(), &named);
    let shown: BTreeMap<&str, &Value> =
        listed.iter().filter_map(|shown| Some((shown["voiceNoteId"].as_str()?, shown))).collect();
    for note in &notes {
        let status = shown.get(note.id.as_str()).map_or(&Value::Null, |shown| &shown["status"]);
        let due = match note.fate {
            Fate::Ready => json!("ready"),
            Fate::Failed => json!("failed"),
            Fate::Uploaded | Fate::Announced => json!("pending_upload"),
            Fate::Removed => Value::Null,
        };
        findings.expect(*status == due, || format!("{} is {status} and not {due}", note.name));
    }
    stage.heard().await?;
    told(stage, &notes, &mut findings);
    kept_files(stage, &notes, &mut findings).await?;
    findings.count("voice notes accepted", notes.len());
    Ok(findings)
}

/// The list, once nothing in it is listened to.
async fn settled(stage: &Stage) -> Result<Vec<Value>> {
    let api = stage.owner(HANDLE)?;
    let looked = || async {
        let (listed, _) = stage.asker(&api).list(NOTES).await?;
        Ok(listed.iter().all(|shown| shown["status"] != "processing").then_some(listed))
    };
    eventually("no voice note is listened to", QUIET_WITHIN, looked).await
}

/// Each end was told once, and nothing else was.
fn told(stage: &Stage, notes: &[Note], findings: &mut Findings) {
    for (event_type, fate) in [("voice_note.ready", Fate::Ready), ("voice_note.failed", Fate::Failed)] {
        let due = notes.iter().filter(|note| note.fate == fate);
        let removed: BTreeSet<&str> =
            notes.iter().filter(|note| note.fate == Fate::Removed).map(|note| note.id.as_str()).collect();
        let told: Vec<String> =
            stage.ear.heard(event_type).iter().filter_map(|told| text_of(told, "voiceNoteId").ok()).collect();
        let mut once = BTreeSet::new();
        // One that was removed may have been listened to before.
        for id in told.iter().filter(|id| removed.contains(id.as_str())) {
            findings.expect(once.insert(id), || format!("{event_type} of {id} was told twice"));
        }
        let others: Vec<String> = told.iter().filter(|id| !removed.contains(id.as_str())).cloned().collect();
        findings.compare(event_type, &due.map(|note| note.id.clone()).collect(), &others);
        findings.count("ends of voice notes told", told.len());
    }
}

/// A file is there for each note that holds one, and for nothing else.
async fn kept_files(stage: &Stage, notes: &[Note], findings: &mut Findings) -> Result<()> {
    let holding = notes.iter().filter(|note| matches!(note.fate, Fate::Ready | Fate::Uploaded));
    let holding: BTreeSet<String> =
        holding.map(|note| note.id.trim_start_matches("vn_").to_owned()).collect();
    // What was removed goes a moment later.
    let same = || async { Ok((files(stage)? == holding).then_some(())) };
    if eventually("the files are those of the notes", Duration::from_secs(10), same).await.is_err() {
        let names: Vec<String> = files(stage)?.into_iter().collect();
        findings.compare("file of a voice note", &holding, &names);
    }
    Ok(())
}

/// The names of all files that are kept.
/// The files of notes. What begins with a dot is the service's: the mark of its store, and what it put away.
fn files(stage: &Stage) -> Result<BTreeSet<String>> {
    let folder = fs::read_dir(stage.folder.join("voice-notes"))?;
    let names: Result<BTreeSet<String>> =
        folder.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect();
    Ok(names?.into_iter().filter(|name| !name.starts_with('.')).collect())
}

/// What begins like a picture.
fn no_recording() -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    file.resize(2_000, b'.');
    file
}

/// A recording of a square wave, 8 kHz in 16 bits.
pub(super) fn wav(millis: u32) -> Vec<u8> {
    let samples = 8 * millis;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + 2 * samples).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(8_000_u32.to_le_bytes());
    file.extend(16_000_u32.to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend((2 * samples).to_le_bytes());
    for n in 0..samples {
        let high: i16 = if n / 16 % 2 == 0 { 9_000 } else { -9_000 };
        file.extend(high.to_le_bytes());
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_as_long_as_its_head_says() {
        let file = wav(100);
        assert_eq!(file.len(), 44 + 1_600);
        assert_eq!(file[4..8], (file.len() as u32 - 8).to_le_bytes());
    }
}
