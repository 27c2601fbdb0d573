//! What the routes of voice notes say of themselves.

use angarium_domain::voice_note::{FILE_NAME_CHARS_MAX, Status};
use serde_json::json;

use crate::api::v2::voice_notes::{AnnouncedView, DURATION_MS_MAX, VoiceNoteView};
use crate::openapi::Operation;
use crate::openapi::schema::{choice, object, plain, text_of, word};
use crate::openapi::words::{AudioType, Sha256, VoiceNoteId};

pub(in crate::api::v2) fn create() -> Operation {
    let size = plain(json!({ "type": "integer", "minimum": 1 }))
        .about("The upload has exactly so many bytes. The service's own limit is 16 MiB unless its operator says otherwise.")
        .such_as(24_576);
    let duration = plain(json!({ "type": "integer", "minimum": 0, "maximum": DURATION_MS_MAX }))
        .about("How long it seems to be; measured after the upload.")
        .such_as(8_000);
    let name = text_of(1..=FILE_NAME_CHARS_MAX)
        .about("A word for people, without slashes. No file has this name.")
        .such_as("memo.m4a");
    let fields = object()
        .required("contentType", word::<AudioType>())
        .required("sizeBytes", size)
        .optional("sha256", word::<Sha256>().about("Compared with the upload."))
        .optional("durationMs", duration)
        .optional("fileName", name);
    Operation::new("createVoiceNote", "Announce a voice note")
        .about("Its file is then uploaded to the address in `upload`, which needs no other credential, with those headers and exactly those bytes; and its sender says so at `upload-complete`.")
        .body("NewVoiceNote", fields)
        .answer::<AnnouncedView>(201, "The note, and where its file goes.")
        .conflict("the handle keeps as many voice notes, or as many bytes of them, as it may")
}

pub(in crate::api::v2) fn list() -> Operation {
    Operation::new("listVoiceNotes", "List voice notes")
        .about("Those that failed or expired are forgotten with retention.")
        .filter("status", choice(&Status::ALL), "Those that stand so.")
        .page_of::<VoiceNoteView>("A page of them.")
}

pub(in crate::api::v2) fn get() -> Operation {
    Operation::new("getVoiceNote", "Show a voice note")
        .about("One that is ready comes with an address that its file can be read at for five minutes, by anybody who has it.")
        .of::<VoiceNoteId>("voiceNoteId")
        .answer::<VoiceNoteView>(200, "The note.")
        .showing("audio")
}

pub(in crate::api::v2) fn complete() -> Operation {
    Operation::new("completeVoiceNote", "Say that the upload is complete")
        .about("The file is then listened to, which is told of by the event `voice_note.ready` or `voice_note.failed`. Whoever says so again is told where the note stands.")
        .of::<VoiceNoteId>("voiceNoteId")
        .answer::<VoiceNoteView>(200, "The note as it stands.")
        .showing_as("status", "processing")
        .showing_as("durationMs", json!(null))
        .showing_as("waveform", json!(null))
        .showing_as("settledAt", json!(null))
        .problem(409, "upload_missing", "the file was not uploaded yet")
        .conflict("the note expired before its upload was complete")
}

pub(in crate::api::v2) fn delete() -> Operation {
    Operation::new("deleteVoiceNote", "Remove a voice note and its file")
        .about("Addresses that were given out for it are good for nothing from then on.")
        .of::<VoiceNoteId>("voiceNoteId")
        .nothing("It is removed.")
}
