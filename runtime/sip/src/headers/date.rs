//! Date (RFC 3261 section 20.17): the RFC 1123 form only, always GMT. Phones set their clock from it.

use crate::text::trim;
use tandem_base::UnixMillis;

pub(crate) const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
pub(crate) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads `Sat, 13 Nov 2010 23:29:00 GMT`. `None` for other zones, other forms, years before 1970 and days that no month
/// has; the weekday's name must be one, but is not checked against the date.
pub fn date(value: &[u8]) -> Option<UnixMillis> {
    let (weekday, rest) = trim(value).split_at_checked(5)?;
    DAYS.iter().find(|d| weekday.get(..3) == Some(d.as_bytes()))?;
    if weekday.get(3..) != Some(b", ") {
        return None;
    }
    let &[d1, d2, b' ', m1, m2, m3, b' ', y1, y2, y3, y4, b' ', ref time @ ..] = rest else { return None };
    let &[h1, h2, b':', n1, n2, b':', s1, s2, b' ', b'G', b'M', b'T'] = time else { return None };
    let month = 1 + MONTHS.iter().position(|m| m.as_bytes() == [m1, m2, m3])? as u64;
    let year = number(&[y1, y2, y3, y4]).filter(|y| *y >= 1970)?;
    let day = number(&[d1, d2])?;
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[n1, n2])?, number(&[s1, s2])?);
    // A leap second is 60.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    let back = UnixMillis((seconds - second) * 1_000).civil();
    let real = (u64::from(back.month), u64::from(back.day)) == (month, day);
    real.then_some(UnixMillis(seconds * 1_000))
}

fn number(digits: &[u8]) -> Option<u64> {
    crate::text::decimal(digits)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar, counted in years that begin in March.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let y = if month <= 2 { year - 1 } else { year };
    let m = (month + 9) % 12;
    (365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day).saturating_sub(1 + 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_the_rfc_is_read() {
        assert_eq!(date(b"Thu, 01 Jan 1970 00:00:00 GMT"), Some(UnixMillis(0)));
        assert_eq!(date(b" Sat, 13 Nov 2010 23:29:00 GMT"), Some(UnixMillis(1_289_690_940_000)));
        assert_eq!(date(b"Tue, 29 Feb 2000 00:00:00 GMT"), Some(UnixMillis(951_782_400_000)));
    }

    #[test]
    fn other_zones_forms_and_impossible_days_are_refused() {
        for bad in [
            "",
            "Fri, 01 Jan 2010 16:00:00 EST",
            "Friday, 01-Jan-10 16:00:00 GMT",
            "Mon, 29 Feb 2001 00:00:00 GMT",
            "Mon, 00 Jan 2001 00:00:00 GMT",
            "Mon, 01 Jan 1969 00:00:00 GMT",
            "Mon, 01 Jan 2001 24:00:00 GMT",
            "Xxx, 01 Jan 2001 00:00:00 GMT",
        ] {
            assert_eq!(date(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_is_read_back() {
        for day in 0..146_097u64 {
            let c = UnixMillis(day * 86_400_000).civil();
            let (weekday, month) = (DAYS[usize::from(c.weekday)], MONTHS[usize::from(c.month) - 1]);
            let text = format!("{weekday}, {:02} {month} {} 00:00:00 GMT", c.day, c.year);
            assert_eq!(date(text.as_bytes()), Some(UnixMillis(day * 86_400_000)), "{text}");
        }
    }
}
