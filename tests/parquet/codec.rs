//! Decompression by kernels: what the crates compressed, streams that no encoder writes, and hostile
//! bytes. The crates' decoders say what a page is, and whether it is one.

use std::sync::Arc;

use pelton::device::Device;
use pelton::error::ErrorKind;
use pelton::kernels::Launch;
use pelton::kernels::page::{DecompressBatch, DeviceSlice, PageBatch, PageCodec, SLACK_BYTES};

use super::support::backends::devices;
use super::support::random::{Random, for_each_case};

const CODECS: [PageCodec; 2] = [PageCodec::Snappy, PageCodec::Lz4Raw];

/// What a byte of the target is before a launch; outside of pages it must stay so.
const UNTOUCHED: u8 = 0xa5;

/// Bytes that should be a page, and how long it should be.
#[derive(Debug, Clone)]
struct Candidate {
    source: Vec<u8>,
    bytes: usize,
}

/// The page, if the crate's decoder takes it.
fn reference(codec: PageCodec, candidate: &Candidate) -> Option<Vec<u8>> {
    let mut page = vec![0; candidate.bytes];
    let source = &candidate.source;
    let written = match codec {
        PageCodec::Snappy => snap::raw::decompress_len(source)
            .ok()
            .filter(|bytes| *bytes == candidate.bytes)
            .and_then(|_| snap::raw::Decoder::new().decompress(source, &mut page).ok()),
        PageCodec::Lz4Raw => lz4_flex::block::decompress_into(source, &mut page).ok(),
    };
    (written == Some(candidate.bytes)).then_some(page)
}

fn compress(codec: PageCodec, page: &[u8]) -> Candidate {
    let source = match codec {
        PageCodec::Snappy => snap::raw::Encoder::new().compress_vec(page).unwrap(),
        PageCodec::Lz4Raw => lz4_flex::block::compress(page),
    };
    let bytes = page.len();
    Candidate { source, bytes }
}

/// Puts slices one behind the other, a few bytes apart, and says where they begin.
fn place(random: &mut Random, lengths: &[usize]) -> (Vec<usize>, usize) {
    let mut end = 0;
    let starts = lengths
        .iter()
        .map(|length| {
            let start = end + random.below(*random.clone().pick(&[1, 1, 17, 40]));
            end = start + length;
            start
        })
        .collect();
    (starts, end)
}

