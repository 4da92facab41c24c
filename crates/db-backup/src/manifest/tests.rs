//! Manifests that were changed, and hostile ones.

use chrono::TimeZone;

use super::*;

fn manifest() -> Manifest {
    let at = Utc.with_ymd_and_hms(2025, 11, 22, 14, 30, 5).unwrap();
    let hash = "0123456789abcdef".repeat(4);
    Manifest {
        format: FORMAT,
        name: "backup_20251122_143005".to_owned(),
        kind: Kind::Sqlite,
        started_at: at,
        finished_at: at,
        duration_ms: 12,
        made_by: MadeBy {
            program: "bitcraps-db 0.1.0".to_owned(),
            host: "h".to_owned(),
            user: "u\u{e9}".to_owned(),
        },
        engine: EngineFacts {
            name: "sqlite".to_owned(),
            version: "3.53.2".to_owned(),
            page_size: Some(4096),
            pages: Some(2),
            encrypted: Some(false),
            application_id: Some(-7),
            ..EngineFacts::default()
        },
        database: "/x/y.db".to_owned(),
        schema: None,
        tables: vec![TableRows {
            name: "users".to_owned(),
            rows: 3,
        }],
        content: Content {
            bytes: 8192,
            sha256: hash.clone(),
        },
        parts: vec![Part {
            name: "backup_20251122_143005.db.zst".to_owned(),
            bytes: 100,
            sha256: hash,
        }],
        compression: Some(Compression {
            method: ZSTD.to_owned(),
            level: 3,
        }),
        encryption: None,
        proof: Proof::default(),
        requires: Vec::new(),
        sha256: String::new(),
    }
}

const FILE: &str = "backup_20251122_143005.json";

#[test]
fn what_was_sealed_is_read() {
    let mut sealed = manifest();
    let bytes = sealed.seal().unwrap();
    assert_eq!(Manifest::read(FILE, &bytes).unwrap(), sealed);
}

/// A program that does not know the findings says that it is too old, and not that the backup is
/// damaged; whatever else it can read stays so.
#[test]
fn what_is_not_sound_is_of_another_format() {
    let mut sound = manifest();
    let bytes = sound.seal().unwrap();
    assert_eq!(sound.format, 1);
    seal::refuse_newer(FILE, &bytes, 1).unwrap();
    let mut unsound = manifest();
    unsound.proof.unsound = vec!["1 row breaks a foreign key".to_owned()];
    let bytes = unsound.seal().unwrap();
    assert_eq!(Manifest::read(FILE, &bytes).unwrap().format, 2);
    let error = seal::refuse_newer(FILE, &bytes, 1).unwrap_err();
    assert!(matches!(error, Error::TooNew { .. }), "{error}");
}

#[test]
fn every_flip_and_every_cut_is_seen() {
    let bytes = manifest().seal().unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            Manifest::read(FILE, &flipped).unwrap_err();
        }
        Manifest::read(FILE, &bytes[..at]).unwrap_err();
        let mut longer = bytes.clone();
        longer.insert(at, b' ');
        Manifest::read(FILE, &longer).unwrap_err();
    }
}

#[test]
fn another_backups_manifest_is_not_taken() {
    let bytes = manifest().seal().unwrap();
    let error = Manifest::read("backup_20251122_143006.json", &bytes).unwrap_err();
    assert!(error.to_string().contains("another backup"), "{error}");
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let text = r#"{"format": 3, "name": "x", "what": {"nobody": "knows"}}"#;
    let error = Manifest::read(FILE, text.as_bytes()).unwrap_err();
    assert!(matches!(error, Error::TooNew { .. }), "{error}");
}

