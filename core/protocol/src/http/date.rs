//! The time as HTTP writes it (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.

const DAYS: &[u8; 21] = b"SunMonTueWedThuFriSat";
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
const SECONDS_PER_DAY: u64 = 86_400;
/// The last second of the year 9999: the form has four digits for it.
const LAST_S: u64 = 253_402_300_799;

/// A time of the wall clock, in seconds since 1970, as the value of a `Date` header.
pub fn imf_fixdate(unix_s: u64) -> [u8; 29] {
    let unix_s = unix_s.min(LAST_S);
    let (days, second) = (unix_s / SECONDS_PER_DAY, unix_s % SECONDS_PER_DAY);
    let (year, month, day) = civil(days);
    // 1 January 1970 was a Thursday.
    let weekday = (days as usize + 4) % 7;
    let mut text = *b"Sun, 00 Jan 0000 00:00:00 GMT";
    text[..3].copy_from_slice(&DAYS[weekday * 3..][..3]);
    put(&mut text, 5, day);
    text[8..11].copy_from_slice(&MONTHS[(month as usize - 1) * 3..][..3]);
    put(&mut text, 12, year / 100);
    put(&mut text, 14, year % 100);
    put(&mut text, 17, second / 3600);
    put(&mut text, 20, second / 60 % 60);
    put(&mut text, 23, second % 60);
    text
}

/// Two digits.
fn put(text: &mut [u8; 29], at: usize, number: u64) {
    text[at] = b'0' + (number / 10) as u8;
    text[at + 1] = b'0' + (number % 10) as u8;
}

/// Year, month and day of a day since 1970, by years that begin in March, so that the leap day is
/// the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    // Days from 1 March of the year 0 to 1 January 1970; an era is 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unix_s: u64, expect: &str) {
        assert_eq!(core::str::from_utf8(&imf_fixdate(unix_s)).unwrap(), expect);
    }

    #[test]
    fn known_times_are_written_as_http_does() {
        check(0, "Thu, 01 Jan 1970 00:00:00 GMT");
        check(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT");
        check(951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT");
        check(951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT");
        check(4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT");
        check(u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
