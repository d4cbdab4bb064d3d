//! What the pieces of a registration cost one by one: looking a name up, knowing where its device is, the device's handler, and the row that
//! the peers get.
//!
//! Figures are for comparison within one sitting on one machine; nothing here asserts a time. The parser's pieces are measured in its crate.

#![expect(missing_docs, reason = "the group is made by a macro")]

use actix::Handler;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use tandem::device::{Device, DeviceContext, Register, Registered, Traits};
use tandem::locator::{DeviceIndex, Elsewhere, Locator, Names};
use tandem_base::{Incarnation, Rank, Stamp};
use tandem_host::outbox::{Flow, Peer};
use tandem_model::row::{RegistrationRow, device_key_of};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [u32; 3] = [1_000, 100_000, 1_000_000];
/// Visits devices in no order that a cache could gain from.
const STRIDE: u32 = 2_654_435_761;
const CONTACT: &str = "sip:u0000042@127.0.0.1:21000;transport=udp";

fn peer() -> Peer {
    Peer { addr: SocketAddr::from(([127, 0, 0, 1], 20_000)), flow: Flow::Udp(0) }
}

fn locations(c: &mut Criterion) {
    let mut group = c.benchmark_group("location");
    for devices in SIZES {
        let names = Names::new(devices as usize);
        let locator = Locator::new(devices);
        for n in 0..devices {
            names.add(&format!("u{n:07}"), DeviceIndex(n));
            locator.set_slot(DeviceIndex(n), Some(n));
            if n % 2 == 0 {
                let nonce = [0; 3];
                let incarnation = Incarnation(1);
                let place = Elsewhere { stamp: Stamp::default(), call_id: 0, cseq: 0, nonce, owner: 0, incarnation };
                locator.set_elsewhere(DeviceIndex(n), Some(place));
            }
        }
        let aliases = names.freeze();
        let texts: Vec<String> =
            (0..devices.min(100_000)).map(|n| format!("u{:07}", n.wrapping_mul(STRIDE) % devices)).collect();
        let mut next = texts.iter().cycle();
        group.bench_function(BenchmarkId::new("name to device to slot", devices), |b| {
            b.iter(|| {
                let name = next.next().map_or("", String::as_str);
                match aliases.find(device_key_of(black_box(name))) {
                    Some(tandem::locator::Alias::Device(device)) => locator.slot(device),
                    _ => None,
                }
            });
        });
        let mut n = 0_u32;
        group.bench_function(BenchmarkId::new("registered elsewhere", devices), |b| {
            b.iter(|| {
                n = n.wrapping_add(STRIDE);
                locator.elsewhere(black_box(DeviceIndex(n % devices)))
            });
        });
    }
}

fn device(c: &mut Criterion) {
    let mut device = Device::unregistered(DeviceIndex(42), Rank::HOME, 0, 0, peer());
    let mut cseq = 0;
    c.bench_function("device message, refresh", |b| {
        b.iter(|| {
            cseq += 1;
            let register = Register {
                now: 1_000,
                unix: 1_700_000_000,
                stamp: Stamp::default(),
                transaction: NonZeroU64::new(u64::from(cseq)),
                call_id: 7,
                cseq,
                peer: peer(),
                contact: black_box(CONTACT),
                path: None,
                granted: 3_600,
                traits: Traits::default(),
                nonce: None,
                poison: false,
            };
            let mut context = DeviceContext::default();
            let outcome = device.handle(register, &mut context);
            assert!(outcome == Registered::Granted, "a benchmark of refusals would be fast");
            context
        });
    });
}

fn row(c: &mut Criterion) {
    let row = RegistrationRow {
        device: device_key_of("u0000042"),
        expires: 4_600,
        source: peer().addr,
        contact: CONTACT.into(),
        call_id: 7,
        cseq: 1_000_000_000,
        ..RegistrationRow::default()
    };
    let mut bytes = Vec::with_capacity(512);
    c.bench_function("row, encode and hash", |b| {
        b.iter(|| {
            bytes.clear();
            black_box(&row).hash_with(&mut bytes)
        });
    });
    // Also when only this one is asked for.
    bytes.clear();
    row.encode(&mut bytes);
    c.bench_function("row, decode", |b| b.iter(|| RegistrationRow::decode(&mut black_box(bytes.as_slice())).is_ok()));
}

criterion_group!(benches, locations, device, row);
criterion_main!(benches);
