//! What a recording is by its first bytes. One client labels everything `audio/wav`, so the label alone is not believed.

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use oubliette_core::service::BodyStream;

/// Bytes looked at.
const WANTED: usize = 12;

/// The first bytes of a stream, and the whole stream again.
pub async fn peek(mut stream: BodyStream) -> Result<(Bytes, BodyStream), std::io::Error> {
    let mut head = BytesMut::new();
    while head.len() < WANTED {
        match stream.next().await {
            Some(chunk) => head.extend_from_slice(&chunk?),
            None => break,
        }
    }
    let head = head.freeze();
    let again = futures::stream::once(futures::future::ready(Ok(head.clone()))).chain(stream);
    Ok((head, Box::pin(again)))
}

/// The media type to store: what the bytes say where they say it clearly, else what the part was labelled.
pub fn media_type(head: &[u8], labelled: Option<&str>) -> String {
    let riff = head.starts_with(b"RIFF") || head.starts_with(b"RF64");
    if riff && head.get(8..12) == Some(b"WAVE") {
        return "audio/wav".to_owned();
    }
    if is_mp3(head) {
        return "audio/mpeg".to_owned();
    }
    if head.starts_with(b"OggS") {
        return "audio/ogg".to_owned();
    }
    labelled.unwrap_or("application/octet-stream").to_ascii_lowercase()
}

/// An ID3 tag, or the header of an MPEG audio frame of layer III.
fn is_mp3(head: &[u8]) -> bool {
    let frame = |head: &[u8]| {
        let [first, second, third, ..] = *head else { return false };
        let (version, layer) = (second >> 3 & 3, second >> 1 & 3);
        let (bitrate, rate) = (third >> 4, third >> 2 & 3);
        first == 0xff && second >> 5 == 7 && version != 1 && layer == 1 && !matches!(bitrate, 0 | 15) && rate != 3
    };
    head.starts_with(b"ID3") || frame(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_bytes_win_over_the_label() {
        let cases: [(&[u8], Option<&str>, &str); 6] = [
            (b"RIFF\0\0\0\0WAVE", Some("audio/mp3"), "audio/wav"),
            (b"ID3\x04\0\0\0\0\0\0\0\0", Some("audio/wav"), "audio/mpeg"),
            (b"\xff\xfb\x90\x64\0\0\0\0\0\0\0\0", Some("audio/wav"), "audio/mpeg"),
            (b"OggS\0\0\0\0\0\0\0\0", None, "audio/ogg"),
            (b"\xff\xf1\x50\x80\0\0\0\0\0\0\0\0", Some("Audio/MP4"), "audio/mp4"),
            (b"?", None, "application/octet-stream"),
        ];
        for (head, label, expected) in cases {
            assert_eq!(media_type(head, label), expected);
        }
    }

    #[tokio::test]
    async fn a_peeked_stream_gives_every_byte_once() {
        let chunks = ["RI", "FF", "1234", "WAVEfmt ", "rest"].map(|text| Ok(Bytes::from(text)));
        let (head, stream) = peek(Box::pin(futures::stream::iter(chunks))).await.unwrap();
        assert!(head.starts_with(b"RIFF1234WAVE"));
        let whole: Vec<Bytes> = stream.map(Result::unwrap).collect().await;
        assert_eq!(whole.concat(), b"RIFF1234WAVEfmt rest");
    }
}
