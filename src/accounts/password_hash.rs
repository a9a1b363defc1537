//! Hashes of passwords (no I/O): argon2id for new ones, bcrypt and other argon2 hashes as they were imported.

use std::borrow::Cow;

use argon2::password_hash::phc::{Output, Salt};
use argon2::password_hash::{Error, generate_salt};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, Version};
use unicode_normalization::{UnicodeNormalization, is_nfkc};
use zeroize::Zeroizing;

/// The outcome of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordCheck {
    /// The password is wrong.
    Wrong,
    /// The password is right.
    Right,
    /// The password is right, and its outdated hash should be replaced.
    RightButOld,
}

/// The cost of bcrypt doubles with each step; above this one, an imported hash would block a thread for seconds.
const MOST_BCRYPT_COST: u32 = 14;
/// What bcrypt reads of a password: beyond it any text would do.
const MOST_BCRYPT_BYTES: usize = 72;
/// The most memory in KiB, passes and lanes of a stored argon2 hash; one beyond them matches nothing.
const MOST_ARGON2: (u32, u32, u32) = (128 * 1024, 16, 8);

/// Room for so many blocks is more than glibc ever takes from its heap (32 MiB): it maps them, and unmaps them when they are
/// freed. What is not used of it costs nothing.
const MAPPED_BLOCKS: usize = 33 * 1024;

/// The memory that argon2 works in, used again for each hash.
#[derive(Default)]
pub struct Memory(Vec<Block>);

impl Memory {
    /// Gives it back to the system.
    pub fn release(&mut self) {
        self.0 = Vec::new();
    }

    /// The hash of `password`, of the length of `output`.
    fn hash_into(
        &mut self,
        argon2: &Argon2<'_>,
        password: &str,
        salt: &[u8],
        output: &mut [u8],
    ) -> Result<(), argon2::Error> {
        let count = argon2.params().block_count();
        if count > Params::default().block_count() {
            // A stored hash that costs more than ours: rare, and replaced when it matches.
            return argon2.hash_password_into(password.as_bytes(), salt, output);
        }
        if self.0.is_empty() {
            let mut blocks = Vec::with_capacity(MAPPED_BLOCKS);
            blocks.resize(Params::default().block_count(), Block::new());
            self.0 = blocks;
        }
        let blocks = self.0.get_mut(..count).ok_or(argon2::Error::OutOfMemory)?;
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, blocks)
    }
}

/// `password` as it is hashed: however a keyboard composes its characters, they are the same password.
pub(super) fn normalized(password: &str) -> Cow<'_, str> {
    if is_nfkc(password) { Cow::Borrowed(password) } else { Cow::Owned(password.nfkc().collect()) }
}

/// The argon2id hash of `password`, as a PHC string.
pub fn hash(password: &str, memory: &mut Memory) -> Result<String, Error> {
    let password = Zeroizing::new(normalized(password).into_owned());
    let argon2 = Argon2::default();
    let salt = Salt::new(&generate_salt())?;
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    memory.hash_into(&argon2, &password, &salt, &mut output)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::default().into()),
        params: argon2.params().try_into()?,
        salt: Some(salt),
        hash: Some(Output::new(&output)?),
    };
    Ok(hash.to_string())
}

/// Checks `password` against `hash`. A hash of before passwords were normalized is of the text as it was typed.
pub fn verify(password: &str, hash: &str, memory: &mut Memory) -> PasswordCheck {
    match normalized(password) {
        Cow::Borrowed(password) => verify_exact(password, hash, memory),
        Cow::Owned(form) => {
            let form = Zeroizing::new(form);
            match verify_exact(&form, hash, memory) {
                PasswordCheck::Wrong => match verify_exact(password, hash, memory) {
                    PasswordCheck::Wrong => PasswordCheck::Wrong,
                    PasswordCheck::Right | PasswordCheck::RightButOld => PasswordCheck::RightButOld,
                },
                right => right,
            }
        }
    }
}

fn verify_exact(password: &str, hash: &str, memory: &mut Memory) -> PasswordCheck {
    if let Ok(parts) = hash.parse::<bcrypt::HashParts>() {
        let cheap = parts.get_cost() <= MOST_BCRYPT_COST;
        let right = cheap && bcrypt::verify(password, hash).unwrap_or(false) && password.len() <= MOST_BCRYPT_BYTES;
        return if right { PasswordCheck::RightButOld } else { PasswordCheck::Wrong };
    }
    let Ok(hash) = PasswordHash::new(hash) else { return PasswordCheck::Wrong };
    let Some(params) = matching_params(password, &hash, memory) else { return PasswordCheck::Wrong };
    let ours = Params::default();
    let is_current = hash.algorithm == Algorithm::Argon2id.ident()
        && params.m_cost() >= ours.m_cost()
        && params.t_cost() >= ours.t_cost();
    if is_current { PasswordCheck::Right } else { PasswordCheck::RightButOld }
}

