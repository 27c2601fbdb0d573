//! The files of voice notes, at addresses that are credentials themselves.
//!
//! Nothing but the address is asked for. What is sent back was written by strangers: it comes as a download, with the
//! type that it was judged by, and no browser guesses about it.

pub(super) mod docs;
mod range;

use std::convert::Infallible;
use std::net::IpAddr;

use angarium_domain::voice_note::{RefusedLink, State as Stands, VoiceNote};
use angarium_engine::{FileError, UploadError, UploadHead, VoiceNotes};
use angarium_store::blobs::Blob;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, IF_RANGE, RANGE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::limits::Limits;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::state::Callers;
use range::{Range, Wanted};

/// How much of a file is in memory at a time for each of its readers.
const PIECE_BYTES: usize = 64 * 1024;

/// Where files go in and out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Door {
    Upload,
    Read,
}

impl Door {
    /// The path with a token in it.
    pub(super) fn path(self, token: &str) -> String {
        match self {
            Door::Upload => format!("/v2/uploads/{token}"),
            Door::Read => format!("/v2/media/{token}"),
        }
    }
}

/// The secret part of an address.
pub(super) struct Token(String);

pub(super) async fn upload(
    State(notes): State<VoiceNotes>,
    State(callers): State<Callers>,
    State(limits): State<Limits>,
    Token(token): Token,
    request: Request,
) -> Result<StatusCode, Problem> {
    let asks = Asks::of(&callers, &request)?;
    let head = upload_head(request.headers(), limits)?;
    let body = request.into_body().into_data_stream();
    asks.judged(notes.upload(&token, head, body).await.map(|()| StatusCode::NO_CONTENT))
}

pub(super) async fn read(
    State(notes): State<VoiceNotes>,
    State(callers): State<Callers>,
    Token(token): Token,
    request: Request,
) -> Result<Response, Problem> {
    let asks = Asks::of(&callers, &request)?;
    let (note, blob) = asks.judged(notes.file(&token).await)?;
    Ok(answer(request.headers(), &note, blob))
}

/// Who asks without a credential: an address that has tried too many tokens is not looked at.
struct Asks<'a> {
    callers: &'a Callers,
    address: Option<IpAddr>,
}

impl<'a> Asks<'a> {
    fn of(callers: &'a Callers, request: &Request) -> Result<Asks<'a>, Problem> {
        let peer = request.extensions().get::<Peer>();
        let address = peer.and_then(|peer| callers.proxies.caller(*peer, request.headers()));
        callers.rates.refuses(address).map_err(|refused| refused.problem())?;
        Ok(Asks { callers, address })
    }

    /// Counts a token that nobody made against the address, like any other bad credential. Whoever has one whose note
    /// was removed has guessed nothing.
    fn judged<T, E: Into<Problem> + Guess>(&self, judged: Result<T, E>) -> Result<T, Problem> {
        judged.map_err(|error| {
            if error.is_guess() {
                self.callers.rates.failed(self.address);
            }
            error.into()
        })
    }
}

/// Something that may be wrong because the token was made up.
trait Guess {
    fn is_guess(&self) -> bool;
}

impl Guess for UploadError {
    fn is_guess(&self) -> bool {
        matches!(self, UploadError::Link(RefusedLink::Unknown))
    }
}

impl Guess for FileError {
    fn is_guess(&self) -> bool {
        matches!(self, FileError::Link(RefusedLink::Unknown))
    }
}

fn upload_head(headers: &HeaderMap, limits: Limits) -> Result<UploadHead, Problem> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        let message = "the upload must not be compressed";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message));
    }
    Ok(UploadHead {
        audio_type: text(&CONTENT_TYPE).and_then(|text| text.parse().ok()),
        bytes: text(&CONTENT_LENGTH).and_then(|text| text.parse().ok()),
        patience: limits.body_timeout,
    })
}

/// The file, the part of it that is wanted, or that the reader has it already.
fn answer(asked: &HeaderMap, note: &VoiceNote, blob: Blob) -> Response {
    let mut headers = HeaderMap::new();
    let tag = tag_of(note);
    let name = format!("attachment; filename=\"{}.{}\"", note.id, note.declared.audio_type.extension());
    let value = |text: &str| HeaderValue::from_str(text).expect("ids, hashes and types are visible ASCII");
    headers.insert(ETAG, value(&tag));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if asked.get(IF_NONE_MATCH).is_some_and(|known| names(known, &tag)) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(note.declared.audio_type.as_str()));
    headers.insert(CONTENT_DISPOSITION, value(&name));
    let size = blob.bytes();
    // A part of another file than the one that the reader has a part of would be of no use.
    let stands = asked.get(IF_RANGE).is_none_or(|known| known.as_bytes() == tag.as_bytes());
    let range = asked.get(RANGE).filter(|_| stands).and_then(|range| range.to_str().ok());
    match Wanted::of(range, size) {
        Wanted::Whole => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
            (StatusCode::OK, headers, body(blob, Range { from: 0, to: size })).into_response()
        }
        Wanted::Part(range) => {
            headers.insert(CONTENT_RANGE, value(&range.of(size)));
            headers.insert(CONTENT_LENGTH, HeaderValue::from(range.bytes()));
            (StatusCode::PARTIAL_CONTENT, headers, body(blob, range)).into_response()
        }
        Wanted::Nothing => {
            let message = format!("the file has {size} bytes, and none of them are in that range");
            let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", message);
            let mut response = problem.into_response();
            response.headers_mut().insert(CONTENT_RANGE, value(&format!("bytes */{size}")));
            response
        }
    }
}

fn tag_of(note: &VoiceNote) -> String {
    match &note.state {
        Stands::Ready { measured, .. } => format!("\"{}\"", measured.sha256),
        _ => "\"\"".to_owned(),
    }
}

fn names(header: &HeaderValue, tag: &str) -> bool {
    let text = header.to_str().unwrap_or_default();
    text.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// A part of a file, piece by piece as it is taken.
fn body(blob: Blob, range: Range) -> Body {
    Body::from_stream(stream::try_unfold((blob, range), |(blob, range)| async move {
        let wanted = range.bytes().min(PIECE_BYTES as u64) as usize;
        if wanted == 0 {
            return Ok::<_, std::io::Error>(None);
        }
        let piece: Bytes = blob.piece(range.from, wanted).await?;
        let rest = Range { from: range.from + piece.len() as u64, ..range };
        Ok(Some((piece, (blob, rest))))
    }))
}

impl<S: Send + Sync> FromRequestParts<S> for Token {
    type Rejection = Infallible;

    /// What is no text is no token either, and is refused like one that nobody made.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Token, Infallible> {
        let params = RawPathParams::from_request_parts(parts, state).await.ok();
        let text = params.as_ref().and_then(|params| params.iter().find(|(name, _)| *name == "token"));
        Ok(Token(text.map(|(_, text)| text.to_owned()).unwrap_or_default()))
    }
}

impl From<RefusedLink> for Problem {
    fn from(refused: RefusedLink) -> Problem {
        match refused {
            RefusedLink::Unknown => Problem::not_found(),
            RefusedLink::Over => Problem::new(StatusCode::FORBIDDEN, "address_expired", refused.to_string()),
        }
    }
}
