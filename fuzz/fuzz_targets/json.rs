//! Any bytes as JSON, one document or lines; the first byte says how they are imported.
#![no_main]

use db_transfer::format::Form;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    bitcraps_db_fuzz::import(Form::Json, bytes);
});