/// Decompresses all candidates by one launch and compares them, the status and the bytes around
/// them with what the crate says.
fn check_launch(
    device: &Arc<Device>,
    codec: PageCodec,
    candidates: &[Candidate],
    random: &mut Random,
) {
    let stream = device.take_stream().unwrap();
    let launch = Launch::new(device, stream);
    let lengths: Vec<usize> = candidates.iter().map(|c| c.source.len()).collect();
    let (sources, source_bytes) = place(random, &lengths);
    let lengths: Vec<usize> = candidates.iter().map(|c| c.bytes).collect();
    let (targets, target_bytes) = place(random, &lengths);
    let mut bytes: Vec<u8> = (0..source_bytes).map(|_| random.bits() as u8).collect();
    for (start, candidate) in sources.iter().zip(candidates) {
        bytes[*start..start + candidate.source.len()].copy_from_slice(&candidate.source);
    }
    // The slack is not written: the emulator reports who reads it.
    let source = device.alloc(stream, source_bytes as u64 + SLACK_BYTES);
    let source = Arc::new(source.unwrap());
    device.write(stream, &source, &bytes).unwrap();
    let target = vec![UNTOUCHED; target_bytes + SLACK_BYTES as usize];
    let target = Arc::new(device.upload(stream, &target).unwrap());
    // Parts of 64 KiB wherever there are two of them, or of pages as long as in use.
    let mut batch = match random.once_in(2) {
        true => DecompressBatch::default().split_from(1),
        false => DecompressBatch::default(),
    };
    for (index, candidate) in candidates.iter().enumerate() {
        let (from, length) = (sources[index] as u64, candidate.source.len() as u64);
        let read = DeviceSlice::new(&source, from, length).unwrap();
        let (to, length) = (targets[index] as u64, candidate.bytes as u64);
        let write = DeviceSlice::new(&target, to, length).unwrap();
        batch.add(codec, index as u32, read, write).unwrap();
    }
    let batch = PageBatch {
        decompress: batch,
        ..PageBatch::default()
    };
    let said = batch.launch(&launch).unwrap().check(&launch);
    let mut got = vec![0; target_bytes];
    device.read(stream, &target, &mut got).unwrap();
    device.give_back_stream(stream);

    let expected: Vec<Option<Vec<u8>>> = candidates.iter().map(|c| reference(codec, c)).collect();
    match said {
        Ok(()) => assert!(
            expected.iter().all(Option::is_some),
            "{codec:?}: a malformed page was taken: {candidates:?}"
        ),
        Err(error) => match error.kind() {
            ErrorKind::Kernel { argument, .. } => assert!(
                expected[*argument as usize].is_none(),
                "{codec:?}: page {argument} is good: {:?}",
                candidates[*argument as usize]
            ),
            _ => panic!("{codec:?}: {error}"),
        },
    }
    let mut between = 0;
    for (index, (page, start)) in expected.iter().zip(&targets).enumerate() {
        let around = &got[between..*start];
        assert!(around.iter().all(|b| *b == UNTOUCHED), "before {index}");
        between = start + candidates[index].bytes;
        let zeros = vec![0; candidates[index].bytes];
        let page = page.as_ref().unwrap_or(&zeros);
        let differs = page
            .iter()
            .zip(&got[*start..between])
            .position(|(a, b)| a != b);
        assert_eq!(differs, None, "{codec:?}: page {index} of {candidates:?}");
    }
}

fn check(codec: PageCodec, candidates: &[Candidate], random: &mut Random) {
    for device in devices() {
        check_launch(&device, codec, candidates, random);
    }
}

fn length(random: &mut Random) -> usize {
    match random.below(12) {
        0 => 0,
        1 => 1,
        2..=5 => random.below(70),
        6..=8 => random.below(1000),
        9 | 10 => random.below(6000),
        _ => *random.pick(&[16_000, 40_000, 65_537, 66_000, 131_072, 140_000]),
    }
}

/// Bytes of many shapes.
fn bytes(random: &mut Random, length: usize) -> Vec<u8> {
    let period = 1 + random.below(40);
    let words: Vec<Vec<u8>> = (0..30)
        .map(|_| {
            (0..1 + random.below(9))
                .map(|_| b'a' + random.below(26) as u8)
                .collect()
        })
        .collect();
    let shape = random.below(8);
    let mut out: Vec<u8> = Vec::with_capacity(length + 64);
    while out.len() < length {
        match shape {
            0 => out.extend(random.bits().to_le_bytes()),
            1 => out.extend(vec![random.bits() as u8; random.below(600)]),
            2 => {
                out.extend(random.pick(&words));
                out.push(b' ');
            }
            3 if out.len() >= period && !random.once_in(50) => out.push(out[out.len() - period]),
            4 => out.extend(random.between(90_000..=10_494_950).to_le_bytes()),
            5 => out.extend(&(random.bits() & 0x0fff_ffff).to_le_bytes()[..4]),
            6 if out.len() > 500 && !random.once_in(3) => {
                let from = random.below(out.len() - 400);
                let again = out[from..from + 1 + random.below(400)].to_vec();
                out.extend(again);
            }
            7 => out.push(0),
            _ => out.push(random.bits() as u8),
        }
    }
    out.truncate(length);
    out
}

fn pages(random: &mut Random) -> Vec<Vec<u8>> {
    (0..1 + random.below(9))
        .map(|_| {
            let length = length(random);
            bytes(random, length)
        })
        .collect()
}

