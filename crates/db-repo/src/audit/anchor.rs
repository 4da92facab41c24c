//! Anchors: what the head of the chain was, kept where who changes the database does not reach.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::hash::Hash;
use crate::{Error, Result};

/// Hexadecimal digits of a hash.
const DIGITS: usize = 64;

/// Ends a line that a stopped program left without its end, so that it is told from one that somebody
/// cut short.
const CLOSED: char = '#';

/// A seal that was the head of the chain. As text: `<seal> <hash in lower-case hexadecimal>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Anchor {
    /// The seal.
    pub seal: i64,
    /// Its SHA-256.
    pub hash: Hash,
}

impl Anchor {
    /// Of a seal as it is stored; a hash of another length matches none.
    pub(crate) fn new(seal: i64, hash: &[u8]) -> Self {
        Self {
            seal,
            hash: hash.try_into().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.seal)?;
        self.hash
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Anchor {
    fn serialize<S: Serializer>(&self, out: S) -> std::result::Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

/// A text that is no anchor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no anchor: {0:?} is not the number of a seal and {DIGITS} hexadecimal digits")]
pub struct InvalidAnchor(String);

impl FromStr for Anchor {
    type Err = InvalidAnchor;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let parts = text.split_once(' ');
        let found = parts.and_then(|(seal, digits)| {
            let seal = seal.parse().ok().filter(|seal| *seal > 0)?;
            let hash = hash(digits)?;
            Some(Self { seal, hash })
        });
        found.ok_or_else(|| InvalidAnchor(text.to_owned()))
    }
}

fn hash(digits: &str) -> Option<Hash> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let mut hash = Hash::default();
    if pairs.len() != hash.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(pairs) {
        let text = std::str::from_utf8(pair).ok()?;
        if !pair.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        *byte = u8::from_str_radix(text, 16).ok()?;
    }
    Some(hash)
}

/// A file of anchors, a line each, oldest first: only ever added to. Keep it, or a copy, where who
/// may write the database may not.
#[derive(Debug, Clone)]
pub struct AnchorFile {
    path: PathBuf,
    begins: bool,
}

/// What a file of anchors says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Anchors {
    /// In the order of the file.
    pub anchors: Vec<Anchor>,
    /// Numbers of the lines that were not written to their end, from 1: a program was stopped.
    pub torn: Vec<usize>,
}

impl AnchorFile {
    /// The file of this name. It may be missing as long as nothing is sealed.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            begins: false,
        }
    }

    /// The same file, which may begin at a trail that was sealed before. What was done to the trail
    /// until then, it cannot tell.
    #[must_use]
    pub fn to_begin(mut self) -> Self {
        self.begins = true;
        self
    }

    pub(super) const fn begins(&self) -> bool {
        self.begins
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all anchors; none from a file that is not there. A line that was cut off is passed over
    /// with a warning, if it is the last or if [`append`](Self::append) found and closed it.
    ///
    /// # Errors
    /// `AnchorFile`, also for any other line that is no anchor.
    pub fn read(&self) -> Result<Anchors> {
        let mut text = String::new();
        match File::open(&self.path).and_then(|mut file| file.read_to_string(&mut text)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Anchors::default()),
            read => read.map_err(|error| self.failed(&error))?,
        };
        let mut found = Anchors::default();
        for (at, line) in text.split_inclusive('\n').enumerate() {
            let ended = line.strip_suffix('\n');
            let written = ended.unwrap_or(line);
            let words = written.trim_end_matches(CLOSED);
            let was_closed = words.len() < written.len();
            match words.parse::<Anchor>() {
                // The last one may have all of its digits and lack its end.
                Ok(anchor) if ended.is_some() => found.anchors.push(anchor),
                _ if is_cut_off(words) && (ended.is_none() || was_closed) => {
                    tracing::warn!(
                        file = %self.path.display(),
                        line = at + 1,
                        "a line of the file of anchors was not written to its end"
                    );
                    found.torn.push(at + 1);
                }
                Ok(_) => return Err(self.no_anchor(at + 1, "no anchor")),
                Err(error) => return Err(self.no_anchor(at + 1, &error.to_string())),
            }
        }
        Ok(found)
    }

    /// Adds an anchor, on the disk when this returns. A new file is the owner's alone.
    ///
    /// # Errors
    /// `AnchorFile`.
    pub fn append(&self, anchor: Anchor) -> Result<()> {
        self.write(anchor).map_err(|error| self.failed(&error))
    }

    fn write(&self, anchor: Anchor) -> io::Result<()> {
        let is_new = !self.path.try_exists()?;
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let mut file = options.open(&self.path)?;
        // What a stopped program left must not run into this line.
        let closed = if ends_within_a_line(&mut file)? {
            format!("{CLOSED}\n")
        } else {
            String::new()
        };
        file.write_all(format!("{closed}{anchor}\n").as_bytes())?;
        file.sync_all()?;
        if is_new && let Some(folder) = self.path.parent() {
            let here = Path::new(".");
            File::open(if folder == Path::new("") {
                here
            } else {
                folder
            })?
            .sync_all()?;
        }
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> Error {
        Error::AnchorFile {
            path: self.path.clone(),
            kind: error.kind(),
            why: error.to_string(),
        }
    }

    fn no_anchor(&self, line: usize, why: &str) -> Error {
        self.failed(&io::Error::new(
            io::ErrorKind::InvalidData,
            format!("line {line}: {why}"),
        ))
    }
}

