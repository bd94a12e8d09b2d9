//! Any bytes, to Lua values and to Rust values: `cargo +nightly fuzz run seri_unpack`.
//!
//! Both readers must agree on what is damaged, and what Lua unpacks and packs again is read as the same values.
#![no_main]

use std::cell::OnceCell;

use libfuzzer_sys::fuzz_target;
use mlua::{Function, Lua, LuaString, MultiValue};
use skynet_rs::packed::{self, Value, Values};
use skynet_rs::seri_door;

struct Host {
    lua: Lua,
    unpack: Function,
    packstring: Function,
}

impl Host {
    fn new() -> Host {
        let lua = Lua::new();
        let module = seri_door::open(&lua).expect("there is memory");
        // A message may take memory in proportion to its length, and libFuzzer's are short.
        lua.set_memory_limit(64 << 20).expect("the allocator is mlua's");
        let function = |name| module.get(name).expect("the module has it");
        Host { unpack: function("unpack"), packstring: function("packstring"), lua }
    }
}

thread_local! {
    static HOST: OnceCell<Host> = const { OnceCell::new() };
}

fuzz_target!(|bytes: &[u8]| {
    let by_serde = packed::from_bytes::<Values>(bytes);
    drop(packed::from_bytes::<(String, Option<Vec<Option<f64>>>, Value)>(bytes));
    HOST.with(|host| {
        let host = host.get_or_init(Host::new);
        let text = host.lua.create_string(bytes).expect("there is memory");
        match host.unpack.call::<MultiValue>(text) {
            Ok(values) => {
                let read = by_serde.expect("what Lua reads, serde reads");
                assert_eq!(values.len(), read.0.len());
                // Too deep to be packed again is fine.
                if let Ok(again) = host.packstring.call::<LuaString>(values) {
                    packed::from_bytes::<Values>(&again.as_bytes()).expect("it has just been packed");
                }
            }
            // A NaN as a key is no damage to serde.
            Err(error) if error.to_string().contains("NaN") => {}
            // More values than a Lua stack holds are none either.
            Err(error) if error.to_string().contains("stack overflow") => {}
            Err(_) => assert!(by_serde.is_err()),
        }
    });
});
