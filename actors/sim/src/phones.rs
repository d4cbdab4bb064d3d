//! The phones of a run: the machines of `tandem_loadtest`, one address each, their timers, and nothing of a socket.

use crate::setup::Setup;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tandem::directory::Directory;
use tandem_base::Time;
use tandem_host::random::Random;
use tandem_loadtest::{Identity, Phone, PhoneInput, PhoneOutput, PhoneSettings, Profile, Status};
use tandem_model::config::Credential;

/// Where every phone listens.
const PORT: u16 = 5060;
/// The first number of a stranger: no device has it.
const STRANGERS: u32 = 1 << 20;

/// What a phone wants done.
#[derive(Debug)]
pub struct Wanted {
    /// Which phone.
    pub phone: usize,
    /// What.
    pub output: PhoneOutput,
}

/// What a phone is made of again after it has lost power.
struct Making {
    number: u32,
    profile: Arc<Profile>,
    who: Identity,
}

/// See the module. Phones have the numbers of their devices in the directory; strangers come after them.
pub struct Phones {
    phones: Vec<Phone>,
    makings: Vec<Making>,
    /// How many of them are devices.
    devices: usize,
    dice: Random,
    by_address: BTreeMap<SocketAddr, usize>,
    timers: BTreeSet<(Time, usize)>,
    armed: Vec<Option<Time>>,
    starts: BTreeSet<(Time, usize)>,
    /// Switched off by a fault.
    off: BTreeSet<usize>,
    /// To be switched on as soon as they are off.
    again: BTreeSet<usize>,
}

impl Phones {
    /// One for each device; they are switched on in random order within the time of the setup.
    ///
    /// # Errors
    /// A sentence: an identity or a list of nodes that a phone cannot have.
    pub fn new(setup: &Setup, directory: &Directory, dice: &mut Random) -> Result<Self, String> {
        let mut makings = Vec::new();
        let spread = u64::try_from(setup.start_within.as_micros()).unwrap_or(u64::MAX - 1);
        for (number, spec) in (0_u32..).zip(setup.config.devices()) {
            let group = setup.config.group_of_pool(spec.pool).unwrap_or_default();
            let servers: Vec<_> =
                directory.members(group).iter().filter_map(|m| directory.sip_address(m, true, false)).collect();
            let password = match spec.credential {
                Credential::Password(password) => password.to_owned(),
                _ => String::new(),
            };
            let who = Identity { user: spec.name.to_string(), digest_user: spec.user.to_string(), password };
            let manners = if setup.mixed { manners(number, &setup.phones) } else { setup.phones.clone() };
            let profile = Profile::new(&directory.realm, &servers, manners).map_err(|e| e.to_string())?;
            makings.push(Making { number, profile, who });
        }
        let devices = makings.len();
        for number in 0..setup.strangers {
            let victim = usize::try_from(dice.below(u64::try_from(devices).unwrap_or(1).max(1))).unwrap_or(0);
            let Some(Making { profile, who, .. }) = makings.get(victim) else { continue };
            let who = Identity { password: "not the password".to_owned(), ..who.clone() };
            makings.push(Making { number: STRANGERS + number, profile: Arc::clone(profile), who });
        }
        let mut phones = Vec::new();
        let mut starts = BTreeSet::new();
        for (index, making) in makings.iter().enumerate() {
            phones.push(made(making, dice)?);
            starts.insert((Time::ZERO + Duration::from_micros(dice.below(spread + 1)), index));
        }
        let by_address = phones.iter().enumerate().map(|(i, p)| (p.local(), i)).collect();
        let armed = vec![None; phones.len()];
        Ok(Self {
            phones,
            makings,
            devices,
            dice: dice.fork(),
            by_address,
            timers: BTreeSet::new(),
            armed,
            starts,
            off: BTreeSet::new(),
            again: BTreeSet::new(),
        })
    }

