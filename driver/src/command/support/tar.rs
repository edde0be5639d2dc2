//! An archive as `tar` reads it (ustar): files with names, contents and one time for all.

use std::io::{self, Write};

/// Octets of a block, the unit of everything in an archive.
const BLOCK: usize = 512;

/// An archive that is being written.
#[derive(Debug)]
pub(super) struct Tar<W> {
    output: W,
    /// Seconds since 1970 that all files get.
    time: u64,
}

impl<W: Write> Tar<W> {
    pub(super) fn new(output: W, time: u64) -> Self {
        Self { output, time }
    }

    /// Adds a file. Its name has at most 255 octets, of which the last 100 begin after a slash.
    ///
    /// # Errors
    ///
    /// A name that does not fit, or what the output says.
    pub(super) fn file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let (prefix, short) = split(name).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("`{name}` is too long for an archive"))
        })?;
        let mut header = [0; BLOCK];
        let mut put = |place: usize, text: &[u8]| {
            if let Some(field) = header.get_mut(place..place + text.len()) {
                field.copy_from_slice(text);
            }
        };
        put(0, short.as_bytes());
        put(100, b"0000600\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{:011o}\0", content.len()).as_bytes());
        put(136, format!("{:011o}\0", self.time).as_bytes());
        // The sum is made with blanks in its place.
        put(148, b"        ");
        put(156, b"0");
        put(257, b"ustar\x0000");
        put(345, prefix.as_bytes());
        let sum: u32 = header.iter().map(|octet| u32::from(*octet)).sum();
        if let Some(field) = header.get_mut(148..156) {
            field.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        self.output.write_all(&header)?;
        self.output.write_all(content)?;
        let rest = content.len().next_multiple_of(BLOCK) - content.len();
        self.output.write_all(&[0; BLOCK][..rest])
    }

    /// Ends the archive.
    ///
    /// # Errors
    ///
    /// What the output says.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.output.write_all(&[0; 2 * BLOCK])?;
        self.output.flush()?;
        Ok(self.output)
    }
}

/// A name in its two fields, of 155 and 100 octets.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= 100 {
        return Some(("", name));
    }
    let mut halves = name.match_indices('/').map(|(place, _)| (&name[..place], &name[place + 1..]));
    halves.rfind(|(prefix, short)| prefix.len() <= 155 && (1..=100).contains(&short.len()))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn tar_reads_what_was_written() {
        let long = format!("{}/{}", "a".repeat(150), "b".repeat(90));
        let files = [("a.txt", vec![b'x'; 512]), (&*long, b"long".to_vec()), ("c/empty", Vec::new())];
        let mut tar = Tar::new(Vec::new(), 1_700_000_000);
        for (name, content) in &files {
            tar.file(name, content).expect("written");
        }
        for name in ["n".repeat(101), format!("{}/x", "p".repeat(156))] {
            assert!(tar.file(&name, b"").is_err(), "{name}");
        }
        let archive = tar.finish().expect("an archive");
        assert_eq!(archive.len() % BLOCK, 0);
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("tar");
        command.args(["-x", "-f", "-", "-C"]).arg(folder.path()).stdin(Stdio::piped());
        let mut process = match command.spawn() {
            Ok(process) => process,
            Err(error) => {
                let _ =
                    writeln!(io::stderr().lock(), "SKIPPED: there is no tar to read the archive: {error}");
                return;
            }
        };
        process.stdin.take().expect("its input").write_all(&archive).expect("sent");
        assert!(process.wait().expect("an end").success());
        for (name, content) in &files {
            assert_eq!(std::fs::read(folder.path().join(name)).expect("a file"), *content, "{name}");
        }
    }
}
