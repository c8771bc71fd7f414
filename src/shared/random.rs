//! Random bytes from the system's generator, for keys and passwords, and a cheap fraction for jitter. Pure steps get random values as
//! arguments and never call this module.

/// `N` random bytes.
///
/// # Errors
/// When the system's generator fails; nothing may be generated then.
pub fn bytes<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut out = [0u8; N];
    getrandom::fill(&mut out)?;
    Ok(out)
}

/// 32 random bytes as 64 hexadecimal digits.
///
/// # Errors
/// When the system's generator fails.
pub fn hex64() -> Result<String, getrandom::Error> {
    Ok(hex(&bytes::<32>()?))
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
            let _ = write!(out, "{b:02x}");
            out
        })
}

/// A number from 0 to 1 for jitter; 0.5 if the generator fails, which harms nobody.
pub fn fraction() -> f64 {
    bytes::<4>().map_or(0.5, |b| {
        f64::from(u32::from_le_bytes(b)) / f64::from(u32::MAX)
    })
}

/// `N` letters and digits, each as likely as the others.
///
/// # Errors
/// When the system's generator fails.
pub fn letters_and_digits<const N: usize>() -> Result<String, getrandom::Error> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut out = String::with_capacity(N);
    while out.len() < N {
        // Bytes above the last multiple of 62 would make some letters likelier.
        let usable = bytes::<64>()?.into_iter().filter(|b| *b < 248);
        for byte in usable.take(N - out.len()) {
            out.push(char::from(ALPHABET[usize::from(byte % 62)]));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_enough_and_differ() {
        let (a, b) = (
            letters_and_digits::<32>().unwrap(),
            letters_and_digits::<32>().unwrap(),
        );
        assert_eq!(a.len(), 32);
        assert!(a.chars().all(|c| c.is_ascii_alphanumeric()));
        assert_ne!(a, b);
    }
}