    /// Those of devices, by number.
    pub fn all(&self) -> &[Phone] {
        self.phones.get(..self.devices).unwrap_or_default()
    }
    /// Any of them, strangers too.
    pub fn get(&self, phone: usize) -> Option<&Phone> {
        self.phones.get(phone)
    }
    /// Whether it has no device of its own.
    pub fn is_stranger(&self, phone: usize) -> bool {
        phone >= self.devices
    }
    /// Whose address this is.
    pub fn at(&self, address: SocketAddr) -> Option<usize> {
        self.by_address.get(&address).copied()
    }
    /// Switches one phone in `of` off.
    pub fn switch_off(&mut self, now: Time, of: u8, wanted: &mut Vec<Wanted>) {
        for phone in self.one_in(of) {
            self.off.insert(phone);
            self.feed(now, phone, PhoneInput::Stop, wanted);
        }
    }
    /// One device in `of`.
    pub fn one_in(&self, of: u8) -> impl Iterator<Item = usize> + use<> {
        (usize::from(of).saturating_sub(1)..self.devices).step_by(usize::from(of.max(1)))
    }
    /// One phone in `of` loses power: nobody is told, and what it knew is gone.
    ///
    /// # Errors
    /// As [`Phones::new`].
    pub fn lose_power(&mut self, of: u8) -> Result<(), String> {
        for number in self.one_in(of) {
            let Some(making) = self.makings.get(number) else { continue };
            let new = made(making, &mut self.dice)?;
            self.off.insert(number);
            self.again.remove(&number);
            self.starts.retain(|(_, phone)| *phone != number);
            self.walk(number, &mut Vec::new(), |phone| *phone = new);
        }
        Ok(())
    }
    /// Switches those on again that were switched off.
    pub fn switch_on(&mut self, now: Time, wanted: &mut Vec<Wanted>) {
        for phone in std::mem::take(&mut self.off) {
            // One that is still taking its registration back is switched on when it has done so.
            self.again.insert(phone);
            self.walk(phone, wanted, |p| p.tick(now));
        }
    }
    /// Whether a phone is meant to be on.
    pub fn is_on(&self, phone: usize) -> bool {
        !self.off.contains(&phone)
    }
    /// When one of them is due.
    pub fn next_deadline(&self) -> Option<Time> {
        let first = |set: &BTreeSet<(Time, usize)>| set.first().map(|(at, _)| *at);
        first(&self.timers).into_iter().chain(first(&self.starts)).min()
    }
    /// One input to one phone; what it wants is added to `wanted`.
    pub fn feed(&mut self, now: Time, phone: usize, input: PhoneInput<'_>, wanted: &mut Vec<Wanted>) {
        self.walk(phone, wanted, |p| p.handle(now, input));
    }
    /// Switches on and wakes whoever is due.
    pub fn tick(&mut self, now: Time, wanted: &mut Vec<Wanted>) {
        while let Some((_, phone)) = take_due(&mut self.starts, now) {
            self.feed(now, phone, PhoneInput::Start, wanted);
        }
        // Each is woken once per moment, whatever it asks for next.
        let due: Vec<_> = std::iter::from_fn(|| take_due(&mut self.timers, now)).collect();
        for (_, phone) in due {
            if let Some(armed) = self.armed.get_mut(phone) {
                *armed = None;
            }
            self.walk(phone, wanted, |p| p.tick(now));
        }
    }

    fn walk(&mut self, number: usize, wanted: &mut Vec<Wanted>, step: impl FnOnce(&mut Phone)) {
        let (Some(phone), Some(armed)) = (self.phones.get_mut(number), self.armed.get_mut(number)) else { return };
        step(phone);
        wanted.extend(std::iter::from_fn(|| phone.poll()).map(|output| Wanted { phone: number, output }));
        if phone.status() == Status::Off && self.again.remove(&number) {
            self.starts.insert((Time::ZERO, number));
        }
        let deadline = phone.deadline();
        if *armed != deadline {
            if let Some(old) = armed.take() {
                self.timers.remove(&(old, number));
            }
            if let Some(at) = deadline {
                self.timers.insert((at, number));
            }
            *armed = deadline;
        }
    }
}

fn made(making: &Making, dice: &mut Random) -> Result<Phone, String> {
    let local = address(making.number);
    Phone::new(making.number, Arc::clone(&making.profile), &making.who, local, dice.next_u64())
        .map_err(|e| e.to_string())
}

/// One phone in ten each is rude, slow, deaf, or comes home only when it is called; all others are polite.
fn manners(number: u32, polite: &PhoneSettings) -> PhoneSettings {
    let polite = polite.clone();
    match number % 10 {
        3 => PhoneSettings { ignores_retry_after: Some(Duration::from_millis(200)), asks_token: false, ..polite },
        5 => PhoneSettings { reaction: Duration::from_millis(u64::from(50 + number % 7 * 50)), ..polite },
        7 => PhoneSettings { deaf: true, ..polite },
        9 => PhoneSettings { standby_heartbeat: None, ..polite },
        _ => polite,
    }
}

fn take_due(set: &mut BTreeSet<(Time, usize)>, now: Time) -> Option<(Time, usize)> {
    let first = set.first().copied().filter(|(at, _)| *at <= now)?;
    set.remove(&first);
    Some(first)
}

/// 127.1.0.1 and on: one address per phone, all of them on loopback.
fn address(number: u32) -> SocketAddr {
    let [_, a, b, c] = (number + 1).to_be_bytes();
    SocketAddr::from(([127, a.wrapping_add(1), b, c], PORT))
}
