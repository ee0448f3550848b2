//! Sizes and durations as people write them. Pure text in, value or a sentence out; no overflow can wrap.

use std::time::Duration;

use super::keys::{DURATION_BOUNDS, SIZE_MAX};
use crate::budget::ByteSize;

/// Reads `64MiB`, `10MB`, `4096B`.
///
/// # Errors
/// What is wrong with the text, as a fragment.
pub fn size(text: &str) -> Result<ByteSize, String> {
    let (number, unit) = split(text);
    if number.starts_with('-') {
        return Err("a size cannot be negative".to_owned());
    }
    let factor: u64 = match unit {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "" => return Err("a size needs its unit".to_owned()),
        other => return Err(format!("`{other}` is not a unit of size")),
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{number}` is not a whole number"));
    }
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    match bytes {
        Some(0) => Err("a size of zero leaves nothing to run with".to_owned()),
        Some(bytes) if bytes <= SIZE_MAX => Ok(ByteSize(bytes)),
        _ => Err(format!("a size is at most {}", ByteSize(SIZE_MAX))),
    }
}

/// Reads `200ms`, `2s`, `1.5m`.
///
/// # Errors
/// What is wrong with the text, as a fragment.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    if number.starts_with('-') {
        return Err("a duration cannot be negative".to_owned());
    }
    let unit_nanos: u128 = match unit {
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "" => return Err("a duration needs its unit".to_owned()),
        other => return Err(format!("`{other}` is not a unit of time")),
    };
    let nanos = nanos(number, unit_nanos).ok_or_else(|| format!("`{number}` is not a number"))?;
    let (least, most) = DURATION_BOUNDS;
    match nanos {
        0 => Err("a duration of zero leaves no time to run in".to_owned()),
        nanos if nanos < least.as_nanos() => Err("a duration is at least 1ms".to_owned()),
        nanos if nanos > most.as_nanos() => Err("a duration is at most 24h".to_owned()),
        nanos => Ok(Duration::from_nanos(u64::try_from(nanos).expect("24 hours of nanoseconds fit in 64 bits"))),
    }
}

/// The number before the unit, and the unit.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let border = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '+' | '_')).unwrap_or(text.len());
    (text[..border].trim_end(), text[border..].trim())
}

/// A decimal number of units, in nanoseconds; saturating, and exact as far as nanoseconds go.
fn nanos(number: &str, unit_nanos: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = whole.parse::<u128>().unwrap_or(u128::MAX).saturating_mul(unit_nanos);
    let mut place = unit_nanos;
    let mut rest = 0;
    for digit in fraction.bytes() {
        place /= 10;
        rest += place * u128::from(digit - b'0');
    }
    Some(whole.saturating_add(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_binary_and_decimal_units() {
        for (text, bytes) in [
            ("4096B", 4096),
            ("64KiB", 65_536),
            ("64MiB", 67_108_864),
            ("10MB", 10_000_000),
            ("3 GiB", 3_221_225_472),
            ("1kB", 1000),
            ("16TiB", 1 << 44),
        ] {
            assert_eq!(size(text), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn sizes_that_cannot_be_are_refused_with_a_reason() {
        for (text, reason) in [
            ("", "a size needs its unit"),
            ("64", "a size needs its unit"),
            ("64mb", "`mb` is not a unit of size"),
            ("MiB", "`` is not a whole number"),
            ("1.5MiB", "`1.5` is not a whole number"),
            ("-1MiB", "a size cannot be negative"),
            ("0MiB", "a size of zero leaves nothing to run with"),
            ("17TiB", "a size is at most 16TiB"),
            ("99999999999999999999B", "a size is at most 16TiB"),
            ("18446744073709551615KiB", "a size is at most 16TiB"),
            ("64 MiB MiB", "`MiB MiB` is not a unit of size"),
        ] {
            assert_eq!(size(text), Err(reason.to_owned()), "{text}");
        }
    }

    #[test]
    fn durations_are_read_exactly() {
        for (text, nanos) in [
            ("1ms", 1_000_000),
            ("200ms", 200_000_000),
            ("1500us", 1_500_000),
            ("2s", 2_000_000_000),
            ("0.25s", 250_000_000),
            ("1.5m", 90_000_000_000),
            ("24h", 86_400_000_000_000),
            ("1.0000000000000000000001s", 1_000_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn durations_that_cannot_be_are_refused_with_a_reason() {
        for (text, reason) in [
            ("2", "a duration needs its unit"),
            ("2 minutes", "`minutes` is not a unit of time"),
            ("s", "`` is not a number"),
            ("1.s", "`1.` is not a number"),
            ("1.2.3s", "`1.2.3` is not a number"),
            ("1_000ms", "`1_000` is not a number"),
            ("-2s", "a duration cannot be negative"),
            ("0s", "a duration of zero leaves no time to run in"),
            ("0.5ms", "a duration is at least 1ms"),
            ("25h", "a duration is at most 24h"),
            ("999999999999999999999999999999999999999999s", "a duration is at most 24h"),
        ] {
            assert_eq!(duration(text), Err(reason.to_owned()), "{text}");
        }
    }
}