#[test]
fn codec_round_trips() {
    for_each_case("codec round trips", |random| {
        let pages = pages(random);
        for codec in CODECS {
            let candidates: Vec<_> = pages.iter().map(|page| compress(codec, page)).collect();
            check(codec, &candidates, random);
        }
    });
}

/// A literal of a stream that no encoder writes: its length in more bytes than it needs, perhaps.
fn snappy_literal(random: &mut Random, out: &mut Vec<u8>, count: usize) {
    let size = count as u32 - 1;
    let least = (1..=4).find(|bytes| *bytes == 4 || size >> (8 * bytes) == 0);
    let least = least.unwrap();
    if size < 60 && !random.once_in(4) {
        out.push((size as u8) << 2);
    } else {
        let bytes = least + random.below(5 - least);
        out.push((59 + bytes as u8) << 2);
        out.extend(&size.to_le_bytes()[..bytes]);
    }
    out.extend((0..count).map(|_| random.bits() as u8));
}

/// A distance: near ones, powers of two, anything.
fn distance(random: &mut Random, done: usize, limit: usize) -> usize {
    let most = done.min(limit);
    let wanted = match random.below(4) {
        0 => 1 + random.below(40),
        1 => 1 << random.below(17),
        2 => 2000 + random.below(100),
        _ => 1 + random.below(most),
    };
    wanted.min(most)
}

