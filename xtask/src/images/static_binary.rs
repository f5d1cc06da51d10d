//! Whether a file is a static binary of one architecture, from its ELF headers (pure).
//! Refuses what would need anything else in an image: an interpreter or a shared library.

use anyhow::{Context, Result, bail, ensure};

/// Of 64-bit little-endian ELF: the field's offset in the header or entry, from elf(5).
const MACHINE: usize = 18;
const PROGRAM_HEADERS: usize = 32;
const PROGRAM_HEADER_SIZE: usize = 54;
const PROGRAM_HEADER_COUNT: usize = 56;
const SEGMENT_OFFSET: usize = 8;
const SEGMENT_SIZE: usize = 32;
/// `PT_DYNAMIC` and `PT_INTERP`.
const DYNAMIC: u32 = 2;
const INTERPRETER: u32 = 3;
/// `DT_NEEDED`.
const NEEDED: u64 = 1;

/// Refuses a binary that is not static or not of the architecture (`amd64` or `arm64`).
pub(super) fn demand(binary: &[u8], architecture: &str) -> Result<()> {
    ensure!(binary.starts_with(b"\x7fELF\x02\x01"), "it is no 64-bit little-endian ELF binary");
    let machine = match architecture {
        "amd64" => 62,
        "arm64" => 183,
        other => bail!("no images are made for the architecture {other}"),
    };
    let found = number(binary, MACHINE, 2)?;
    ensure!(found == machine, "it is for ELF machine {found}, not {machine} ({architecture})");
    for segment in segments(binary)? {
        match segment.kind {
            INTERPRETER => bail!("it needs an interpreter (the dynamic loader), so it is not static"),
            DYNAMIC if needs_library(segment.content)? => {
                bail!("it needs shared libraries, so it is not static")
            }
            _ => {}
        }
    }
    Ok(())
}

struct Segment<'binary> {
    kind: u32,
    content: &'binary [u8],
}

fn segments(binary: &[u8]) -> Result<Vec<Segment<'_>>> {
    let first = number(binary, PROGRAM_HEADERS, 8)? as usize;
    let size = number(binary, PROGRAM_HEADER_SIZE, 2)? as usize;
    let count = number(binary, PROGRAM_HEADER_COUNT, 2)? as usize;
    let segment = |index: usize| {
        let header = part(binary, first.saturating_add(index * size), size)?;
        let content = part(
            binary,
            number(header, SEGMENT_OFFSET, 8)? as usize,
            number(header, SEGMENT_SIZE, 8)? as usize,
        )?;
        Ok(Segment { kind: number(header, 0, 4)? as u32, content })
    };
    (0..count).map(segment).collect()
}

/// A static binary that is position-independent has a dynamic segment too, but one that names no library.
fn needs_library(dynamic: &[u8]) -> Result<bool> {
    for entry in dynamic.chunks_exact(16) {
        if number(entry, 0, 8)? == NEEDED {
            return Ok(true);
        }
    }
    Ok(false)
}

fn number(bytes: &[u8], at: usize, length: usize) -> Result<u64> {
    Ok(part(bytes, at, length)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn part(bytes: &[u8], at: usize, length: usize) -> Result<&[u8]> {
    at.checked_add(length).and_then(|end| bytes.get(at..end)).context("it is cut off")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header and one segment of the given kind and content.
    fn binary(machine: u16, kind: u32, content: &[u8]) -> Vec<u8> {
        let mut binary = vec![0; 64 + 56];
        binary[..6].copy_from_slice(b"\x7fELF\x02\x01");
        binary[MACHINE..MACHINE + 2].copy_from_slice(&machine.to_le_bytes());
        binary[PROGRAM_HEADERS..PROGRAM_HEADERS + 8].copy_from_slice(&64_u64.to_le_bytes());
        binary[PROGRAM_HEADER_SIZE] = 56;
        binary[PROGRAM_HEADER_COUNT] = 1;
        binary[64..68].copy_from_slice(&kind.to_le_bytes());
        binary[72..80].copy_from_slice(&120_u64.to_le_bytes());
        binary[96..104].copy_from_slice(&(content.len() as u64).to_le_bytes());
        binary.extend_from_slice(content);
        binary
    }

    fn dynamic(tag: u64) -> Vec<u8> {
        [tag.to_le_bytes(), 7_u64.to_le_bytes(), [0; 8], [0; 8]].concat()
    }

    fn refusal(binary: &[u8], architecture: &str) -> String {
        demand(binary, architecture).unwrap_err().to_string()
    }

    #[test]
    fn static_binaries_pass_whether_position_independent_or_not() {
        demand(&binary(62, 1, b"code"), "amd64").unwrap();
        demand(&binary(183, DYNAMIC, &dynamic(5)), "arm64").unwrap();
    }

    #[test]
    fn whatever_needs_something_else_is_refused() {
        assert!(refusal(&binary(62, INTERPRETER, b"/lib64/ld-linux"), "amd64").contains("interpreter"));
        assert!(refusal(&binary(62, DYNAMIC, &dynamic(NEEDED)), "amd64").contains("shared libraries"));
    }

    #[test]
    fn this_test_is_dynamic_and_says_so() {
        let ours = std::fs::read("/proc/self/exe").unwrap();
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        assert!(refusal(&ours, architecture).contains("not static"));
    }

    #[test]
    fn other_architectures_and_other_files_are_refused() {
        assert!(refusal(&binary(62, 1, b""), "arm64").contains("ELF machine 62, not 183"));
        assert!(refusal(&binary(62, 1, b""), "riscv64").contains("riscv64"));
        assert!(refusal(b"#!/bin/sh", "amd64").contains("no 64-bit"));
    }

    #[test]
    fn a_binary_that_is_cut_off_anywhere_is_refused_without_a_panic() {
        let whole = binary(62, DYNAMIC, &dynamic(5));
        for length in 0..whole.len() {
            assert!(demand(&whole[..length], "amd64").is_err(), "{length}");
        }
    }
}
