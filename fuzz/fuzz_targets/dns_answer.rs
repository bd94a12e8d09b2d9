//! Any packet as an answer of a DNS server: `cargo +nightly fuzz run dns_answer`.
//!
//! The reader is `skynet.dns.packet`, in Lua. It answers what it has read or says what is wrong, and never fails; what
//! it calls addresses are some.
#![no_main]

use std::cell::OnceCell;
use std::net::{Ipv4Addr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use mlua::{Function, Lua, MultiValue, Table, Value};

const A: i64 = 1;

struct Host {
    lua: Lua,
    parse: Function,
    addresses: Function,
}

impl Host {
    fn new() -> Host {
        let lua = Lua::new();
        let module: Table = lua
            .load(include_str!("../../lualib/skynet/dns/packet.lua"))
            .set_name("@packet.lua")
            .eval()
            .expect("the module loads");
        lua.set_memory_limit(16 << 20).expect("the allocator is mlua's");
        let function = |name| module.get(name).expect("the module has it");
        Host { parse: function("parse"), addresses: function("addresses"), lua }
    }
}

thread_local! {
    static HOST: OnceCell<Host> = const { OnceCell::new() };
}

fuzz_target!(|packet: &[u8]| {
    HOST.with(|host| {
        let host = host.get_or_init(Host::new);
        let text = host.lua.create_string(packet).expect("there is memory");
        let read = host.parse.call::<MultiValue>(text).expect("what is wrong is a result");
        let answer = match read.iter().collect::<Vec<_>>()[..] {
            [Value::Table(answer)] => answer.clone(),
            // An error with a place would be one of the reader itself.
            [Value::Nil, Value::String(why)] => {
                assert!(!why.to_string_lossy().contains("packet.lua"), "{}", why.to_string_lossy());
                return;
            }
            _ => panic!("{read:?}"),
        };
        let records: Table = answer.get("records").expect("it has records");
        assert!(records.raw_len() <= packet.len() / 11);
        let (addresses, _ttl): (Vec<String>, Option<u32>) =
            host.addresses.call(&answer).expect("what is read can be looked through");
        let kind: i64 = answer.get("kind").expect("it has a kind");
        if kind == A {
            assert!(addresses.iter().all(|text| text.parse::<Ipv4Addr>().is_ok()), "{addresses:?}");
        } else if kind == 28 {
            for text in &addresses {
                let address: Ipv6Addr = text.parse().expect("an address");
                // The short form is unique; Rust writes the last part of some in the old way.
                if !address.to_string().contains('.') {
                    assert_eq!(address.to_string(), *text);
                }
            }
        }
    });
});