/// Any elements in any order, within the format.
fn snappy_stream(random: &mut Random, elements: usize) -> Candidate {
    let (mut out, mut done) = (Vec::new(), 0);
    let literals = 1 + random.below(8);
    for _ in 0..elements {
        if done == 0 || random.once_in(literals) {
            let count = match random.below(20) {
                0 => 1 + random.below(700),
                1 => 250 + random.below(30),
                2 if random.once_in(8) => 65_000 + random.below(2000),
                _ => 1 + random.below(70),
            };
            snappy_literal(random, &mut out, count);
            done += count;
            continue;
        }
        let count = 1 + random.below(64);
        let distance = distance(random, done, 1 << 30);
        if (4..12).contains(&count) && distance < 2048 {
            out.push((distance >> 8 << 5 | (count - 4) << 2 | 1) as u8);
            out.push(distance as u8);
        } else if distance < 65536 && !random.once_in(30) {
            out.push(((count - 1) << 2 | 2) as u8);
            out.extend((distance as u16).to_le_bytes());
        } else {
            out.push(((count - 1) << 2 | 3) as u8);
            out.extend((distance as u32).to_le_bytes());
        }
        done += count;
    }
    let mut source = varint(done as u64);
    source.extend(out);
    Candidate {
        source,
        bytes: done,
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 128 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn lz4_more(out: &mut Vec<u8>, count: usize) {
    if let Some(more) = count.checked_sub(15) {
        out.extend(vec![255; more / 255]);
        out.push((more % 255) as u8);
    }
}

/// Any sequences, within the format.
fn lz4_stream(random: &mut Random, sequences: usize) -> Candidate {
    let (mut source, mut done) = (Vec::new(), 0);
    let lengths = [0, 0, 1, 3, 8, 14, 15, 16, 40, 268, 269, 270, 271, 600];
    for index in 0..sequences {
        let mut literal = *random.pick(&lengths);
        if literal >= 268 && !random.once_in(4) {
            literal = random.below(5);
        }
        literal = literal.max(usize::from(done == 0));
        let last = index + 1 == sequences;
        let mut count = random.below(16);
        if random.once_in(10) {
            count = *random.pick(&[15, 16, 30, 268, 269, 270, 271, 1000, 9000]);
        }
        let count = if last { 0 } else { count };
        source.push((literal.min(15) << 4 | count.min(15)) as u8);
        lz4_more(&mut source, literal);
        source.extend((0..literal).map(|_| random.bits() as u8));
        done += literal;
        if !last {
            let distance = distance(random, done, 65535);
            source.extend((distance as u16).to_le_bytes());
            lz4_more(&mut source, count);
            done += count + 4;
        }
    }
    Candidate {
        source,
        bytes: done,
    }
}

fn stream(random: &mut Random, codec: PageCodec) -> Candidate {
    let elements = 1 + random.below(*random.clone().pick(&[3, 20, 200]));
    match codec {
        PageCodec::Snappy => snappy_stream(random, elements),
        PageCodec::Lz4Raw => lz4_stream(random, elements),
    }
}

#[test]
fn codec_streams_of_no_encoder() {
    for_each_case("codec streams", |random| {
        for codec in CODECS {
            let count = 1 + random.below(6);
            let candidates: Vec<_> = (0..count).map(|_| stream(random, codec)).collect();
            for candidate in &candidates {
                assert!(reference(codec, candidate).is_some(), "{candidate:?}");
            }
            check(codec, &candidates, random);
        }
    });
}

/// Makes it wrong, most times.
fn mutate(random: &mut Random, codec: PageCodec, candidate: &mut Candidate) {
    let source = &mut candidate.source;
    match random.below(9) {
        0 => source.truncate(random.below(source.len() + 1)),
        1 => {
            let more = 1 + random.below(40);
            source.extend((0..more).map(|_| random.bits() as u8));
        }
        2 => candidate.bytes += 1 + random.below(70),
        3 => candidate.bytes = candidate.bytes.saturating_sub(1 + random.below(70)),
        4 if codec == PageCodec::Snappy => {
            // The length in front says something else, or the same in too many bytes.
            let skip = varint(candidate.bytes as u64).len().min(source.len());
            let mut lie = varint(*random.pick(&[
                candidate.bytes as u64,
                candidate.bytes as u64 + 1,
                random.clone().bits(),
                u64::from(u32::MAX),
            ]));
            for _ in 0..random.below(7) {
                *lie.last_mut().unwrap() |= 128;
                lie.push(0);
            }
            source.splice(..skip, lie);
        }
        5 => {
            let at = random.below(source.len() + 1);
            let more = random.below(300);
            source.splice(at..at, vec![255; more]);
        }
        6 => source.truncate(source.len().saturating_sub(1 + random.below(6))),
        _ => {
            for _ in 0..1 + random.below(4) {
                if !source.is_empty() {
                    let at = random.below(source.len());
                    source[at] ^= 1 << random.below(8);
                }
            }
        }
    }
}

#[test]
fn codec_hostile_pages() {
    for_each_case("codec hostile pages", |random| {
        for codec in CODECS {
            let count = *random.pick(&[1, 1, 1, 5]);
            let candidates: Vec<Candidate> = (0..count)
                .map(|_| {
                    let mut candidate = if random.once_in(2) {
                        stream(random, codec)
                    } else {
                        let length = random.below(*random.clone().pick(&[2, 40, 1500, 140_000]));
                        compress(codec, &bytes(random, length))
                    };
                    if !random.once_in(5) {
                        mutate(random, codec, &mut candidate);
                    }
                    candidate
                })
                .collect();
            check(codec, &candidates, random);
        }
    });
}

/// Every short stream of bytes that matter, as a page of every short length.
#[test]
fn codec_short_pages() {
    let mut random = Random::new(1);
    let alphabet = [0, 1, 2, 4, 8, 16, 255];
    for codec in CODECS {
        for length in 0..=3_u32 {
            let count = alphabet.len().pow(length);
            let candidates: Vec<Candidate> = (0..count * 6)
                .map(|index| Candidate {
                    source: (0..length)
                        .map(|at| alphabet[index / 6 / alphabet.len().pow(at) % alphabet.len()])
                        .collect(),
                    bytes: index % 6,
                })
                .collect();
            let (good, bad): (Vec<_>, Vec<_>) = candidates
                .into_iter()
                .partition(|candidate| reference(codec, candidate).is_some());
            if !good.is_empty() {
                check(codec, &good, &mut random);
            }
            for candidate in bad.iter().step_by(if length < 3 { 1 } else { 23 }) {
                check(codec, std::slice::from_ref(candidate), &mut random);
            }
        }
    }
}
