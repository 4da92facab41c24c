//! What a value of one engine is on the other.

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::{CellRef, Form, Policies, decimal, json, moment, postgres, sqlite};

fn normal(text: &str) -> String {
    let mut out = Vec::new();
    assert!(decimal::normal(text.as_bytes(), &mut out), "{text}");
    String::from_utf8(out).unwrap()
}

#[test]
fn equal_decimals_share_a_form() {
    for (form, texts) in [
        ("0", &["0", "-0", "0.000", "00", "0e7"][..]),
        (
            "125e-2",
            &["1.25", "01.250", "125e-2", "0.00125e3", "+1.25"],
        ),
        ("-1e3", &["-1000", "-1e3", "-1000.00", "-1E+3"]),
        ("1e-20000", &["0.1e-19999"]),
    ] {
        for text in texts {
            assert_eq!(normal(text), form, "{text}");
        }
    }
    for text in [
        "", "-", ".", "1.2.3", "1e", "NaN", "Infinity", "0x1", "1e1.5",
    ] {
        let mut out = Vec::new();
        assert!(
            !decimal::normal(text.as_bytes(), &mut out) && out.is_empty(),
            "{text}"
        );
    }
}

#[test]
fn documents_that_say_the_same_share_a_form() {
    let form = |text: &str| {
        let mut out = Vec::new();
        json::normal(text.as_bytes(), &mut out).map(|()| String::from_utf8(out).unwrap())
    };
    let one = form(r#"{"b": [1, 2.50, "\u00e9\n"], "a": {"x": null}, "b": [1.0,25e-1,"é\n"]}"#);
    assert_eq!(
        one,
        form("{\"a\":{\"x\":null},\"b\":[1,2.5,\"\\u00E9\\u000a\"]}")
    );
    assert_ne!(form("[1,2]"), form("[12]"));
    assert_ne!(form(r#"["a","b"]"#), form(r#"["a\",\"b"]"#));
    for text in [
        "",
        "{",
        "[1,]",
        "{\"a\"}",
        "01",
        "1.",
        ".5",
        "+1",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "1 2",
        "\"\\x\"",
        "'a'",
        "nul",
        "1e999999",
        "1e-99999",
        "\"a\nb\"",
    ] {
        assert!(form(text).is_err(), "{text}");
    }
    assert!(form(&"[".repeat(100_000)).is_err());
}

#[test]
fn moments_are_read_as_the_server_writes_them() {
    for (text, micros) in [
        ("1970-01-01 00:00:00+00", 0),
        ("1969-12-31 23:59:59.999999+00", -1),
        ("2024-02-29 12:00:00.5+00", 1_709_208_000_500_000),
        ("4714-11-24 00:00:00+00 BC", -210_866_803_200_000_000),
        ("0001-01-01 00:00:00+00", -62_135_596_800_000_000),
        ("0001-12-31 00:00:00+00 BC", -62_135_683_200_000_000),
        ("294247-01-10 04:00:54.775807+00", i64::MAX),
    ] {
        assert_eq!(moment::parse(text.as_bytes()), Some(micros), "{text}");
        assert!(moment::fits(micros));
    }
    for text in [
        "infinity",
        "-infinity",
        "294276-12-31 00:00:00+00",
        "2024-01-01",
        "x",
    ] {
        assert_eq!(moment::parse(text.as_bytes()), None, "{text}");
    }
}

fn cell_of(form: Form) -> BoxedStrategy<Owned> {
    match form {
        Form::Integer(16) => any::<i16>().prop_map(|n| Owned::Integer(n.into())).boxed(),
        Form::Integer(_) => any::<i64>().prop_map(Owned::Integer).boxed(),
        Form::Real => any::<f64>()
            .prop_filter("NaN is refused", |n| !n.is_nan())
            .prop_map(Owned::Real)
            .boxed(),
        Form::Float => any::<f32>()
            .prop_filter("NaN is refused", |n| !n.is_nan())
            .prop_map(|n| Owned::Real(n.into()))
            .boxed(),
        Form::Bool => any::<bool>().prop_map(|b| Owned::Integer(b.into())).boxed(),
        Form::Moment => (-210_866_803_200_000_000..=i64::MAX)
            .prop_map(Owned::Integer)
            .boxed(),
        Form::Blob => any::<Vec<u8>>().prop_map(Owned::Blob).boxed(),
        _ => any::<String>()
            .prop_map(|t| Owned::Text(t.into_bytes()))
            .boxed(),
    }
}

#[derive(Debug, Clone)]
enum Owned {
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl Owned {
    fn cell(&self) -> CellRef<'_> {
        match self {
            Self::Integer(n) => CellRef::Integer(*n),
            Self::Real(n) => CellRef::Real(*n),
            Self::Text(t) => CellRef::Text(t),
            Self::Blob(b) => CellRef::Blob(b),
        }
    }
}

const FORMS: [Form; 8] = [
    Form::Integer(16),
    Form::Integer(64),
    Form::Real,
    Form::Float,
    Form::Bool,
    Form::Moment,
    Form::Text,
    Form::Blob,
];

proptest! {
    #[test]
    fn what_is_written_is_read_again((form, cell) in (0..FORMS.len())
        .prop_flat_map(|at| (Just(FORMS[at]), cell_of(FORMS[at])))
    ) {
        let policies = Policies::default();
        let mut made = Vec::new();
        let Ok(there) = sqlite::read(form, cell.cell(), policies, &mut made) else {
            // The one thing of these that PostgreSQL does not hold.
            prop_assert!(matches!(&cell, Owned::Text(text) if text.contains(&0)));
            return Ok(());
        };
        let mut line = Vec::new();
        postgres::write(form, there, &mut line);
        prop_assert!(!line.contains(&b'\n') && !line.contains(&b'\t'));
        let mut again = Vec::new();
        prop_assert_eq!(postgres::read(form, &line, policies, &mut again), Ok(cell.cell()));
    }

    #[test]
    fn moments_agree_with_chrono(micros in -60_000_000_000_000_000_i64..200_000_000_000_000_000) {
        let mut out = Vec::new();
        moment::write(micros, &mut out);
        let expected = DateTime::<Utc>::from_timestamp_micros(micros).unwrap();
        let format = if micros.rem_euclid(1_000_000) == 0 { "%Y-%m-%d %H:%M:%S+00" } else { "%Y-%m-%d %H:%M:%S%.6f+00" };
        prop_assert_eq!(String::from_utf8(out).unwrap(), expected.format(format).to_string());
    }

    #[test]
    fn numbers_survive_numeric(integer in any::<i64>(), real in any::<f64>()) {
        for cell in [CellRef::Integer(integer), CellRef::Real(real)] {
            let mut made = Vec::new();
            let Ok(there) = sqlite::read(Form::Numeric, cell, Policies::default(), &mut made) else {
                prop_assert!(!real.is_finite());
                continue;
            };
            match (cell, sqlite::write(Form::Numeric, there)) {
                (CellRef::Real(wanted), CellRef::Integer(found)) => {
                    #[expect(clippy::cast_precision_loss, reason = "it came from one")]
                    let found = found as f64;
                    // A zero has no sign there.
                    prop_assert!(found.total_cmp(&(wanted + 0.0)).is_eq());
                }
                (wanted, found) => prop_assert_eq!(wanted, found),
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reader_of_json_panic(bytes in any::<Vec<u8>>()) {
        let mut out = Vec::new();
        prop_assert!(json::normal(&bytes, &mut out).is_err() || !out.is_empty());
    }
}