/// The parameters of `hash`, when it is one of `password` and costs no more than [`MOST_ARGON2`].
fn matching_params(password: &str, hash: &PasswordHash, memory: &mut Memory) -> Option<Params> {
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let version = hash.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
    let params = Params::try_from(hash).ok()?;
    let (most_memory, most_passes, most_lanes) = MOST_ARGON2;
    if params.m_cost() > most_memory || params.t_cost() > most_passes || params.p_cost() > most_lanes {
        return None;
    }
    let (salt, expected) = (hash.salt.as_ref()?, hash.hash.as_ref()?);
    let mut space = [0; Output::MAX_LENGTH];
    let output = space.get_mut(..expected.len())?;
    memory.hash_into(&Argon2::new(algorithm, version, params.clone()), password, salt, output).ok()?;
    // Outputs are compared in constant time.
    (Output::new(output).ok()? == *expected).then_some(params)
}

#[cfg(test)]
mod tests {
    use PasswordCheck::{Right, RightButOld, Wrong};

    use argon2::{PasswordHasher, PasswordVerifier};

    use super::*;

    fn check(password: &str, hash: &str) -> PasswordCheck {
        verify(password, hash, &mut Memory::default())
    }

    fn argon2_hash(algorithm: Algorithm, (memory, passes, lanes): (u32, u32, u32), password: &str) -> String {
        let params = Params::new(memory, passes, lanes, None).unwrap();
        Argon2::new(algorithm, Version::V0x13, params).hash_password(password.as_bytes()).unwrap().to_string()
    }

    #[test]
    fn hashes_are_those_of_the_library() {
        let mut memory = Memory::default();
        for password in ["correct horse", "battery staple"] {
            let hash = hash(password, &mut memory).unwrap();
            let theirs = PasswordHash::new(&hash).unwrap();
            assert!(Argon2::default().verify_password(password.as_bytes(), &theirs).is_ok(), "{hash}");
            assert_eq!(verify(password, &hash, &mut memory), Right);
            assert_eq!(verify("wrong", &hash, &mut memory), Wrong);
        }
    }

    #[test]
    fn outdated_hashes_are_accepted_and_reported() {
        let old = bcrypt::hash("correct horse", 4).unwrap().replacen("$2b$", "$2a$", 1);
        assert_eq!(check("correct horse", &old), RightButOld);
        assert_eq!(check("wrong", &old), Wrong);
        let costly = old.replacen("$04$", "$31$", 1);
        assert_eq!(check("correct horse", &costly), Wrong);
    }

    #[test]
    fn what_bcrypt_does_not_read_is_not_ignored() {
        let longest = "a1".repeat(36);
        let old = bcrypt::hash(&longest, 4).unwrap();
        assert_eq!(check(&longest, &old), RightButOld);
        assert_eq!(check(&format!("{longest} and garbage"), &old), Wrong);
    }

    #[test]
    fn a_stored_hash_has_a_bounded_cost() {
        use Algorithm::{Argon2d, Argon2id};
        for (algorithm, cost, expected) in [
            (Argon2id, (19_456, 2, 1), Right),
            (Argon2id, (32 * 1024, 3, 2), Right),
            (Argon2id, (64, 2, 1), RightButOld),
            (Argon2d, (19_456, 2, 1), RightButOld),
            (Argon2id, (64, 17, 1), Wrong),
            (Argon2id, (72, 1, 9), Wrong),
            (Argon2id, (128 * 1024 + 8, 1, 1), Wrong),
        ] {
            let hash = argon2_hash(algorithm, cost, "correct horse");
            assert_eq!(check("correct horse", &hash), expected, "{hash}");
            assert_eq!(check("correct house", &hash), Wrong, "{hash}");
        }
    }

    #[test]
    fn a_password_is_the_same_however_its_characters_are_composed() {
        let (composed, decomposed, wide) = ("caf\u{e9} noir", "cafe\u{301} noir", "caf\u{e9} \u{ff4e}oir");
        for typed in [composed, decomposed, wide] {
            let hash = hash(typed, &mut Memory::default()).unwrap();
            for again in [composed, decomposed, wide] {
                assert_eq!(check(again, &hash), Right, "{typed} {again}");
            }
            assert_eq!(check("cafe noir", &hash), Wrong);
        }
        // Before, a password was hashed as it was typed.
        for old in [argon2_hash(Algorithm::Argon2id, (19_456, 2, 1), decomposed), bcrypt::hash(decomposed, 4).unwrap()]
        {
            assert_eq!(check(decomposed, &old), RightButOld, "{old}");
            assert_eq!(check(composed, &old), Wrong, "{old}");
        }
    }
}
