//! The packed format: from and to Lua, and from and to Rust types by serde.
//!
//! `cargo bench --bench seri --features bench`
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use mlua::{Function, Lua};
use skynet_rs::{packed, seri_door};

/// Each case: its name, and Lua text that gives the values.
const CASES: &[(&str, &str)] = &[
    ("small", "return 'set', 12345, 'some key', true"),
    (
        "table50",
        "local t = { list = {}, map = {}, name = 'a name of a player', level = 17, rate = 0.25 }
         for i = 1, 20 do t.list[i] = i * 100 end
         for i = 1, 25 do t.map['field' .. i] = i % 2 == 0 and i or 'value ' .. i end
         return t",
    ),
    ("fields50", "local t = {} for i = 1, 50 do t['field' .. i] = i end return t"),
    ("array1000", "local t = {} for i = 1, 1000 do t[i] = i end return t"),
    (
        "records100",
        "local t = {} for i = 1, 100 do t[i] = { id = i, name = 'n' .. i, on = true } end return t",
    ),
    ("str64k", "return ('x'):rep(65536)"),
];

/// The loops run inside Lua, as they do in a service: a benchmark's call from Rust would cost as much as the codec.
const LOOPS: &str = "
    local seri, make = ...
    local pack, unpack, trash = seri.pack, seri.unpack, seri.trash
    local a, b, c, d = make()
    local data, size = pack(a, b, c, d)
    local function packs(n) for _ = 1, n do trash(pack(a, b, c, d)) end end
    local function unpacks(n) for _ = 1, n do unpack(data, size) end end
    local function both(n)
        for _ = 1, n do
            local data, size = pack(a, b, c, d)
            unpack(data, size)
            trash(data)
        end
    end
    return packs, unpacks, both";

fn lua(c: &mut Criterion) {
    for (name, make) in CASES {
        let mut group = c.benchmark_group(format!("lua/{name}"));
        let lua = Lua::new();
        lua.load("collectgarbage(\"generational\")").exec().expect("it is Lua");
        let make = lua.load(*make).into_function().expect("the case is Lua");
        let door = seri_door::open(&lua).expect("there is memory");
        let (packs, unpacks, both): (Function, Function, Function) =
            lua.load(LOOPS).call((door, make)).expect("the loops are Lua");
        for (what, loops) in [("pack", packs), ("unpack", unpacks), ("both", both)] {
            group.bench_function(what, |bencher| {
                bencher.iter_custom(|count| {
                    let start = std::time::Instant::now();
                    loops.call::<()>(count).expect("it packs");
                    start.elapsed()
                });
            });
        }
    }
}

fn rust(c: &mut Criterion) {
    let mut group = c.benchmark_group("serde");
    let small = ("set", 12345, "some key", true);
    let fields: BTreeMap<String, i64> = (1..=50).map(|i| (format!("field{i}"), i)).collect();
    group.bench_function("small/pack", |b| b.iter(|| packed::to_payload(black_box(&small))));
    let bytes = packed::to_vec(&small).expect("it packs");
    group.bench_function("small/unpack", |b| {
        b.iter(|| packed::from_bytes::<(&str, u64, &str, bool)>(black_box(&bytes)));
    });
    group.bench_function("fields50/pack", |b| b.iter(|| packed::to_payload(black_box(&fields))));
    let bytes = packed::to_vec(&fields).expect("it packs");
    group.bench_function("fields50/unpack", |b| {
        b.iter(|| packed::from_bytes::<BTreeMap<&str, i64>>(black_box(&bytes)));
    });
}

criterion_group!(benches, lua, rust);
criterion_main!(benches);
