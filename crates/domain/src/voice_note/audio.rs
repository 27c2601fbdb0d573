//! Which files a voice note may be, and by which bytes they are known.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How far into a file other programs look when they guess what it is.
const HEAD_BYTES: usize = 2048;
/// The longest way from the end of a zip archive to the record that makes it one.
const ZIP_TAIL_BYTES: usize = 22 + 0xFFFF;
/// How each entry of a zip archive's directory begins.
const ZIP_DIRECTORY: &[u8] = b"PK\x01\x02";
/// The record at the end of a zip archive.
const ZIP_END: &[u8] = b"PK\x05\x06";
/// How far from its start a Matroska file says what kind it is.
const DOC_TYPE_WITHIN: usize = 64;

/// A kind of audio file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AudioType {
    /// AAC in MPEG-4, as phones record it.
    #[serde(rename = "audio/mp4")]
    Mp4,
    /// AAC without a container (ADTS).
    #[serde(rename = "audio/aac")]
    Aac,
    /// MP3.
    #[serde(rename = "audio/mpeg")]
    Mpeg,
    /// Opus or Vorbis in Ogg.
    #[serde(rename = "audio/ogg")]
    Ogg,
    /// Opus or Vorbis in `WebM`, as browsers record it.
    #[serde(rename = "audio/webm")]
    Webm,
    /// Samples as they are.
    #[serde(rename = "audio/wav")]
    Wav,
    /// FLAC.
    #[serde(rename = "audio/flac")]
    Flac,
}

/// The text is none of the types that a voice note may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a voice note is audio/mp4, audio/aac, audio/mpeg, audio/ogg, audio/webm, audio/wav or audio/flac, and not {text:?}"
)]
pub struct InvalidAudioType {
    text: String,
}

/// What a file is besides a sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disguise {
    /// A page or a script.
    Page,
    /// An archive.
    Archive,
    /// A document.
    Document,
}

impl AudioType {
    /// Every kind.
    pub const ALL: [AudioType; 7] = [
        AudioType::Mp4,
        AudioType::Aac,
        AudioType::Mpeg,
        AudioType::Ogg,
        AudioType::Webm,
        AudioType::Wav,
        AudioType::Flac,
    ];

    /// The media type that the file is served with.
    pub fn as_str(self) -> &'static str {
        match self {
            AudioType::Mp4 => "audio/mp4",
            AudioType::Aac => "audio/aac",
            AudioType::Mpeg => "audio/mpeg",
            AudioType::Ogg => "audio/ogg",
            AudioType::Webm => "audio/webm",
            AudioType::Wav => "audio/wav",
            AudioType::Flac => "audio/flac",
        }
    }

    /// The ending of the name that the file is downloaded under.
    pub fn extension(self) -> &'static str {
        match self {
            AudioType::Mp4 => "m4a",
            AudioType::Aac => "aac",
            AudioType::Mpeg => "mp3",
            AudioType::Ogg => "ogg",
            AudioType::Webm => "webm",
            AudioType::Wav => "wav",
            AudioType::Flac => "flac",
        }
    }

    /// The kind of a file by its first bytes.
    pub fn of_bytes(bytes: &[u8]) -> Option<AudioType> {
        match bytes {
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some(AudioType::Wav),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(AudioType::Mp4),
            [b'O', b'g', b'g', b'S', ..] => Some(AudioType::Ogg),
            [b'f', b'L', b'a', b'C', ..] => Some(AudioType::Flac),
            [0x1A, 0x45, 0xDF, 0xA3, ..] => {
                let head = &bytes[..bytes.len().min(DOC_TYPE_WITHIN)];
                head.windows(4).any(|window| window == b"webm").then_some(AudioType::Webm)
            }
            [b'I', b'D', b'3', ..] => Some(AudioType::Mpeg),
            // Eleven bits of a frame, then layer 0 for ADTS and layer 3 for MP3.
            [0xFF, second, ..] if second & 0xF6 == 0xF0 => Some(AudioType::Aac),
            [0xFF, second, ..] if second & 0xE6 == 0xE2 => Some(AudioType::Mpeg),
            _ => None,
        }
    }
}