/// Whoever can write the folder can seal what he likes.
#[test]
fn hostile_manifests_with_a_good_seal_are_refused() {
    type Edit = fn(&mut Manifest);
    let edits: &[(&str, Edit)] = &[
        ("path", |m| m.parts[0].name = "../../etc/passwd".to_owned()),
        ("absolute", |m| m.parts[0].name = "/etc/passwd".to_owned()),
        ("hidden", |m| m.parts[0].name = ".lock".to_owned()),
        ("foreign", |m| {
            m.parts[0].name = "backup_20251122_143006.db".to_owned();
        }),
        ("itself", |m| m.parts[0].name = FILE.to_owned()),
        ("nul", |m| {
            m.parts[0].name = "backup_20251122_143005.d\0b".to_owned();
        }),
        ("no parts", |m| m.parts.clear()),
        ("twice", |m| m.parts.push(m.parts[0].clone())),
        ("too many", |m| {
            m.parts = (0..=MOST_PARTS)
                .map(|i| Part {
                    name: format!("{}.{i}", m.name),
                    ..m.parts[0].clone()
                })
                .collect();
        }),
        ("hash", |m| m.parts[0].sha256 = "0".repeat(63)),
        ("hash", |m| m.content.sha256 = "Z".repeat(64)),
        ("compression", |m| {
            m.compression.as_mut().unwrap().method = "lz4".to_owned();
        }),
        ("encryption", |m| {
            m.encryption = Some(Encryption {
                method: "rot13".to_owned(),
                recipients: Vec::new(),
            });
        }),
        ("requires", |m| m.requires.push("../x".to_owned())),
        ("engine", |m| m.engine.name = "postgres".to_owned()),
        ("size", |m| m.content.bytes = u64::MAX),
        ("overflow", |m| {
            m.engine.pages = Some(u64::MAX);
            m.engine.page_size = Some(u32::MAX);
        }),
        ("no pages", |m| m.engine.pages = None),
        ("escape", |m| {
            m.made_by.user = "\u{1b}]0;owned\u{7}".to_owned();
        }),
        ("line", |m| m.database = "a\nb".to_owned()),
        ("reversed", |m| m.made_by.host = "\u{202e}x".to_owned()),
        ("table", |m| m.tables[0].name = "\u{9b}31m".to_owned()),
        ("engine version", |m| m.engine.version = "\r3".to_owned()),
        ("finding", |m| {
            m.proof.unsound = vec!["\u{1b}[2J".to_owned()];
        }),
        ("without end", |m| m.database = "x".repeat(10_000)),
    ];
    for (what, edit) in edits {
        let mut hostile = manifest();
        edit(&mut hostile);
        hostile.sha256 = seal::of(&seal::bytes(&hostile, FILE).unwrap());
        let bytes = seal::bytes(&hostile, FILE).unwrap();
        let error = Manifest::read(FILE, &bytes).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{what}: {error}");
        assert!(!error.to_string().contains(char::is_control), "{what}");
        // An honest program seals no such thing: it is refused, or cleaned.
        assert!(
            hostile
                .seal()
                .is_err_and(|e| matches!(e, Error::Damaged { .. }))
                || Manifest::read(FILE, &hostile.seal().unwrap()).is_ok(),
            "{what}"
        );
    }
}

#[test]
fn words_of_a_strange_document_are_not_repeated_as_they_are() {
    let text = "{\"format\": 1, \"\\u001b[31mred\": 1}";
    let error = Manifest::read(FILE, text.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("red"), "{error}");
    assert!(!error.to_string().contains(char::is_control), "{error:?}");
}

#[test]
fn deep_and_large_documents_are_refused() {
    let deep = "[".repeat(1 << 20);
    Manifest::read(FILE, deep.as_bytes()).unwrap_err();
    let deep = format!("{}{}", r#"{"name":"#.repeat(100_000), "}".repeat(100_000));
    Manifest::read(FILE, deep.as_bytes()).unwrap_err();
    let large = vec![b' '; usize::try_from(LARGEST).unwrap() + 1];
    let error = Manifest::read(FILE, &large).unwrap_err();
    assert!(error.to_string().contains("larger"), "{error}");
    Manifest::read(FILE, b"").unwrap_err();
    Manifest::read(FILE, &[0xff; 64]).unwrap_err();
}

#[test]
fn a_record_of_a_failure_is_read_as_it_was_sealed() {
    const FAILED: &str = "backup_20251122_143005.failed.json";
    let manifest = manifest();
    let mut failure = Failure {
        format: 0,
        name: manifest.name.clone(),
        manifest: manifest.sha256,
        at: manifest.started_at,
        depth: Depth::Full,
        why: "a table \u{1b}[31m has 3 rows".to_owned(),
        host: "h".to_owned(),
        sha256: String::new(),
    };
    let bytes = failure.seal().unwrap();
    assert_eq!(Failure::read(FAILED, &bytes).unwrap(), failure);
    assert!(failure.why.contains(r"\u{1b}"), "{failure}");
    Failure::read("backup_20251122_143006.failed.json", &bytes).unwrap_err();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        Failure::read(FAILED, &flipped).unwrap_err();
    }
}
