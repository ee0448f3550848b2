//! A point in time as text, in UTC: RFC 3339 with milliseconds.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

/// Shows a point in time as `2026-02-03T04:05:06.789Z`; with `{:#}`, only the time of day: `04:05:06.789`.
#[derive(Clone, Copy, Debug)]
pub struct Timestamp(pub SystemTime);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A clock before 1970 is not set; there is nothing better to show.
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let milli = since.subsec_millis();
        if f.alternate() {
            return write!(f, "{hour:02}:{minute:02}:{second:02}.{milli:03}");
        }
        let (year, month, day) = civil(days);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// The date of a day since 1970, in the Gregorian calendar: years are counted from 1 March, so that leap days come last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_what_date_says() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_200, "2024-03-01T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            let at = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(Timestamp(at).to_string(), expected);
        }
        let at = UNIX_EPOCH + Duration::from_millis(3_723_004);
        assert_eq!(format!("{:#}", Timestamp(at)), "01:02:03.004");
        assert_eq!(Timestamp(UNIX_EPOCH - Duration::from_secs(1)).to_string(), "1970-01-01T00:00:00.000Z");
    }
}
