//! Voice notes: announced here, uploaded and read at addresses of their own ([`super::media`]).

pub(super) mod docs;

use angarium_domain::ids::{VoiceNoteId, VoiceNoteKind};
use angarium_domain::time::Timestamp;
use angarium_domain::voice_note::{
    AudioType, Declared, Failure, FileName, Measured, State as Stands, Status,
};
use angarium_domain::voice_note::{Sha256, VoiceNote};
use angarium_engine::{Address, Announced, Readable, VoiceNotes};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::answer::{Answered, Items, carried_out, found, items, json, nothing};
use crate::api::form::Form;
use crate::api::request::{PathId, Read, Write};
use crate::api::v2::media::Door;
use crate::openapi::words;
use crate::problem::Problem;
use crate::state::PublicUrl;

/// The longest duration that a sender may believe in: a day.
pub(super) const DURATION_MS_MAX: u64 = 24 * 3600 * 1000;

/// A voice note.
#[derive(Serialize, ToSchema)]
#[schema(as = VoiceNote)]
#[serde(rename_all = "camelCase")]
pub(super) struct VoiceNoteView {
    #[schema(value_type = words::VoiceNoteId)]
    voice_note_id: VoiceNoteId,
    #[schema(value_type = words::VoiceNoteStatus)]
    status: Status,
    #[schema(value_type = words::AudioType)]
    content_type: AudioType,
    #[schema(example = 24_576)]
    size_bytes: u64,
    /// Of the file that was uploaded; of the one that was declared until then, and null if none was.
    #[schema(value_type = Option<words::Sha256>)]
    sha256: Option<Sha256>,
    /// What the sender calls it. The file is downloaded under its id.
    #[schema(value_type = Option<String>, example = "memo.m4a")]
    file_name: Option<FileName>,
    /// How long it is; null until that is known.
    #[schema(example = 8_360)]
    duration_ms: Option<u64>,
    /// How long its sender believes it to be.
    #[schema(example = 8_000)]
    declared_duration_ms: Option<u64>,
    /// 64 bars from 0 to 100, for players to draw; null until they are known, and for Opus.
    #[schema(value_type = Option<words::Waveform>)]
    waveform: Option<Vec<u8>>,
    /// Why the file was refused; null unless it was.
    #[schema(value_type = Option<words::VoiceNoteFailure>, example = json!(null))]
    failure: Option<FailureView>,
    /// Where the file is read; only of one note, and only of one that is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::ReadAddress, required = false)]
    audio: Option<AddressView>,
    /// A token's id, or a JWT's subject.
    #[schema(example = "jwt:alice")]
    created_by: String,
    #[schema(value_type = words::Time)]
    created_at: Timestamp,
    /// When a pending note expires.
    #[schema(value_type = Option<words::Time>, example = json!(null))]
    expires_at: Option<Timestamp>,
    /// When it became ready, failed or expired.
    #[schema(value_type = Option<words::Time>)]
    settled_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct FailureView {
    reason: Failure,
    message: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AddressView {
    url: String,
    expires_at: Timestamp,
}

/// A voice note that waits for its file.
#[derive(Serialize, ToSchema)]
#[schema(as = AnnouncedVoiceNote)]
#[serde(rename_all = "camelCase")]
pub(super) struct AnnouncedView {
    #[schema(value_type = words::VoiceNoteId)]
    voice_note_id: VoiceNoteId,
    #[schema(value_type = words::VoiceNoteStatus, example = "pending_upload")]
    status: Status,
    #[schema(value_type = words::UploadAddress)]
    upload: UploadView,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UploadView {
    method: &'static str,
    url: String,
    headers: UploadHeaders,
    expires_at: Timestamp,
}

#[derive(Serialize)]
struct UploadHeaders {
    #[serde(rename = "content-type")]
    content_type: AudioType,
}

pub(super) async fn create(
    State(notes): State<VoiceNotes>,
    State(public_url): State<PublicUrl>,
    write: Write,
) -> Result<Answered, Problem> {
    let declared = declared(write.form()?)?;
    let (caller, once) = write.into_parts(move |announced: &Announced| {
        json(StatusCode::CREATED, &AnnouncedView::of(announced, &public_url))
    });
    carried_out(async move { notes.create(caller, declared, once).await }).await
}

pub(super) async fn list(
    State(notes): State<VoiceNotes>,
    read: Read,
) -> Result<Json<Items<VoiceNoteView>>, Problem> {
    let mut query = read.query();
    let status: Option<Status> = query.optional("status");
    let list = format!("{} voice notes {status:?}", read.handle);
    let page = notes.list(&read.handle, status, query.page(&list)?).await?;
    Ok(items(page, &list, |note| VoiceNoteView::of(&note)))
}

pub(super) async fn get(
    State(notes): State<VoiceNotes>,
    State(public_url): State<PublicUrl>,
    PathId(id): PathId<VoiceNoteKind>,
    read: Read,
) -> Result<Json<VoiceNoteView>, Problem> {
    let readable = notes.get(&read.handle, id).await?;
    found(readable.map(|Readable { note, link }| {
        let audio = link.map(|(address, expires_at)| {
            let url = url_of(&address, Door::Read, &public_url);
            AddressView { url, expires_at }
        });
        VoiceNoteView { audio, ..VoiceNoteView::of(&note) }
    }))
}

pub(super) async fn complete(
    State(notes): State<VoiceNotes>,
    PathId(id): PathId<VoiceNoteKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let (caller, once) = write.into_parts(|note: &VoiceNote| json(StatusCode::OK, &VoiceNoteView::of(note)));
    carried_out(async move { notes.complete(caller, id, once).await }).await
}

pub(super) async fn delete(
    State(notes): State<VoiceNotes>,
    PathId(id): PathId<VoiceNoteKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let (caller, once) = write.into_parts(|()| nothing());
    carried_out(async move { notes.remove(caller, id, once).await }).await
}

fn declared(mut form: Form<'_>) -> Result<Declared, Problem> {
    let audio_type = form.parsed("contentType");
    if audio_type.is_none() && !form.is_at_fault("contentType") {
        form.missing::<()>("contentType");
    }
    let size_bytes: Option<u64> = form.required("sizeBytes");
    if size_bytes == Some(0) {
        form.fault("sizeBytes", "sizeBytes is 0, an upload has at least 1 byte");
    }
    let sha256 = form.parsed("sha256");
    let duration_ms: Option<u64> = form.optional("durationMs");
    if let Some(duration_ms) = duration_ms.filter(|ms| *ms > DURATION_MS_MAX) {
        form.fault("durationMs", format!("durationMs is {duration_ms}, the limit is {DURATION_MS_MAX}"));
    }
    let file_name = form.parsed("fileName");
    let declared = audio_type.zip(size_bytes).map(|(audio_type, size_bytes)| Declared {
        audio_type,
        size_bytes,
        sha256,
        duration_ms,
        file_name,
    });
    form.finish(declared)
}

impl VoiceNoteView {
    fn of(note: &VoiceNote) -> VoiceNoteView {
        let measured: Option<&Measured> = match &note.state {
            Stands::Ready { measured, .. } => Some(measured),
            _ => None,
        };
        let failure = match note.state {
            Stands::Failed { reason, .. } => Some(FailureView { reason, message: reason.advice() }),
            _ => None,
        };
        let (expires_at, settled_at) = match note.state {
            Stands::PendingUpload { expires_at, .. } => (Some(expires_at), None),
            Stands::Processing { .. } => (None, None),
            Stands::Ready { at, .. } | Stands::Failed { at, .. } | Stands::Expired { at } => (None, Some(at)),
        };
        VoiceNoteView {
            voice_note_id: note.id,
            status: note.status(),
            content_type: note.declared.audio_type,
            size_bytes: note.declared.size_bytes,
            sha256: measured.map(|measured| measured.sha256).or(note.declared.sha256),
            file_name: note.declared.file_name.clone(),
            duration_ms: measured.map(|measured| measured.duration_ms),
            declared_duration_ms: note.declared.duration_ms,
            waveform: measured.and_then(|measured| measured.waveform.clone()),
            failure,
            audio: None,
            created_by: note.created_by.clone(),
            created_at: note.created_at,
            expires_at,
            settled_at,
        }
    }
}

/// What is given out of an address.
fn url_of(address: &Address, door: Door, public_url: &PublicUrl) -> String {
    match address {
        Address::Ours(token) => public_url.to(&door.path(token)),
        Address::Theirs(url) => url.clone(),
    }
}

impl AnnouncedView {
    fn of(announced: &Announced, public_url: &PublicUrl) -> AnnouncedView {
        let Announced { note, address, upload_until } = announced;
        let upload = UploadView {
            method: "PUT",
            url: url_of(address, Door::Upload, public_url),
            headers: UploadHeaders { content_type: note.declared.audio_type },
            expires_at: *upload_until,
        };
        AnnouncedView { voice_note_id: note.id, status: note.status(), upload }
    }
}
