//! Voice notes: announced, uploaded, listened to, read, and whatever else is uploaded in their place.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use angarium_domain::time::Timestamp;
use angarium_domain::voice_note::{Quota, Status};
use angarium_server::service::Service;
use angarium_store::VoiceNotes;
use angarium_store::memory::MemoryStore;
use angarium_store::write::Context;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Answer, Client};
use crate::clock::HandClock;
use crate::credentials::{SECRET, in_seconds, signed};
use crate::receiver::Receiver;
use crate::world::{World, eventually, fields_listed, settings};

const MANUAL: &str = include_str!("../../../../docs/voice-notes.md");
const SINE_M4A: &[u8] = include_bytes!("sounds/sine.m4a");
const SINE_MP3: &[u8] = include_bytes!("sounds/sine.mp3");
const PICTURES_MP4: &[u8] = include_bytes!("sounds/pictures.mp4");

/// A service, the folder of its files, and somebody who uploads.
struct Scene {
    world: World,
    folder: TempDir,
    store: MemoryStore,
}

impl Scene {
    async fn start() -> Scene {
        Scene::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut angarium_server::settings::Settings)) -> Scene {
        let (folder, store) = (TempDir::new().expect("a folder"), MemoryStore::new());
        let path = folder.path().join("notes");
        let world = World::on_with(&store, |settings| {
            settings.voice.path = Some(path);
            change(settings);
        });
        Scene { world: world.await, folder, store }
    }

    /// The same store and folder under the next process.
    async fn restarted(self) -> Scene {
        let Scene { world, folder, store } = self;
        world.service.stop().await;
        let path = folder.path().join("notes");
        let world = World::on_with(&store, |settings| settings.voice.path = Some(path)).await;
        Scene { world, folder, store }
    }

    /// Uploads to an address that an announcement named.
    async fn upload(&self, announced: &Value, bytes: &[u8]) -> Answer {
        let upload = &announced["upload"];
        let media_type = upload["headers"]["content-type"].as_str().expect("a type").to_owned();
        let client = self.world.nobody().with("content-type", media_type);
        client.send(Method::PUT, upload["url"].as_str().expect("an address"), bytes.to_vec()).await
    }

    /// Announces a file, uploads it and says so.
    async fn sent(&self, media_type: &str, bytes: &[u8]) -> String {
        let announced = announce(&self.world.owner(), media_type, bytes).await;
        self.upload(&announced, bytes).await.expect(StatusCode::NO_CONTENT);
        let id = id_of(&announced);
        self.world.owner().post(&complete(&id), &json!({})).await.expect(StatusCode::OK);
        id
    }

    /// The note, once it was listened to.
    async fn settled(&self, id: &str) -> Value {
        let owner = self.world.owner();
        eventually(|| async {
            let note = owner.get(&note(id)).await.expect(StatusCode::OK).json();
            (note["status"] == "ready" || note["status"] == "failed").then_some(note)
        })
        .await
    }

    fn files(&self) -> usize {
        files_in(self.folder.path())
    }
}

fn files_in(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder.join("notes")) else { return 0 };
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names.filter(|name| !name.to_string_lossy().starts_with('.')).count()
}

fn note(id: &str) -> String {
    format!("/mobile/voice-notes/{id}")
}

fn complete(id: &str) -> String {
    format!("{}/upload-complete", note(id))
}

fn id_of(announced: &Value) -> String {
    announced["voiceNoteId"].as_str().expect("an id").to_owned()
}

fn wish(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "contentType": media_type, "sizeBytes": bytes.len() })
}

