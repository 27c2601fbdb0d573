//! Listening to an uploaded file: how long it is, and what it looks like.
//!
//! Only the reader of the declared type is asked, so nothing is guessed. The file is a stranger's: time, frames and
//! memory are bounded here, and whoever calls must expect a panic of a decoder.

use std::io::Cursor;
use std::time::Duration;

use angarium_domain::voice_note::{AudioType, Peaks};
use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::common::Limit;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::{Hint, Probe, ProbeOptions};
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::TimeBase;
use symphonia::default::codecs::{AacDecoder, FlacDecoder, MpaDecoder, PcmDecoder, VorbisDecoder};
use symphonia::default::formats::{
    AdtsReader, FlacReader, IsoMp4Reader, MkvReader, MpaReader, OggReader, WavReader,
};
use symphonia::default::meta::{Id3v1Reader, Id3v2Reader};
use tokio::time::Instant;

/// How far behind the metadata the sound must begin.
const PROBE_BYTES_MAX: u32 = 4096;
/// The largest piece of metadata that is kept; nobody reads it here.
const METADATA_BYTES_MAX: usize = 64 * 1024;
/// Packets that cannot be decoded, after which the whole is given up.
const BAD_PACKETS_MAX: u32 = 16;

/// How long one file may take, how long it may be, and how much there may be in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) time: Duration,
    pub(super) duration: Duration,
    /// Over all channels.
    pub(super) samples: u64,
}

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sound {
    pub(super) duration: Duration,
    /// None for a codec that we can read and not decode, which is Opus.
    pub(super) waveform: Option<Vec<u8>>,
}

/// Why nothing was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unheard {
    /// It is damaged, or not what it says.
    Broken,
    /// It has pictures beside the sound.
    NotOnlySound,
    /// It is longer than a note may be.
    TooLong,
    /// It takes too long to listen to.
    TooSlow,
}

impl From<Error> for Unheard {
    fn from(_: Error) -> Unheard {
        Unheard::Broken
    }
}

/// Listens to a whole file. Blocks.
pub(super) fn listen(file: Vec<u8>, audio_type: AudioType, bounds: Bounds) -> Result<Sound, Unheard> {
    let until = Instant::now() + bounds.time;
    let mut reader = open(file, audio_type)?;
    let (track_id, time_base, mut decoder) = {
        let track = only_track(&*reader)?;
        let time_base = track.time_base.ok_or(Unheard::Broken)?;
        (track.id, time_base, decoder_of(track)?)
    };
    let mut peaks = Peaks::default();
    let (mut heard, mut bad, mut samples, mut drawn) = (Duration::ZERO, 0, Vec::new(), 0);
    while let Some(packet) = next_packet(&mut *reader)? {
        if Instant::now() >= until {
            return Err(Unheard::TooSlow);
        }
        if packet.track_id != track_id {
            continue;
        }
        let mut length = span(packet.dur, time_base)?;
        match &mut decoder {
            // Some recorders leave the lengths of packets to whoever decodes them.
            None if length.is_zero() => length = opus_length(&packet.data),
            None => {}
            Some(decoder) => match decoder.decode(&packet) {
                Ok(frames) => {
                    if length.is_zero() {
                        let rate = f64::from(frames.spec().rate().max(1));
                        length = Duration::from_secs_f64(frames.frames() as f64 / rate);
                    }
                    draw(&frames, &mut samples, &mut peaks);
                    drawn += samples.len() as u64;
                    if drawn > bounds.samples {
                        return Err(Unheard::TooSlow);
                    }
                }
                // A frame that got lost is no reason to lose the others.
                Err(Error::DecodeError(_)) if bad < BAD_PACKETS_MAX => bad += 1,
                Err(error) => return Err(error.into()),
            },
        }
        heard += length;
        if heard > bounds.duration {
            return Err(Unheard::TooLong);
        }
    }
    let waveform = peaks.bars();
    if heard.is_zero() || (decoder.is_some() && waveform.is_none()) {
        return Err(Unheard::Broken);
    }
    Ok(Sound { duration: heard, waveform })
}

/// The reader of one type of files and of no other.
fn open(file: Vec<u8>, audio_type: AudioType) -> Result<Box<dyn FormatReader>, Unheard> {
    let options = ProbeOptions { max_probe_depth: PROBE_BYTES_MAX, ..ProbeOptions::default() };
    let mut probe = Probe::new_with_options(&options);
    match audio_type {
        AudioType::Mp4 => probe.register_format::<IsoMp4Reader<'_>>(),
        AudioType::Aac => probe.register_format::<AdtsReader<'_>>(),
        AudioType::Mpeg => {
            probe.register_format::<MpaReader<'_>>();
            probe.register_metadata::<Id3v2Reader<'_>>();
            probe.register_metadata::<Id3v1Reader<'_>>();
        }
        AudioType::Ogg => probe.register_format::<OggReader<'_>>(),
        AudioType::Webm => probe.register_format::<MkvReader<'_>>(),
        AudioType::Wav => probe.register_format::<WavReader<'_>>(),
        AudioType::Flac => probe.register_format::<FlacReader<'_>>(),
    }
    let source = MediaSourceStream::new(Box::new(Cursor::new(file)), MediaSourceStreamOptions::default());
    let small = Limit::Maximum(METADATA_BYTES_MAX);
    let metadata = MetadataOptions::default().limit_tag_bytes(small).limit_visual_bytes(small);
    Ok(probe.probe(&Hint::new(), source, FormatOptions::default(), metadata)?)
}