fn ends_within_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Whether a text can be the beginning of an anchor's line.
fn is_cut_off(line: &str) -> bool {
    let (seal, digits) = line.split_once(' ').unwrap_or((line, ""));
    seal.bytes().all(|byte| byte.is_ascii_digit())
        && digits.len() <= DIGITS
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor(seal: i64) -> Anchor {
        let hash = std::array::from_fn(|at| u8::try_from(at).unwrap() ^ 0xa5);
        Anchor { seal, hash }
    }

    #[test]
    fn an_anchor_survives_being_text() {
        let text = anchor(7).to_string();
        assert!(text.starts_with("7 a5a4a7"), "{text}");
        assert_eq!(text.parse(), Ok(anchor(7)));
        for wrong in [
            "",
            "7",
            "0 a5",
            &text[..text.len() - 1],
            &format!("{text}0"),
            &text.replace("a5", "+5"),
        ] {
            assert!(wrong.parse::<Anchor>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_line_cut_off_anywhere_is_told_and_costs_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors");
        let file = AnchorFile::new(&path);
        assert_eq!(file.read().unwrap(), Anchors::default());
        let line = format!("{}\n", anchor(12));
        for cut in 1..line.len() {
            std::fs::write(&path, format!("{}\n{}", anchor(11), &line[..cut])).unwrap();
            let read = file.read().unwrap();
            assert_eq!(
                (read.anchors, read.torn),
                (vec![anchor(11)], vec![2]),
                "{cut}"
            );
            file.append(anchor(13)).unwrap();
            let read = file.read().unwrap();
            // One that lacked but its end is whole now.
            let whole = if cut == line.len() - 1 {
                vec![anchor(12)]
            } else {
                vec![]
            };
            let expected = [vec![anchor(11)], whole, vec![anchor(13)]].concat();
            assert_eq!(read.anchors, expected, "{cut}");
        }
    }

    #[test]
    fn only_a_last_line_or_one_that_was_closed_may_be_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors");
        let file = AnchorFile::new(&path);
        let whole = anchor(12).to_string();
        for wrong in ["nonsense", "", &whole[..40], "12"] {
            for text in [format!("{wrong}\n"), format!("{wrong}\n{whole}\n")] {
                std::fs::write(&path, text).unwrap();
                let error = file.read().unwrap_err().to_string();
                assert!(
                    error.contains(&format!("line 1: no anchor: {wrong:?}")),
                    "{error}"
                );
            }
        }
        // Stopped twice, the second time as it closed what the first had left.
        std::fs::write(&path, format!("{}#", &whole[..40])).unwrap();
        assert_eq!(file.read().unwrap().torn, [1]);
        file.append(anchor(13)).unwrap();
        let read = file.read().unwrap();
        assert_eq!((read.anchors, read.torn), (vec![anchor(13)], vec![1]));
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors");
        AnchorFile::new(&path).append(anchor(1)).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
