//! Directory numbers of a series: the next one of `1001` is `1002`, of `+4930100` is `+4930101`.

use tandem_base::DirectoryNumber;

/// Most digits at a number's end that are counted up.
const COUNTED_MAX: usize = 18;

/// What stands before the digits that are counted up, the number they are, and how many they are. `None`: it ends in none.
pub(super) fn counted(first: &DirectoryNumber) -> Option<(&str, u64, usize)> {
    let text = first.as_str();
    let digits = text.bytes().rev().take(COUNTED_MAX).take_while(u8::is_ascii_digit).count();
    let (head, tail) = text.split_at_checked(text.len().checked_sub(digits)?)?;
    Some((head, tail.parse().ok()?, digits))
}

/// The number `offset` after `first`: its last digits are counted up, what stands before them stays. It may grow by a digit (9999, 10000)
/// only when it has nothing but digits. `None` when it has no digit at its end, or would not stay a number.
pub fn plus(first: &DirectoryNumber, offset: u64) -> Option<DirectoryNumber> {
    let (head, number, digits) = counted(first)?;
    let grown = format!("{:0digits$}", number.checked_add(offset)?);
    if grown.len() > digits && !head.is_empty() {
        return None;
    }
    DirectoryNumber::new(&format!("{head}{grown}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(first: &str, offset: u64) -> Option<String> {
        plus(&DirectoryNumber::new(first).unwrap(), offset).map(|n| n.to_string())
    }

    #[test]
    fn numbers_are_counted_up_and_keep_what_stands_before() {
        assert_eq!(after("1001", 0).as_deref(), Some("1001"));
        assert_eq!(after("1001", 99).as_deref(), Some("1100"));
        assert_eq!(after("0099", 1).as_deref(), Some("0100"));
        assert_eq!(after("9999", 1).as_deref(), Some("10000"));
        assert_eq!(after("+4930100", 5).as_deref(), Some("+4930105"));
        assert_eq!(after("*71", 2).as_deref(), Some("*73"));
    }

    #[test]
    fn a_number_that_cannot_be_counted_up_has_no_next() {
        assert_eq!(after("12#", 1), None);
        assert_eq!(after("*99", 1), None, "*100 would be another prefix");
    }
}