async fn announce(client: &Client, media_type: &str, bytes: &[u8]) -> Value {
    let answer = client.post("/mobile/voice-notes", &wish(media_type, bytes)).await;
    answer.expect(StatusCode::CREATED).json()
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

/// A WAV of so many milliseconds: silence, and then a square wave at full scale.
fn wav(millis: u32) -> Vec<u8> {
    let samples = 8 * millis;
    let data: Vec<u8> = (0..samples)
        .flat_map(|n| {
            match n {
                quiet if quiet < samples / 2 => 0_i16,
                high if high / 16 % 2 == 0 => i16::MAX,
                _ => i16::MIN,
            }
            .to_le_bytes()
        })
        .collect();
    let mut file = b"RIFF".to_vec();
    file.extend(u32::try_from(36 + data.len()).expect("short").to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(8_000_u32.to_le_bytes());
    file.extend(16_000_u32.to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend(u32::try_from(data.len()).expect("short").to_le_bytes());
    file.extend(data);
    file
}

/// A request byte for byte, and the head of its answer.
async fn raw(world: &World, text: &str) -> String {
    let mut stream = TcpStream::connect(world.service.address()).await.expect("the service listens");
    stream.write_all(text.as_bytes()).await.expect("a sent request");
    let mut answer = Vec::new();
    let head = async {
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            assert!(stream.read_buf(&mut answer).await.expect("an answer") > 0, "a head");
        }
    };
    tokio::time::timeout(Duration::from_secs(10), head).await.expect("an answer at once");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_note_is_announced_uploaded_listened_to_and_read() {
    let (scene, receiver) = (Scene::start().await, Receiver::start().await);
    let owner = scene.world.owner();
    owner.subscribe(&receiver, "/hook", &["voice_note.*"]).await;
    let file = wav(640);
    let wish = json!({ "contentType": "audio/x-wav", "sizeBytes": file.len(), "sha256": sha256(&file),
        "durationMs": 600, "fileName": "Notiz 3.wav" });
    let announced = owner.post("/mobile/voice-notes", &wish).await.expect(StatusCode::CREATED).json();
    let id = id_of(&announced);
    assert_eq!(announced["status"], "pending_upload");
    assert_eq!(
        (&announced["upload"]["method"], &announced["upload"]["headers"]),
        (&json!("PUT"), &json!({ "content-type": "audio/wav" }))
    );
    scene.upload(&announced, &file).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(owner.get(&note(&id)).await.json()["status"], "pending_upload");
    let begun = owner.post(&complete(&id), &json!({})).await.expect(StatusCode::OK).json();
    assert_eq!(begun["status"], "processing");

    let ready = scene.settled(&id).await;
    assert_eq!(
        (&ready["status"], &ready["durationMs"], &ready["declaredDurationMs"]),
        (&json!("ready"), &json!(640), &json!(600))
    );
    assert_eq!(
        (&ready["contentType"], &ready["sha256"], &ready["fileName"]),
        (&json!("audio/wav"), &json!(sha256(&file)), &json!("Notiz 3.wav"))
    );
    let bars: Vec<u64> =
        ready["waveform"].as_array().expect("bars").iter().filter_map(Value::as_u64).collect();
    assert_eq!((bars.len(), bars[..32].iter().max(), bars[32..].iter().min()), (64, Some(&0), Some(&100)));

    let told = receiver.received(1).await.remove(0).json();
    assert_eq!(
        (&told["type"], &told["payload"]["voiceNoteId"], &told["payload"]["durationMs"]),
        (&json!("voice_note.ready"), &json!(id), &json!(640))
    );

    let address = ready["audio"]["url"].as_str().expect("an address").to_owned();
    let read = scene.world.nobody().get(&address).await;
    assert_eq!(read.expect(StatusCode::OK).body, file);
    for (name, value) in [
        ("content-type", "audio/wav"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("cache-control", "no-store"),
        ("accept-ranges", "bytes"),
        ("content-length", &file.len().to_string()),
        ("etag", &format!("\"{}\"", sha256(&file))),
        ("content-disposition", &format!("attachment; filename=\"{id}.wav\"")),
    ] {
        assert_eq!(read.header(name), Some(value), "{name}");
    }
    let listed = owner.get("/mobile/voice-notes?status=ready").await.items();
    assert_eq!((listed.len(), &listed[0]["voiceNoteId"], listed[0].get("audio")), (1, &json!(id), None));
    assert!(owner.get("/mobile/voice-notes?status=failed").await.items().is_empty());
}

#[tokio::test]
async fn what_became_of_a_file_is_told_with_its_note_and_the_duration_or_the_reason() {
    let scene = Scene::start().await;
    let owner = scene.world.owner();
    let (good, bad) = (scene.sent("audio/mp4", SINE_M4A).await, scene.sent("audio/mp4", SINE_MP3).await);
    for (id, event_type) in [(good, "voice_note.ready"), (bad, "voice_note.failed")] {
        let note = scene.settled(&id).await;
        let told = owner.get(&format!("/events?type={event_type}")).await.items();
        assert_eq!(told.len(), 1, "{told:?}");
        let event = told[0]["eventId"].as_str().expect("an id");
        let payload = owner.get(&format!("/events/{event}")).await.json()["payload"].clone();
        let mut fields: Vec<_> = payload.as_object().expect("an object").keys().collect();
        fields.sort_unstable();
        assert_eq!(fields, fields_listed(MANUAL, event_type), "{event_type}");
        owner.expect_described(event_type).await;
        for field in ["voiceNoteId", "contentType", "sizeBytes", "fileName", "createdBy", "createdAt"] {
            assert_eq!(payload[field], note[field], "{field}");
        }
        assert_eq!(payload["durationMs"], note["durationMs"]);
        assert_eq!(payload["reason"], note["failure"]["reason"]);
    }
}

#[tokio::test]
async fn a_note_whose_file_is_missing_is_not_found_at_its_address() {
    let scene = Scene::start().await;
    let owner = scene.world.owner();
    let (lost, kept) = (scene.sent("audio/mp4", SINE_M4A).await, scene.sent("audio/mpeg", SINE_MP3).await);
    for id in [&lost, &kept] {
        assert_eq!(scene.settled(id).await["status"], "ready");
    }
    let url_of = async |id: &str| {
        let shown = owner.get(&note(id)).await.expect(StatusCode::OK).json();
        shown["audio"]["url"].as_str().expect("an address").to_owned()
    };
    let nobody = scene.world.nobody();
    nobody.get(&url_of(&lost).await).await.expect(StatusCode::OK);
    // As after a restore without the folder.
    fs::remove_file(scene.folder.path().join("notes").join(&lost[3..])).expect("a file");
    nobody.get(&url_of(&lost).await).await.expect_problem(404, "not_found");
    assert_eq!(nobody.get(&url_of(&kept).await).await.expect(StatusCode::OK).body, SINE_MP3);
    assert_eq!(owner.get(&note(&lost)).await.json()["status"], "ready");
}

#[tokio::test]
async fn every_type_of_the_list_is_listened_to() {
    let scene = Scene::start().await;
    for (media_type, bytes, is_drawn) in [
        ("audio/mp4", SINE_M4A, true),
        ("audio/aac", include_bytes!("sounds/sine.aac").as_slice(), true),
        ("audio/mpeg", SINE_MP3, true),
        ("audio/flac", include_bytes!("sounds/sine.flac"), true),
        ("audio/ogg", include_bytes!("sounds/vorbis.ogg"), true),
        ("audio/ogg; codecs=opus", include_bytes!("sounds/opus.ogg"), false),
        ("audio/webm;codecs=opus", include_bytes!("sounds/opus.webm"), false),
    ] {
        let id = scene.sent(media_type, bytes).await;
        let ready = scene.settled(&id).await;
        let millis = ready["durationMs"].as_u64().unwrap_or_else(|| panic!("{media_type}: {ready}"));
        // Encoders begin and end with some silence of their own.
        assert!((500..600).contains(&millis), "{media_type}: {millis} ms");
        let loudest = ready["waveform"].as_array().map(|bars| bars.iter().filter_map(Value::as_u64).max());
        assert_eq!(loudest.is_some(), is_drawn, "{media_type}");
        assert!(loudest.is_none_or(|loudest| loudest > Some(90)), "{media_type}: {loudest:?}");
    }
}

#[tokio::test]
async fn what_is_not_what_it_was_declared_to_be_is_refused_and_removed() {
    let (scene, receiver) = (Scene::start().await, Receiver::start().await);
    scene.world.owner().subscribe(&receiver, "/hook", &["voice_note.failed"]).await;
    let zip = [b"PK\x03\x04 a file PK\x05\x06".as_slice(), &[0; 18]].concat();
    let hidden_zip = [&wav(20), zip.as_slice()].concat();
    let page_in_a_tag = {
        let text = b"<html><script>alert(1)</script></html>";
        let mut tag = b"ID3\x04\0\0\0\0\0\x32COMM\0\0\0\x28\0\0".to_vec();
        tag.extend_from_slice(text);
        tag.resize(10 + 50, 0);
        [tag.as_slice(), SINE_MP3].concat()
    };
    let cut = &SINE_M4A[..SINE_M4A.len() / 2];
    let cases: [(&str, &[u8], &str); 9] = [
        ("audio/mp4", &zip, "type_mismatch"),
        ("audio/mp4", SINE_MP3, "type_mismatch"),
        ("audio/wav", b"<html><script>alert(1)</script></html>", "type_mismatch"),
        ("audio/mpeg", &page_in_a_tag, "disguised"),
        ("audio/wav", &hidden_zip, "disguised"),
        ("audio/mp4", PICTURES_MP4, "not_only_sound"),
        ("audio/mp4", cut, "undecodable"),
        ("audio/flac", b"fLaC and then nothing of the kind", "undecodable"),
        ("audio/wav", b"RIFF\xFF\xFF\xFF\xFFWAVEfmt \xFF\xFF\xFF\xFF", "undecodable"),
    ];
    for (media_type, bytes, reason) in &cases {
        let id = scene.sent(media_type, bytes).await;
        let failed = scene.settled(&id).await;
        assert_eq!(failed["failure"]["reason"], *reason, "{media_type}: {failed}");
        assert_eq!((&failed["durationMs"], failed.get("audio")), (&Value::Null, None));
        // Saying so again is told where it stands.
        let again = scene.world.owner().post(&complete(&id), &json!({})).await;
        assert_eq!(again.expect(StatusCode::OK).json()["status"], "failed");
    }
    let told = receiver.received(cases.len()).await;
    assert!(told.iter().all(|attempt| attempt.json()["payload"]["reason"].is_string()));
    eventually(|| async { (scene.files() == 0).then_some(()) }).await;
    let holdings = scene.store.holdings(&"acme".parse().expect("a handle")).await.expect("it counts");
    assert_eq!((holdings.notes, holdings.bytes), (0, 0));
}

#[tokio::test]
async fn an_upload_has_the_type_the_size_and_the_hash_that_were_declared() {
    let scene = Scene::start().await;
    let owner = scene.world.owner();
    let file = wav(20);
    let wish = json!({ "contentType": "audio/wav", "sizeBytes": file.len(), "sha256": sha256(&file) });
    let announced = owner.post("/mobile/voice-notes", &wish).await.expect(StatusCode::CREATED).json();
    let address = announced["upload"]["url"].as_str().expect("an address");
    let put = async |media_type: &str, bytes: &[u8]| {
        scene.world.nobody().with("content-type", media_type).send(Method::PUT, address, bytes.to_vec()).await
    };
    for media_type in ["audio/mp4", "text/html", "application/json"] {
        put(media_type, &file).await.expect_problem(415, "unsupported_media_type");
    }
    let compressed = scene.world.nobody().with("content-type", "audio/wav").with("content-encoding", "gzip");
    let compressed = compressed.send(Method::PUT, address, file.clone()).await;
    compressed.expect_problem(415, "unsupported_media_type");
    put("audio/wav", &[file.as_slice(), b"!"].concat()).await.expect_problem(413, "payload_too_large");
    put("audio/wav", &file[1..]).await.expect_problem(400, "invalid_payload");
    let mut other = file.clone();
    *other.last_mut().expect("bytes") ^= 1;
    put("audio/wav", &other).await.expect_problem(400, "invalid_sha256");
    assert_eq!(scene.files(), 0);
    owner.post(&complete(&id_of(&announced)), &json!({})).await.expect_problem(409, "upload_missing");

    // None of that has used it up.
    put("audio/wav", &file).await.expect(StatusCode::NO_CONTENT);
    put("audio/wav", &file).await.expect_problem(409, "upload_finished");
    owner.post(&complete(&id_of(&announced)), &json!({})).await.expect(StatusCode::OK);
    put("audio/wav", &file).await.expect_problem(409, "upload_finished");
    assert_eq!(scene.settled(&id_of(&announced)).await["status"], "ready");
    put("audio/wav", &file).await.expect_problem(409, "upload_finished");
}

#[tokio::test]
async fn an_upload_that_is_too_large_is_refused_before_it_arrives() {
    let scene = Scene::start().await;
    let announced = announce(&scene.world.owner(), "audio/wav", &wav(20)).await;
    let address = announced["upload"]["url"].as_str().expect("an address");
    let head = format!("PUT {address} HTTP/1.1\r\nhost: a\r\ncontent-type: audio/wav\r\n");
    let announced_size = raw(&scene.world, &format!("{head}content-length: 10737418240\r\n\r\n")).await;
    assert!(announced_size.starts_with("HTTP/1.1 413 "), "{announced_size}");
    // One that does not say how large it is, is found out with the first byte too many.
    let piece = "x".repeat(1024);
    let endless = format!("{head}transfer-encoding: chunked\r\n\r\n400\r\n{piece}\r\n");
    let endless = raw(&scene.world, &endless).await;
    assert!(endless.starts_with("HTTP/1.1 413 "), "{endless}");
    assert_eq!(scene.files(), 0);
}

#[tokio::test]
async fn an_upload_that_does_not_say_its_type_is_refused() {
    let scene = Scene::start().await;
    let announced = announce(&scene.world.owner(), "audio/wav", b"x").await;
    let address = announced["upload"]["url"].as_str().expect("an address");
    let request = format!("PUT {address} HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
    let refused = raw(&scene.world, &request).await;
    assert!(refused.starts_with("HTTP/1.1 415 "), "{refused}");
    assert_eq!(scene.files(), 0);
}

#[tokio::test]
async fn an_upload_that_broke_off_is_made_again() {
    let scene = Scene::start().await;
    let file = wav(20);
    let announced = announce(&scene.world.owner(), "audio/wav", &file).await;
    let address = announced["upload"]["url"].as_str().expect("an address");
    let mut stream = TcpStream::connect(scene.world.service.address()).await.expect("the service listens");
    let head = format!(
        "PUT {address} HTTP/1.1\r\nhost: a\r\ncontent-type: audio/wav\r\ncontent-length: {}\r\n\r\n",
        file.len()
    );
    stream.write_all(head.as_bytes()).await.expect("a sent head");
    stream.write_all(&file[..file.len() / 2]).await.expect("a sent half");
    eventually(|| async { (scene.files() == 1).then_some(()) }).await;
    drop(stream);
    // Until the service has noticed, the first one counts as running.
    eventually(|| async {
        let again = scene.upload(&announced, &file).await;
        let is_there = again.status == StatusCode::NO_CONTENT;
        if !is_there {
            again.expect_problem(409, "upload_running");
        }
        is_there.then_some(())
    })
    .await;
    let id = id_of(&announced);
    scene.world.owner().post(&complete(&id), &json!({})).await.expect(StatusCode::OK);
    let ready = scene.settled(&id).await;
    assert_eq!((&ready["status"], &ready["sha256"]), (&json!("ready"), &json!(sha256(&file))));
    assert_eq!(scene.files(), 1);
}

#[tokio::test]
async fn notes_are_listed_by_states_that_there_are() {
    let scene = Scene::start().await;
    let owner = scene.world.owner();
    announce(&owner, "audio/mp4", b"x").await;
    assert_eq!(owner.get("/mobile/voice-notes?status=pending_upload").await.items().len(), 1);
    owner.get("/mobile/voice-notes?status=odd").await.expect_problem(400, "invalid_status");
}

#[tokio::test]
async fn what_cannot_be_a_note_is_not_announced() {
    let scene = Scene::start().await;
    let owner = scene.world.owner();
    let refused = async |wish: Value, code: &str| {
        owner.post("/mobile/voice-notes", &wish).await.expect_problem(400, code);
    };
    let good = wish("audio/mp4", b"x");
    let with = |field: &str, value: Value| {
        let mut wish = good.clone();
        wish[field] = value;
        wish
    };
    for media_type in ["video/mp4", "text/html", "application/zip", "audio", "audio/*", ""] {
        refused(with("contentType", json!(media_type)), "invalid_contentType").await;
    }
    for size in [json!(0), json!(-1), json!(1.5), json!("1"), json!(10_u64 << 30), json!(1e30)] {
        refused(with("sizeBytes", size), "invalid_sizeBytes").await;
    }
    for name in ["../../etc/passwd", "a/b", "a\\b", "a\u{0}b", "", ".", "..", "a\r\nset-cookie: b"] {
        refused(with("fileName", json!(name)), "invalid_fileName").await;
    }
    refused(with("sha256", json!("abc")), "invalid_sha256").await;
    refused(with("durationMs", json!(-1)), "invalid_durationMs").await;
    refused(with("odd", json!(1)), "invalid_odd").await;
    refused(json!({}), "validation_error").await;
    assert!(owner.get("/mobile/voice-notes").await.items().is_empty());
}

#[tokio::test]
async fn completing_again_and_again_is_one_completion() {
    let (scene, receiver) = (Scene::start().await, Receiver::start().await);
    let owner = scene.world.owner();
    owner.subscribe(&receiver, "/hook", &["voice_note.*"]).await;
    let announced = announce(&owner, "audio/mp4", SINE_M4A).await;
    let id = id_of(&announced);
    owner.post(&complete(&id), &json!({})).await.expect_problem(409, "upload_missing");
    scene.upload(&announced, SINE_M4A).await.expect(StatusCode::NO_CONTENT);
    let keyed = owner.with("idempotency-key", "done");
    let first = keyed.post(&complete(&id), &json!({})).await;
    assert_eq!(first.expect(StatusCode::OK).json()["status"], "processing");
    scene.settled(&id).await;
    let again = keyed.post(&complete(&id), &json!({})).await;
    assert_eq!((again.header("idempotent-replayed"), &again.text), (Some("true"), &first.text));
    for _ in 0..3 {
        assert_eq!(owner.post(&complete(&id), &json!({})).await.json()["status"], "ready");
    }
    assert_eq!(owner.get("/events?type=voice_note.ready").await.items().len(), 1);
    receiver.received(1).await;
    let announcements = owner.with("idempotency-key", "one");
    let one = announcements.post("/mobile/voice-notes", &wish("audio/mp4", b"x")).await;
    let same = announcements.post("/mobile/voice-notes", &wish("audio/mp4", b"x")).await;
    assert_eq!((one.status, &one.text), (same.status, &same.text));
    assert_eq!(owner.get("/mobile/voice-notes").await.items().len(), 2);
}

#[tokio::test]
async fn parts_of_a_file_are_read() {
    let scene = Scene::start().await;
    let file = wav(100);
    let id = scene.sent("audio/wav", &file).await;
    let ready = scene.settled(&id).await;
    let address = ready["audio"]["url"].as_str().expect("an address").to_owned();
    let (nobody, size) = (scene.world.nobody(), file.len());
    let range = async |range: &str| nobody.with("range", range).get(&address).await;
    for (wanted, from, to) in [
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, size),
        ("bytes=-4", size - 4, size),
        ("bytes=5-999999", 5, size),
    ] {
        let part = range(wanted).await;
        assert_eq!(part.expect(StatusCode::PARTIAL_CONTENT).body, &file[from..to], "{wanted}");
        let said = format!("bytes {from}-{}/{size}", to - 1);
        assert_eq!(part.header("content-range"), Some(said.as_str()));
    }
    for (wanted, status) in [("bytes=0-1,4-5", 200), ("bytes=9-3", 200), ("lines=0-1", 200), ("bytes=", 200)]
    {
        assert_eq!(range(wanted).await.status.as_u16(), status, "{wanted}");
    }
    let behind = range(&format!("bytes={size}-")).await;
    behind.expect_problem(416, "range_not_satisfiable");
    assert_eq!(behind.header("content-range"), Some(format!("bytes */{size}").as_str()));

    let tag = range("bytes=0-0").await.header("etag").expect("a tag").to_owned();
    let part = nobody.with("range", "bytes=0-0");
    assert_eq!(part.with("if-range", tag.clone()).get(&address).await.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.with("if-range", "\"other\"").get(&address).await.expect(StatusCode::OK).body, file);
    nobody.with("if-none-match", tag).get(&address).await.expect(StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn notes_and_addresses_belong_to_one_tenant() {
    let scene = Scene::start().await;
    let (acme, beta) = (scene.world.owner(), scene.world.person("beta", "OWNER"));
    let id = scene.sent("audio/mp4", SINE_M4A).await;
    scene.settled(&id).await;
    let unknown = format!("vn_{}", "0".repeat(26));
    for (method, path) in
        [(Method::GET, note(&id)), (Method::DELETE, note(&id)), (Method::POST, complete(&id))]
    {
        let foreign = beta.send(method.clone(), &path, "").await;
        let nothing = beta.send(method.clone(), &path.replace(&id, &unknown), "").await;
        foreign.expect_problem(404, "not_found");
        nothing.expect_problem(404, "not_found");
        assert_eq!(foreign.json()["message"], nothing.json()["message"], "{method}");
    }
    assert!(beta.get("/mobile/voice-notes").await.items().is_empty());
    let cursor = {
        announce(&acme, "audio/mp4", b"x").await;
        acme.get("/mobile/voice-notes?limit=1").await.text_of("nextCursor")
    };
    beta.get(&format!("/mobile/voice-notes?limit=1&cursor={cursor}"))
        .await
        .expect_problem(400, "invalid_cursor");

    // An address is good for what it was made for, and for nothing else.
    let theirs = announce(&beta, "audio/mp4", SINE_M4A).await;
    let address = theirs["upload"]["url"].as_str().expect("an address").to_owned();
    let token = address.rsplit('/').next().expect("a token");
    let nobody = scene.world.nobody();
    nobody.get(&format!("/v2/media/{token}")).await.expect_problem(404, "not_found");
    let read = acme.get(&note(&id)).await.json()["audio"]["url"].as_str().expect("an address").to_owned();
    let reading = read.rsplit('/').next().expect("a token");
    let put = nobody.with("content-type", "audio/mp4");
    for wrong in [reading, &token[1..], "nonsense", "..%2f..%2fetc%2fpasswd"] {
        let refused = put.send(Method::PUT, &format!("/v2/uploads/{wrong}"), SINE_M4A).await;
        refused.expect_problem(404, "not_found");
    }
    let mut forged = token.to_owned();
    forged.replace_range(10..11, if &token[10..11] == "A" { "B" } else { "A" });
    put.send(Method::PUT, &format!("/v2/uploads/{forged}"), SINE_M4A).await.expect_problem(404, "not_found");
    assert_eq!(scene.files(), 1);

    acme.delete(&note(&id)).await.expect(StatusCode::NO_CONTENT);
    acme.delete(&note(&id)).await.expect_problem(404, "not_found");
    nobody.get(&read).await.expect_problem(404, "not_found");
    assert_eq!(scene.files(), 0);
}

#[tokio::test]
async fn whoever_had_an_address_has_guessed_nothing() {
    let scene = Scene::with(|settings| {
        settings.limits.refused_credentials_per_minute = 1;
        settings.limits.refused_credentials_burst = 1;
        settings.listen.trusted_proxies.clear();
    })
    .await;
    let owner = scene.world.owner();
    let id = scene.sent("audio/mp4", SINE_M4A).await;
    let url = scene.settled(&id).await["audio"]["url"].as_str().expect("an address").to_owned();
    let announced = announce(&owner, "audio/mp4", SINE_M4A).await;
    for id in [id, id_of(&announced)] {
        owner.delete(&note(&id)).await.expect(StatusCode::NO_CONTENT);
    }
    for _ in 0..3 {
        scene.world.nobody().get(&url).await.expect_problem(404, "not_found");
        scene.upload(&announced, SINE_M4A).await.expect_problem(404, "not_found");
    }
}

#[tokio::test]
async fn an_upload_that_ends_after_its_note_was_removed_leaves_no_file() {
    let scene = Scene::start().await;
    let announced = announce(&scene.world.owner(), "audio/wav", &wav(20)).await;
    let address = announced["upload"]["url"].as_str().expect("an address");
    let (file, address_of_service) = (wav(20), scene.world.service.address());
    let mut stream = TcpStream::connect(address_of_service).await.expect("the service listens");
    let head = format!(
        "PUT {address} HTTP/1.1\r\nhost: a\r\ncontent-type: audio/wav\r\ncontent-length: {}\r\n\r\n",
        file.len()
    );
    stream.write_all(head.as_bytes()).await.expect("a sent head");
    stream.write_all(&file[..1]).await.expect("a sent byte");
    eventually(|| async { (scene.files() == 1).then_some(()) }).await;
    // Another upload finds it running, and is told when to come again.
    let running = scene.upload(&announced, &file).await;
    assert!(running.expect_problem(409, "upload_running").header("retry-after").is_some());
    scene.world.owner().delete(&note(&id_of(&announced))).await.expect(StatusCode::NO_CONTENT);
    stream.write_all(&file[1..]).await.expect("the rest");
    let mut answer = [0; 12];
    let read = stream.read_exact(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("an answer at once").expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 404");
    assert_eq!(scene.files(), 0);
}

#[tokio::test]
async fn a_handle_uploads_so_many_files_at_a_time() {
    let scene = Scene::start().await;
    let (owner, file) = (scene.world.owner(), wav(20));
    let mut running = Vec::new();
    for _ in 0..32 {
        let announced = announce(&owner, "audio/wav", &file).await;
        let address = announced["upload"]["url"].as_str().expect("an address");
        let mut stream =
            TcpStream::connect(scene.world.service.address()).await.expect("the service listens");
        let head = format!(
            "PUT {address} HTTP/1.1\r\nhost: a\r\ncontent-type: audio/wav\r\ncontent-length: {}\r\n\r\n",
            file.len()
        );
        stream.write_all(head.as_bytes()).await.expect("a sent head");
        running.push(stream);
    }
    eventually(|| async { (scene.files() == 32).then_some(()) }).await;
    let one_more = announce(&owner, "audio/wav", &file).await;
    let refused = scene.upload(&one_more, &file).await;
    assert!(refused.expect_problem(429, "rate_limited").header("retry-after").is_some());
    // Others are not held up.
    let beta = scene.world.person("beta", "OWNER");
    let theirs = announce(&beta, "audio/wav", &file).await;
    scene.upload(&theirs, &file).await.expect(StatusCode::NO_CONTENT);
    drop(running.pop());
    // The one that was given up leaves no draft; then there is a place.
    eventually(|| async {
        let answer = scene.upload(&one_more, &file).await;
        (answer.status == StatusCode::NO_CONTENT).then_some(())
    })
    .await;
}

#[tokio::test]
async fn pages_of_any_origin_upload_and_play() {
    let scene = Scene::start().await;
    let announced = announce(&scene.world.owner(), "audio/mp4", SINE_M4A).await;
    let page = scene.world.nobody().with("origin", "https://app.example.com");
    let asked = async |method: &'static str, url: &str| {
        let page = page.with("access-control-request-method", method);
        let page = page.with("access-control-request-headers", "content-type,range");
        let allowed = page.send(Method::OPTIONS, url, "").await;
        assert_eq!(allowed.expect(StatusCode::OK).header("access-control-allow-origin"), Some("*"));
        assert_eq!(allowed.header("access-control-allow-methods"), Some(method));
        let headers = allowed.header("access-control-allow-headers").expect("headers");
        assert!(headers.contains("content-type") && headers.contains("range"), "{headers}");
        assert_eq!(allowed.header("access-control-allow-credentials"), None);
    };
    let url = announced["upload"]["url"].as_str().expect("an address");
    asked("PUT", url).await;
    let sent = page.with("content-type", "audio/mp4").send(Method::PUT, url, SINE_M4A).await;
    assert_eq!(sent.expect(StatusCode::NO_CONTENT).header("access-control-allow-origin"), Some("*"));
    let id = id_of(&announced);
    scene.world.owner().post(&complete(&id), &json!({})).await.expect(StatusCode::OK);
    let url = scene.settled(&id).await["audio"]["url"].as_str().expect("an address").to_owned();
    asked("GET", &url).await;
    let played = page.with("range", "bytes=0-9").get(&url).await;
    let shown = played.expect(StatusCode::PARTIAL_CONTENT).header("access-control-expose-headers");
    assert!(
        shown.is_some_and(|shown| shown.contains("content-range") && shown.contains("etag")),
        "{shown:?}"
    );
    // A page learns as much of a refusal.
    let refused = page.get("/v2/media/AAAA").await;
    assert_eq!(refused.expect_problem(404, "not_found").header("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn who_guesses_addresses_is_not_looked_at_for_long() {
    let scene = Scene::with(|settings| {
        settings.limits.refused_credentials_per_minute = 2;
        settings.limits.refused_credentials_burst = 2;
        settings.listen.trusted_proxies.clear();
    })
    .await;
    let nobody = scene.world.nobody();
    for _ in 0..2 {
        nobody.get("/v2/media/AAAA").await.expect_problem(404, "not_found");
    }
    let refused = nobody.get("/v2/media/AAAA").await;
    assert!(refused.expect_problem(429, "rate_limited").header("retry-after").is_some());
}

#[tokio::test]
async fn addresses_end_with_their_time_and_notes_without_a_file_expire() {
    let (folder, store) = (TempDir::new().expect("a folder"), MemoryStore::new());
    let began_at = Timestamp::from_seconds(in_seconds(0));
    let start = async |after: Duration| {
        let clock = Arc::new(HandClock::at(began_at + after));
        let mut settings = settings();
        settings.voice.path = Some(folder.path().join("notes"));
        let secret = SECRET.to_owned().into();
        let service =
            Service::start_by(clock.clone(), Arc::new(store.clone()), &settings, Some(&secret)).await;
        (World { service: service.expect("a running service") }, clock)
    };
    let owner_of = |world: &World| {
        let claims = json!({ "sub": "tester", "exp": in_seconds(86_400), "handles": { "acme": "OWNER" } });
        world.nobody().at("/v2/handles/acme").bearing(signed(&claims))
    };
    let (world, clock) = start(Duration::ZERO).await;
    let owner = owner_of(&world);
    let announced = announce(&owner, "audio/mp4", SINE_M4A).await;
    let put = async |announced: &Value| {
        let client = world.nobody().with("content-type", "audio/mp4");
        client.send(Method::PUT, announced["upload"]["url"].as_str().expect("an address"), SINE_M4A).await
    };
    clock.advance(Duration::from_mins(15));
    put(&announced).await.expect_problem(403, "address_expired");
    let uploaded = announce(&owner, "audio/mp4", SINE_M4A).await;
    put(&uploaded).await.expect(StatusCode::NO_CONTENT);
    let id = {
        let third = announce(&owner, "audio/mp4", SINE_M4A).await;
        put(&third).await.expect(StatusCode::NO_CONTENT);
        owner.post(&complete(&id_of(&third)), &json!({})).await.expect(StatusCode::OK);
        id_of(&third)
    };
    let ready = eventually(|| async {
        let found = owner.get(&note(&id)).await.json();
        (found["status"] == "ready").then_some(found)
    })
    .await;
    let address = ready["audio"]["url"].as_str().expect("an address");
    clock.advance(Duration::from_mins(5));
    world.nobody().get(address).await.expect_problem(403, "address_expired");
    clock.advance(Duration::from_hours(1));
    owner.post(&complete(&id_of(&uploaded)), &json!({})).await.expect_problem(409, "conflict");
    assert_eq!(files_in(folder.path()), 2);
    world.service.stop().await;

    // The sweeper's first round ends both that waited, with the file that nobody spoke for.
    let (world, _clock) = start(Duration::from_hours(2)).await;
    let owner = owner_of(&world);
    for waited in [&announced, &uploaded] {
        eventually(|| async {
            let found = owner.get(&note(&id_of(waited))).await.json();
            (found["status"] == "expired").then_some(())
        })
        .await;
    }
    eventually(|| async { (files_in(folder.path()) == 1).then_some(()) }).await;
    assert_eq!(owner.get(&note(&id)).await.json()["status"], "ready");
}

#[tokio::test]
async fn a_process_that_dies_at_any_step_leaves_nothing_stuck() {
    let scene = Scene::start().await;
    let announced = announce(&scene.world.owner(), "audio/mp4", SINE_M4A).await;
    let id = id_of(&announced);
    // Killed while it uploaded: a draft is left.
    let scene = scene.restarted().await;
    let notes = scene.folder.path().join("notes");
    fs::create_dir_all(&notes).expect("a folder");
    fs::write(notes.join(format!("{}.part", &id[3..])), b"half").expect("a draft");
    // Removed, and killed before its file was: rubbish is left.
    fs::write(notes.join("0".repeat(26)), SINE_M4A).expect("a file without a note");
    let scene = scene.restarted().await;
    eventually(|| async { (scene.files() == 0).then_some(()) }).await;

    // Addresses are made with a key that outlives the process only where there is a master key.
    let announced = announce(&scene.world.owner(), "audio/mp4", SINE_M4A).await;
    let id = id_of(&announced);
    scene.upload(&announced, SINE_M4A).await.expect(StatusCode::NO_CONTENT);
    // Killed between the upload and the completion: the file is kept.
    let scene = scene.restarted().await;
    assert_eq!(scene.files(), 1);
    // Killed right after the completion was written.
    let handle = "acme".parse().expect("a handle");
    let pending = scene.store.voice_note(&handle, id.parse().expect("an id")).await.expect("it reads");
    let begun = pending.expect("it is there").complete(Timestamp::from_seconds(0)).expect("it begins");
    scene.store.move_voice_note(begun, Status::PendingUpload, Context::default()).await.expect("it writes");
    let scene = scene.restarted().await;
    assert_eq!(scene.settled(&id).await["status"], "ready");
    assert_eq!(scene.world.owner().get("/events?type=voice_note.ready").await.items().len(), 1);
    // Killed after the file was lost: it is said, and not tried for ever.
    let announced = announce(&scene.world.owner(), "audio/mp4", SINE_M4A).await;
    let lost = id_of(&announced);
    let pending = scene.store.voice_note(&handle, lost.parse().expect("an id")).await.expect("it reads");
    let begun = pending.expect("it is there").complete(Timestamp::from_seconds(0)).expect("it begins");
    scene.store.move_voice_note(begun, Status::PendingUpload, Context::default()).await.expect("it writes");
    let scene = scene.restarted().await;
    assert_eq!(scene.settled(&lost).await["failure"]["reason"], "lost");
    // What the quota says is what there is.
    let holdings = scene.store.holdings(&handle).await.expect("it counts");
    let kept = scene.world.owner().get("/mobile/voice-notes").await.items();
    let kept = kept.iter().filter(|note| note["status"] == "ready" || note["status"] == "pending_upload");
    let bytes: u64 = kept.clone().filter_map(|note| note["sizeBytes"].as_u64()).sum();
    assert_eq!((holdings.notes, holdings.bytes), (kept.count() as u64, bytes));
}

#[tokio::test]
async fn files_that_cannot_be_read_keep_nobody_else_waiting() {
    let scene = Scene::start().await;
    for name in ["beta", "gamma"] {
        let announced = announce(&scene.world.person(name, "OWNER"), "audio/mp4", SINE_M4A).await;
        scene.upload(&announced, SINE_M4A).await.expect(StatusCode::NO_CONTENT);
        let id = id_of(&announced);
        // A link that leads to itself is there, and opens no more than a file on a broken disk.
        let path = scene.folder.path().join("notes").join(&id[3..]);
        fs::remove_file(&path).expect("a file");
        std::os::unix::fs::symlink(&path, &path).expect("a link");
        let (handle, id) = (name.parse().expect("a handle"), id.parse().expect("an id"));
        let pending = scene.store.voice_note(&handle, id).await.expect("it reads").expect("it is there");
        let begun = pending.complete(Timestamp::from_seconds(0)).expect("it begins");
        let moved = scene.store.move_voice_note(begun, Status::PendingUpload, Context::default()).await;
        moved.expect("it writes");
    }
    let scene = scene.restarted().await;
    let id = scene.sent("audio/mp4", SINE_M4A).await;
    assert_eq!(scene.settled(&id).await["status"], "ready");
}

#[tokio::test]
async fn a_folder_of_another_store_is_not_swept() {
    let scene = Scene::start().await;
    let id = scene.sent("audio/mp4", SINE_M4A).await;
    scene.settled(&id).await;
    let draft = scene.folder.path().join("notes").join(format!("{}.part", "0".repeat(26)));
    fs::write(&draft, b"half").expect("somebody uploads");
    let Scene { world, folder, store } = scene;
    // The wrong database under the right folder, perhaps while the right one is in use.
    let path = folder.path().join("notes");
    let other = World::on_with(&MemoryStore::new(), |settings| settings.voice.path = Some(path)).await;
    let announced = announce(&other.owner(), "audio/mp4", SINE_M4A).await;
    let scene = Scene { world: other, folder, store };
    scene.upload(&announced, SINE_M4A).await.expect(StatusCode::NO_CONTENT);
    let Scene { world: other, folder, store } = scene;
    other.service.stop().await;
    assert!(draft.exists());
    let note = world.owner().get(&note(&id)).await.json();
    let url = note["audio"]["url"].as_str().expect("an address").to_owned();
    world.nobody().get(&url).await.expect(StatusCode::OK);
    drop((folder, store));
}

#[tokio::test]
async fn a_file_that_an_older_copy_of_the_store_did_not_hold_comes_back_with_the_newer_one() {
    let scene = Scene::start().await;
    let id = scene.sent("audio/mp4", SINE_M4A).await;
    scene.settled(&id).await;
    let (handle, note_id) = ("acme".parse().expect("a handle"), id.parse().expect("an id"));
    let newer = scene.store.voice_note(&handle, note_id).await.expect("it reads").expect("it is there");
    let removed = scene.store.remove_voice_note(&handle, note_id, Context::default()).await;
    removed.expect("it writes");
    let scene = scene.restarted().await;
    eventually(|| async { (scene.files() == 0).then_some(()) }).await;
    let room = Quota { notes_max: 9, bytes_max: u64::MAX };
    scene.store.create_voice_note(newer, room, Context::default()).await.map(drop).expect("it writes");
    let note = scene.world.owner().get(&note(&id)).await.json();
    let url = note["audio"]["url"].as_str().expect("an address").to_owned();
    scene.world.nobody().get(&url).await.expect(StatusCode::OK);
    assert_eq!(scene.files(), 1);
}

#[tokio::test]
async fn a_handle_keeps_so_many_notes_and_so_many_bytes() {
    let scene = Scene::with(|settings| {
        settings.voice.per_handle_max = 2;
        settings.voice.bytes_per_handle_max = 10_000;
        settings.voice.bytes_max = 9_000;
    })
    .await;
    let (owner, other) = (scene.world.owner(), scene.world.person("beta", "OWNER"));
    let wish = |bytes: u32| json!({ "contentType": "audio/mp4", "sizeBytes": bytes });
    let announce = async |bytes| owner.post("/mobile/voice-notes", &wish(bytes)).await;
    announce(9_001).await.expect_problem(400, "invalid_sizeBytes");
    let first = announce(6_000).await.expect(StatusCode::CREATED).json();
    announce(4_001).await.expect_problem(409, "conflict");
    announce(4_000).await.expect(StatusCode::CREATED);
    announce(1).await.expect_problem(409, "conflict");
    other.post("/mobile/voice-notes", &wish(9_000)).await.expect(StatusCode::CREATED);
    owner.delete(&note(&id_of(&first))).await.expect(StatusCode::NO_CONTENT);
    announce(6_000).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_handle_that_is_suspended_uploads_nothing_and_one_that_is_removed_leaves_no_file() {
    let scene = Scene::start().await;
    let (owner, admin) = (scene.world.owner(), scene.world.admin());
    admin.post("/handles", &json!({ "handle": "acme" })).await.expect(StatusCode::CREATED);
    let announced = announce(&owner, "audio/mp4", SINE_M4A).await;
    let suspension = json!({ "suspended": true, "reason": "an unpaid bill" });
    let suspended = admin.patch("/handles/acme", &suspension).await;
    suspended.expect(StatusCode::OK);
    scene.upload(&announced, SINE_M4A).await.expect_problem(403, "handle_suspended");
    admin.patch("/handles/acme", &json!({ "suspended": false })).await.expect(StatusCode::OK);
    scene.upload(&announced, SINE_M4A).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(scene.files(), 1);
    admin.delete("/handles/acme").await.expect(StatusCode::ACCEPTED);
    scene.upload(&announced, SINE_M4A).await.expect_problem(404, "handle_not_found");
    eventually(|| async { (scene.files() == 0).then_some(()) }).await;
}

#[tokio::test]
async fn addresses_begin_with_the_public_url_if_there_is_one() {
    let scene =
        Scene::with(|settings| settings.listen.public_url = Some("https://events.example.com/".to_owned()))
            .await;
    let announced = announce(&scene.world.owner(), "audio/mp4", b"x").await;
    let url = announced["upload"]["url"].as_str().expect("an address");
    assert!(url.starts_with("https://events.example.com/v2/uploads/"), "{url}");
}
