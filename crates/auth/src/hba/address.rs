//! The addresses that a line is about.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::mistake::shown;
use crate::words::{Line, Unreadable};

/// All addresses, or those that agree with one where a mask has ones.
///
/// Invariant: `address` has no ones where `mask` has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Addresses {
    All,
    V4 { address: u32, mask: u32 },
    V6 { address: u128, mask: u128 },
}

impl Addresses {
    /// Whether an address is one of them. IPv4 inside of IPv6, which a socket for both shows, is IPv4.
    pub(super) fn contain(self, client: IpAddr) -> bool {
        match (self, client.to_canonical()) {
            (Self::All, _) => true,
            (Self::V4 { address, mask }, IpAddr::V4(client)) => client.to_bits() & mask == address,
            (Self::V6 { address, mask }, IpAddr::V6(client)) => client.to_bits() & mask == address,
            _ => false,
        }
    }

    /// `None` where the mask is not of the address's kind.
    fn of(address: IpAddr, mask: IpAddr) -> Option<Self> {
        match (address, mask) {
            (IpAddr::V4(address), IpAddr::V4(mask)) => Some(Self::V4 {
                address: address.to_bits(),
                mask: mask.to_bits(),
            }),
            (IpAddr::V6(address), IpAddr::V6(mask)) => Some(Self::v6(address, mask)),
            _ => None,
        }
    }

    /// What lies within IPv4 inside of IPv6 is meant for those who are taken for IPv4.
    fn v6(address: Ipv6Addr, mask: Ipv6Addr) -> Self {
        let (mask, ones) = (mask.to_bits(), u128::MAX << 32);
        match address.to_ipv4_mapped() {
            Some(address) if mask & ones == ones => Self::V4 {
                address: address.to_bits(),
                mask: mask as u32,
            },
            _ => Self::V6 {
                address: address.to_bits(),
                mask,
            },
        }
    }

    /// What the address should have been, if it has ones outside of its mask.
    fn corrected(self) -> Option<IpAddr> {
        match self {
            Self::V4 { address, mask } if address & mask != address => {
                Some(Ipv4Addr::from_bits(address & mask).into())
            }
            Self::V6 { address, mask } if address & mask != address => {
                Some(Ipv6Addr::from_bits(address & mask).into())
            }
            _ => None,
        }
    }
}

/// Reads an address with its mask. What is wrong goes to `mistakes`.
pub(super) fn read(
    line: &mut Line<'_>,
    mistakes: &mut Vec<String>,
) -> Result<Option<Addresses>, Unreadable> {
    let Some(word) = line.word()? else {
        mistakes.push("expected an address".to_owned());
        return Ok(None);
    };
    if word.is("all") {
        return Ok(Some(Addresses::All));
    }
    let (text, bits) = match word.text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (word.text.as_str(), None),
    };
    let Ok(address) = text.parse::<IpAddr>() else {
        mistakes.push(no_address(text));
        return Ok(None);
    };
    let mask = match bits {
        Some(bits) => prefix(address, bits),
        None => mask(line)?,
    };
    let Some(mask) = mask else {
        match bits {
            Some(bits) => mistakes.push(format!("{} is no number of bits", shown(bits))),
            None => mistakes.push(format!(
                "expected a mask: {address}/bits, or a mask behind it"
            )),
        }
        return Ok(None);
    };
    let Some(addresses) = Addresses::of(address, mask) else {
        mistakes.push(format!("{address} and mask {mask} are of different kinds"));
        return Ok(None);
    };
    if let Some(corrected) = addresses.corrected() {
        mistakes.push(format!(
            "{address} has bits outside of its mask: it would be {corrected}"
        ));
        return Ok(None);
    }
    Ok(Some(addresses))
}

/// A mask that stands behind its address.
fn mask(line: &mut Line<'_>) -> Result<Option<IpAddr>, Unreadable> {
    Ok(line.word()?.and_then(|word| word.text.parse().ok()))
}

/// A mask of so many ones.
fn prefix(address: IpAddr, bits: &str) -> Option<IpAddr> {
    let digits = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
    let bits: u32 = bits.parse().ok().filter(|_| digits)?;
    match address {
        IpAddr::V4(_) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            Some(Ipv4Addr::from_bits(mask).into())
        }
        IpAddr::V6(_) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            Some(Ipv6Addr::from_bits(mask).into())
        }
        _ => None,
    }
}

fn no_address(text: &str) -> String {
    let found = shown(text);
    let numeric = |char: char| char.is_ascii_digit() || char == '.';
    match text {
        "samehost" | "samenet" => format!("{text} is not supported"),
        _ if text.contains(':') || text.chars().all(numeric) => {
            format!("{found} is no IPv4 or IPv6 address")
        }
        _ => format!("{found} is no address: host names are not supported"),
    }
}