impl FromStr for AudioType {
    type Err = InvalidAudioType;

    /// Reads a media type. What follows it, such as `;codecs=opus`, says nothing that the file does not.
    fn from_str(text: &str) -> Result<AudioType, InvalidAudioType> {
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "audio/mp4" | "audio/m4a" | "audio/x-m4a" => Ok(AudioType::Mp4),
            "audio/aac" | "audio/x-aac" => Ok(AudioType::Aac),
            "audio/mpeg" | "audio/mp3" => Ok(AudioType::Mpeg),
            "audio/ogg" | "audio/opus" => Ok(AudioType::Ogg),
            "audio/webm" => Ok(AudioType::Webm),
            "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => Ok(AudioType::Wav),
            "audio/flac" | "audio/x-flac" => Ok(AudioType::Flac),
            _ => Err(InvalidAudioType { text: text.chars().take(64).collect() }),
        }
    }
}

impl Disguise {
    /// What other programs may take a file for. Reads all of it once.
    pub fn of(bytes: &[u8]) -> Option<Disguise> {
        if is_zip(bytes) {
            return Some(Disguise::Archive);
        }
        let signs = bytes.iter().enumerate().filter(|(_, byte)| matches!(byte, b'<' | b'%' | b'R' | b'7'));
        signs.map(|(at, _)| at).find_map(|at| disguise_at(&bytes[at..], at < HEAD_BYTES))
    }

    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Disguise::Page => "a page",
            Disguise::Archive => "an archive",
            Disguise::Document => "a document",
        }
    }
}

/// Words so long that a recording of any length does not hold them by chance count everywhere, the
/// others where other programs look for them.
fn disguise_at(bytes: &[u8], in_head: bool) -> Option<Disguise> {
    const ANYWHERE: &[(&[u8], Disguise)] = &[
        (b"<!doctype", Disguise::Page),
        (b"<script", Disguise::Page),
        (b"rar!\x1A\x07", Disguise::Archive),
        (b"7z\xBC\xAF\x27\x1C", Disguise::Archive),
    ];
    const IN_HEAD: &[(&[u8], Disguise)] = &[
        (b"<html", Disguise::Page),
        (b"<svg", Disguise::Page),
        (b"<body", Disguise::Page),
        (b"<iframe", Disguise::Page),
        (b"<?php", Disguise::Page),
        (b"%pdf-", Disguise::Document),
    ];
    let known = ANYWHERE.iter().chain(if in_head { IN_HEAD } else { &[] });
    let stands_here =
        |word: &[u8]| bytes.get(..word.len()).is_some_and(|here| here.eq_ignore_ascii_case(word));
    known.filter(|(word, _)| stands_here(word)).map(|(_, disguise)| *disguise).next()
}

/// Whether the end of the file is that of a zip archive, whose start may be anything.
fn is_zip(bytes: &[u8]) -> bool {
    let tail = bytes.len().saturating_sub(ZIP_TAIL_BYTES);
    let is_end = |record: &[u8]| {
        // The record ends with the length of the comment that is the rest of the file.
        record.starts_with(ZIP_END)
            && record.get(20..22).is_some_and(|length| {
                usize::from(u16::from_le_bytes([length[0], length[1]])) == record.len() - 22
            })
    };
    (tail..bytes.len()).rev().any(|at| is_end(&bytes[at..]) || ends_directory(bytes, at))
}

