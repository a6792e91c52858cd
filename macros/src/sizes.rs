//! Amounts that are limited, judged by the macro and the runtime alike (the runtime's file of this name is a link to this one).

use crate::rules::Problem;

const UNITS: [(&str, u32, u64); 9] = [
    ("B", 0, 1000),
    ("KB", 1, 1000),
    ("MB", 2, 1000),
    ("GB", 3, 1000),
    ("TB", 4, 1000),
    ("KIB", 1, 1024),
    ("MIB", 2, 1024),
    ("GIB", 3, 1024),
    ("TIB", 4, 1024),
];

/// A number of bytes from text such as `"512MiB"`, `"1.5 GB"` or `"4096B"`. Nothing is `"0"`, of whatever unit.
pub(crate) fn size(text: &str) -> Result<u64, Problem> {
    if text == "0" {
        return Ok(0);
    }
    let invalid = || {
        Problem::new(format!("invalid size `{text}`"))
            .help("a number and a unit (`KiB`, `MiB`, `GiB`; `kB`, `MB`, `GB`), for example `512MiB`")
    };
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_uppercase();
    let (_, power, base) = UNITS.iter().find(|(name, ..)| *name == unit).ok_or_else(invalid)?;
    let factor = base.pow(*power);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let bytes = whole.parse::<u64>().ok().and_then(|whole| whole.checked_mul(factor)).ok_or_else(invalid)?;
    if fraction.is_empty() {
        return if number.contains('.') { Err(invalid()) } else { Ok(bytes) };
    }
    let scale = u32::try_from(fraction.len()).ok().filter(|digits| *digits <= 6).ok_or_else(invalid)?;
    let part = fraction.parse::<u64>().ok().and_then(|part| part.checked_mul(factor)).ok_or_else(invalid)?;
    bytes.checked_add(part / 10u64.pow(scale)).ok_or_else(invalid)
}

/// Bytes of memory. Docker's engine takes 0 for no limit.
pub(crate) fn memory(bytes: u64) -> Result<(), Problem> {
    within("limit memory", bytes.into(), 1, MOST_BYTES)
}

/// Bytes of a core file (core(5)); none is made for 0.
pub(crate) fn core(bytes: u64) -> Result<(), Problem> {
    within("limit core", bytes.into(), 0, MOST_BYTES)
}

/// Bytes at `/dev/shm`: what a page of memory has at least. A file system in memory takes 0 for no limit.
pub(crate) fn shm(bytes: u64) -> Result<(), Problem> {
    if bytes < 4096 {
        return Err(Problem::new(format!("`shm` of {bytes} bytes is less than a page of memory"))
            .help("at least `4KiB`; by default it is `64MiB`"));
    }
    within("shm", bytes.into(), 4096, MOST_BYTES)
}

/// As many bytes as a file can have.
const MOST_BYTES: i128 = i64::MAX as i128;

/// How many processes a kernel can be told to allow: `PID_MAX_LIMIT`. The first is the engine's, the second the program.
pub(crate) fn pids(number: i128) -> Result<(), Problem> {
    within("limit pids", number, 2, 4_194_304)
}

/// How many files a kernel can be told to allow: the largest `fs.nr_open`.
pub(crate) fn nofile(number: i128) -> Result<(), Problem> {
    within("limit nofile", number, 1, 2_147_483_584)
}

fn within(what: &str, number: i128, least: i128, most: i128) -> Result<(), Problem> {
    if (least..=most).contains(&number) {
        return Ok(());
    }
    Err(Problem::new(format!("`{what}` of {number} is out of range"))
        .help(format!("`{what}` takes {least} to {most}")))
}

#[cfg(test)]
mod tests {
    use super::{core, memory, nofile, pids, shm, size};

    #[test]
    fn sizes() {
        let good = [
            ("0", 0),
            ("512MiB", 512 << 20),
            ("1.5GiB", 3 << 29),
            ("10 kB", 10_000),
            ("7B", 7),
            ("0.25KB", 250),
        ];
        for (text, bytes) in good {
            assert_eq!(size(text).ok(), Some(bytes), "{text}");
        }
        for text in ["", "512", "MiB", "1.MiB", "-1MiB", "1,5GB", "1.2.3GB", "99999999TiB", "5 parsecs"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers() {
        for good in [2, 256, 4_194_304] {
            assert!(pids(good).is_ok() && nofile(good).is_ok(), "{good}");
        }
        for bad in [-1, 0, 1 << 40, i128::MAX] {
            assert!(pids(bad).is_err() && nofile(bad).is_err(), "{bad}");
        }
        assert!(pids(1).is_err() && nofile(1).is_ok());
        assert!(core(0).is_ok() && memory(0).is_err());
        assert!(shm(4095).is_err() && shm(4096).is_ok() && shm(1 << 63).is_err());
        assert!(core(1 << 63).is_err() && memory(1 << 63).is_err());
    }
}