/// The sound, if there is nothing beside it.
fn only_track(reader: &dyn FormatReader) -> Result<&Track, Unheard> {
    match reader.tracks() {
        [track] if track.track_type() == Some(TrackType::Audio) => Ok(track),
        [] => Err(Unheard::Broken),
        _ => Err(Unheard::NotOnlySound),
    }
}

/// What decodes a track. None for Opus, which is read and not decoded.
fn decoder_of(track: &Track) -> Result<Option<Box<dyn AudioDecoder>>, Unheard> {
    let Some(CodecParameters::Audio(parameters)) = &track.codec_params else { return Err(Unheard::Broken) };
    if parameters.codec == CODEC_ID_OPUS {
        return Ok(None);
    }
    let mut codecs = CodecRegistry::new();
    codecs.register_audio_decoder::<AacDecoder>();
    codecs.register_audio_decoder::<FlacDecoder>();
    codecs.register_audio_decoder::<MpaDecoder>();
    codecs.register_audio_decoder::<PcmDecoder>();
    codecs.register_audio_decoder::<VorbisDecoder>();
    Ok(Some(codecs.make_audio_decoder(parameters, &AudioDecoderOptions::default())?))
}

/// Adds decoded frames to the waveform, each by its loudest channel.
fn draw(frames: &GenericAudioBufferRef<'_>, samples: &mut Vec<f32>, peaks: &mut Peaks) {
    frames.copy_to_vec_interleaved(samples);
    for frame in samples.chunks(frames.num_planes().max(1)) {
        peaks.add(frame.iter().fold(0.0, |loudest, sample| loudest.max(sample.abs())));
    }
}

fn span(units: symphonia::core::units::Duration, time_base: TimeBase) -> Result<Duration, Unheard> {
    let time = time_base.calc_duration(units).ok_or(Unheard::Broken)?;
    Duration::try_from_secs_f64(time.as_secs_f64()).map_err(|_| Unheard::Broken)
}

/// How long the sound in an Opus packet is (RFC 6716, 3.1).
fn opus_length(packet: &[u8]) -> Duration {
    let Some(first) = packet.first() else { return Duration::ZERO };
    let frame_micros = match first >> 3 {
        config @ 0..12 => [10_000, 20_000, 40_000, 60_000][usize::from(config % 4)],
        config @ 12..16 => [10_000, 20_000][usize::from(config % 2)],
        config => [2_500, 5_000, 10_000, 20_000][usize::from(config % 4)],
    };
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1).map_or(0, |count| count & 0x3F)),
    };
    // No packet is longer than 120 ms.
    Duration::from_micros(frame_micros * frames).min(Duration::from_millis(120))
}

fn next_packet(reader: &mut dyn FormatReader) -> Result<Option<Packet>, Unheard> {
    match reader.next_packet() {
        Ok(packet) => Ok(packet),
        // A recording that was cut off is as long as it is.
        Err(Error::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tenth of a second of silence in stereo: 1,600 samples.
    fn wav() -> Vec<u8> {
        let data = vec![0; 3_200];
        let mut file = b"RIFF".to_vec();
        file.extend((36 + data.len() as u32).to_le_bytes());
        file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x02\0");
        file.extend(8_000_u32.to_le_bytes());
        file.extend(32_000_u32.to_le_bytes());
        file.extend(b"\x04\0\x10\0data");
        file.extend((data.len() as u32).to_le_bytes());
        file.extend(data);
        file
    }

    #[track_caller]
    fn check(samples: u64, millis: u64, expected: Result<u128, Unheard>) {
        let bounds =
            Bounds { time: Duration::from_mins(1), duration: Duration::from_millis(millis), samples };
        let heard = listen(wav(), AudioType::Wav, bounds).map(|sound| sound.duration.as_millis());
        assert_eq!(heard, expected, "{samples} samples, {millis} ms");
    }

    #[test]
    fn a_file_has_so_many_samples_over_all_channels_and_is_so_long() {
        check(1_600, 100, Ok(100));
        check(1_599, 100, Err(Unheard::TooSlow));
        check(1_600, 99, Err(Unheard::TooLong));
    }
}