/// Whether the record at a place ends a directory that stands right before it. Some programs look no further, and
/// take the archive whatever comes behind.
fn ends_directory(bytes: &[u8], at: usize) -> bool {
    let record = &bytes[at..];
    let size = record.get(12..16).and_then(|size| size.try_into().ok()).map(u32::from_le_bytes);
    let Some(size) = size.filter(|_| record.starts_with(ZIP_END)) else { return false };
    at.checked_sub(size as usize).is_some_and(|directory| bytes[directory..at].starts_with(ZIP_DIRECTORY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_read_by_all_of_its_names_and_served_by_one() {
        for (text, expected) in [
            ("audio/mp4", "audio/mp4"),
            ("audio/x-m4a", "audio/mp4"),
            ("audio/webm;codecs=opus", "audio/webm"),
            ("Audio/OGG; codecs=vorbis", "audio/ogg"),
            ("audio/vnd.wave", "audio/wav"),
            ("audio/mp3", "audio/mpeg"),
        ] {
            assert_eq!(text.parse::<AudioType>().map(AudioType::as_str), Ok(expected), "{text}");
        }
        for text in ["", "audio", "audio/*", "text/html", "video/mp4", "application/zip", "audio/midi"] {
            assert!(text.parse::<AudioType>().is_err(), "{text}");
        }
        for kind in AudioType::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
    }

    #[test]
    fn a_file_is_known_by_its_first_bytes() {
        for (bytes, expected) in [
            (b"RIFF\x24\0\0\0WAVEfmt " as &[u8], Some(AudioType::Wav)),
            (b"\0\0\0\x1cftypM4A ", Some(AudioType::Mp4)),
            (b"OggS\0\x02", Some(AudioType::Ogg)),
            (b"fLaC\0\0", Some(AudioType::Flac)),
            (b"\x1A\x45\xDF\xA3\x9F\x42\x86\x81\x01\x42\x82\x84webm", Some(AudioType::Webm)),
            (b"\x1A\x45\xDF\xA3\x9F\x42\x86\x81\x01\x42\x82\x88matroska", None),
            (b"ID3\x04\0", Some(AudioType::Mpeg)),
            (b"\xFF\xFB\x90\x64", Some(AudioType::Mpeg)),
            (b"\xFF\xF3\x18\xC4", Some(AudioType::Mpeg)),
            (b"\xFF\xF1\x60\x40", Some(AudioType::Aac)),
            (b"RIFF\x24\0\0\0AVI ", None),
            (b"PK\x03\x04", None),
            (b"<html>", None),
            (b"\xFF\xD8\xFF\xE0", None),
            (b"", None),
        ] {
            assert_eq!(AudioType::of_bytes(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_file_that_is_something_else_besides_is_found_out() {
        let zip = |before: &[u8], comment: &[u8]| {
            let mut bytes = before.to_vec();
            bytes.extend_from_slice(ZIP_END);
            bytes.extend_from_slice(&[0; 16]);
            bytes.extend_from_slice(&u16::try_from(comment.len()).expect("short").to_le_bytes());
            bytes.extend_from_slice(comment);
            bytes
        };
        let zip_of_one = |before: &[u8]| {
            let directory = [ZIP_DIRECTORY, &[0; 42]].concat();
            let mut bytes = [before, &directory, ZIP_END, &[0; 8]].concat();
            bytes.extend_from_slice(&u32::try_from(directory.len()).expect("short").to_le_bytes());
            bytes.extend_from_slice(&[0; 6]);
            bytes
        };
        let long = [&[0; 5000][..], b"<SCRIPT>"].concat();
        let far = [&[0; 5000][..], b"<html>"].concat();
        for (bytes, expected) in [
            (b"ID3\x04<html>".to_vec(), Some(Disguise::Page)),
            (b"RIFF....WAVE<!DOCTYPE html>".to_vec(), Some(Disguise::Page)),
            (long, Some(Disguise::Page)),
            // Nobody looks for it there, and a long recording may hold five bytes by chance.
            (far, None),
            (b"OggS%PDF-1.7".to_vec(), Some(Disguise::Document)),
            (zip(b"OggS", b""), Some(Disguise::Archive)),
            (zip(b"OggS", b"a comment"), Some(Disguise::Archive)),
            (b"OggSRar!\x1A\x07\0".to_vec(), Some(Disguise::Archive)),
            // An archive of nothing is nothing to any program, if something comes behind it.
            ([zip(b"OggS", b""), b"and more".to_vec()].concat(), None),
            ([zip_of_one(b"OggS"), b"!".to_vec()].concat(), Some(Disguise::Archive)),
            ([b"OggS".to_vec(), zip_of_one(b"OggS")[8..].to_vec(), b"!".to_vec()].concat(), None),
            (b"OggS and a < b % c".to_vec(), None),
            (Vec::new(), None),
        ] {
            assert_eq!(Disguise::of(&bytes), expected, "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}
