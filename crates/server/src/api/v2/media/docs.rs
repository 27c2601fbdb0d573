//! What the addresses of files say of themselves.

use serde_json::json;

use crate::openapi::Operation;
use crate::openapi::schema::plain;
use crate::openapi::words::AddressToken;

const AUDIO: &str = "audio/*";
const SUSPENDED: &str = "whoever runs the service has suspended the handle; `reason` says why";

pub(in crate::api::v2) fn upload() -> Operation {
    Operation::new("uploadVoiceNote", "Upload the file of a voice note")
        .about("Needs no credential but the address, which the note was announced with. The upload has the declared `content-type` and exactly the declared bytes, and happens once.")
        .under("mobile")
        .of::<AddressToken>("token")
        .takes(AUDIO)
        .nothing("The file is on stable storage.")
        .problem(400, "invalid_payload", "the upload is smaller than was declared, or did not arrive, or came too slowly: less than 4 KiB a second over half a minute")
        .problem(400, "invalid_sha256", "the upload has another SHA-256 than was declared")
        .problem(403, "address_expired", "the address was good for a while, and that is over")
        .problem(403, "handle_suspended", SUSPENDED)
        .problem(403, "loop_detected", "the request is an attempt of this service itself")
        .problem(404, "not_found", "there is no such address, or its voice note was removed")
        .problem(404, "handle_not_found", "the handle was deleted")
        .problem(409, "upload_finished", "the file was uploaded already, and cannot be replaced")
        .problem(409, "upload_running", "another upload to the address is running; wait as long as `retry-after` says")
        .problem(413, "payload_too_large", "the upload is larger than was declared")
        .problem(415, "unsupported_media_type", "the upload is of another type than was declared, or is compressed")
        .problem(429, "rate_limited", "too many uploads are running, of the handle or of all, or too many addresses that do not exist were asked for; wait as long as `retry-after` says")
        .problem(503, "temporarily_unavailable", "nothing was stored; wait as long as `retry-after` says")
}

pub(in crate::api::v2) fn read() -> Operation {
    let file = || plain(json!({ "type": "string", "format": "binary" }));
    Operation::new("readVoiceNote", "Download the file of a voice note")
        .about("Needs no credential but the address. Answers ranges (`range`, `if-range`) and knows what a reader has (`if-none-match`).")
        .under("mobile")
        .of::<AddressToken>("token")
        .answer_in(200, AUDIO, file(), "The file, as a download.")
        .answer_in(206, AUDIO, file(), "The part of it that was asked for.")
        .unchanged()
        .problem(403, "address_expired", "the address was good for a while, and that is over")
        .problem(403, "loop_detected", "the request is an attempt of this service itself")
        .problem(404, "not_found", "there is no such address, or its voice note was removed")
        .problem(416, "range_not_satisfiable", "the range begins behind the end of the file; `content-range` says how large it is")
        .problem(429, "rate_limited", "too many addresses that do not exist were asked for; wait as long as `retry-after` says")
        .problem(503, "temporarily_unavailable", "the file cannot be read now; wait as long as `retry-after` says")
}
